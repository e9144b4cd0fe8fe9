"""What every cell promises, one function a promise; `test_cells.py` holds each cell to each.

All in float64. The programs below are compiled once a cell and shape and shared by the claims.
"""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from agreement import agree, same
from blocks import cut, random_carry, random_weights
from formula import count
from references import OUTS, TWINS, run

from lstm_research import catalogue
from lstm_research.cell import outputs as emitted
from lstm_research.cell import sizes
from lstm_research.engines import unroll

T, B, D, H = 6, 4, 2, 4
FAST = {"xla_backend_optimization_level": 0}  # compiling is what costs here
TRACES: dict[Any, int] = {}


class Subject(NamedTuple):
    """A cell under test: one name of the catalogue that means it, and its spec."""

    name: str
    spec: Any


@cache
def outputs(spec, reverse: bool = False, batched: bool = False):
    """Return the compiled (weights, carry, x, lengths, resets) -> (carry, h)."""

    def f(weights, carry, x, lengths=None, resets=None):
        return unroll(
            spec.build(), weights, carry, x, lengths=lengths, resets=resets, reverse=reverse
        )

    return jax.jit(jax.vmap(f, (0, None, None)) if batched else f, compiler_options=FAST)


@cache
def gradients(spec, engine="auto", reverse: bool = False):
    """Return the compiled ((carry, h), gradients of weights, carry, x); the loss sees all."""
    cell = spec.build()

    def loss(weights, carry, x, seen, lengths, resets):
        TRACES[spec] = TRACES.get(spec, 0) + 1
        last, h = unroll(
            cell, weights, carry, x, lengths=lengths, resets=resets, engine=engine, reverse=reverse
        )
        ends = [jnp.sin(leaf.sum() + (leaf**2).sum()) for leaf in jax.tree.leaves(last)]
        return (h * seen).sum() + sum(ends), (last, h)

    def f(weights, carry, x, seen, lengths=None, resets=None):
        (_, out), grads = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(
            weights, carry, x, seen, lengths, resets
        )
        return out, grads

    return jax.jit(f, compiler_options=FAST)


def problem(spec, T=T, B=B, D=D, H=H, seed=0, dtype=np.float64):
    """Return random (weights, carry, x, seen)."""
    rng = np.random.default_rng(seed)
    cell = spec.build()
    x = rng.normal(size=(T, B, D)).astype(dtype)
    seen = rng.normal(size=(T, B, emitted(cell, H))).astype(dtype)
    return (
        random_weights(cell, D, H, seed, dtype),
        random_carry(cell, (B,), H, seed + 1, dtype),
        x,
        seen,
    )


def twin_run(subject: Subject, weights, carry, x):
    """Return what the twin makes of the same problem."""
    hidden = sizes(subject.spec.build(), weights)[1]
    m = cut(subject.spec.build(), weights, hidden, subject.spec.kind)
    return run(TWINS[subject.name], m, x, jax.tree.leaves(carry), OUTS.get(subject.name))


WHOLE, NEVER = np.full(B, T), np.zeros((T, B), bool)


def equals_its_twin_in_numpy(subject: Subject) -> None:
    weights, carry, x, seen = problem(subject.spec)
    (last, h), _ = gradients(subject.spec)(weights, carry, x, seen, WHOLE, NEVER)
    agree((jax.tree.leaves(last), h), twin_run(subject, weights, carry, x))


def equals_its_twin_at_any_shape(subject: Subject) -> None:
    rng = np.random.default_rng(len(subject.name))
    shapes = [(1, 1, 1, 1), tuple(int(n) for n in rng.permutation([1, 2, 3, 5]))]
    parts = getattr(subject.spec, "heads", 1) * getattr(subject.spec, "chunk", 1)
    for T, B, D, wide in shapes:
        H = wide * parts
        weights, carry, x, _ = problem(subject.spec, T, B, D, H, seed=7)
        last, h = outputs(subject.spec)(weights, carry, x)
        agree((jax.tree.leaves(last), h), twin_run(subject, weights, carry, x))


def counts_parameters_as_the_paper(subject: Subject) -> None:
    """The weights are as many as the formula that opens the YAML says."""
    written = catalogue.header("cell", subject.name)["parameters"]
    for features, hidden in ((2, 4), (4, 4), (5, 8)):
        shapes = jax.eval_shape(
            lambda k, d=features, h=hidden: subject.spec.build().init(k, d, h), jax.random.key(0)
        )
        weights = sum(leaf.size for leaf in jax.tree.leaves(shapes._replace(row=None)))
        assert weights == count(written, subject.spec, features, hidden), written


def gradients_stay_finite(subject: Subject, steps: int = 300) -> None:
    cell = subject.spec.build()
    weights, x = (
        cell.init(jax.random.key(0), D, H),
        np.random.default_rng(0).normal(size=(steps, B, D)),
    )
    (last, h), grads = gradients(subject.spec)(
        weights, cell.start((B,), H), x, np.full((steps, B, emitted(cell, H)), 1 / steps)
    )
    for leaf in jax.tree.leaves((last, h, grads)):
        assert np.isfinite(leaf).all()
    assert all(np.abs(r).max() > 0 for r in jax.tree.leaves(grads[0].r))


def streams_in_pieces(subject: Subject) -> None:
    weights, carry, x, seen = problem(subject.spec)
    (last, h), _ = gradients(subject.spec)(weights, carry, x, seen, WHOLE, NEVER)
    middle, first = outputs(subject.spec)(weights, carry, x[: T // 2])
    end, second = outputs(subject.spec)(weights, middle, x[T // 2 :])
    agree((end, jnp.concatenate([first, second])), (last, h))


def ends_where_the_sequence_ends(subject: Subject) -> None:
    """Outputs past the end are 0, the carry is of the last valid step; length 0 changes nothing."""
    weights, carry, x, seen = problem(subject.spec)
    lengths = np.array([T, 4, 1, 0])
    (last, h), _ = gradients(subject.spec)(weights, carry, x, seen, lengths, NEVER)
    for row, length in enumerate(lengths):
        assert not np.asarray(h[length:, row]).any()
        one = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], carry)
        end, out = twin_run(subject, weights, one, x[:length, row : row + 1])
        agree([leaf[row] for leaf in jax.tree.leaves(last)], [leaf[0] for leaf in end])
        agree(h[:length, row], out[:, 0])
    same(*([leaf[3] for leaf in jax.tree.leaves(tree)] for tree in (last, carry)))


def padding_reaches_nothing(subject: Subject) -> None:
    """Values and gradients under NaN and infinite padding are those of the trimmed sequence."""
    weights, carry, x, seen = problem(subject.spec)
    for filler in (np.nan, np.inf):
        dirty, blind = x.copy(), seen.copy()
        dirty[3:], blind[3:] = filler, 5.0
        (last, h), (d_w, d_c, d_x) = gradients(subject.spec)(
            weights, carry, dirty, blind, np.full(B, 3), NEVER
        )
        short = gradients(subject.spec)(weights, carry, x[:3], seen[:3])
        agree(((last, h[:3]), (d_w, d_c, d_x[:3])), short)
        assert not np.asarray(h[3:]).any() and not np.asarray(d_x[3:]).any()


def uneven_padding_reaches_nothing(subject: Subject) -> None:
    weights, carry, x, seen = problem(subject.spec)
    lengths = np.array([T, 4, 1, 0])
    dirty = np.where((np.arange(T)[:, None] < lengths)[..., None], x, np.nan)
    program = gradients(subject.spec)
    same(
        program(weights, carry, dirty, seen, lengths, NEVER),
        program(weights, carry, x, seen, lengths, NEVER),
    )


def restarts_at_a_reset(subject: Subject) -> None:
    """A reset at t is the same as starting again with the sequence from t on."""
    weights, carry, x, seen = problem(subject.spec)
    starts = [
        [0, 2, 5],
        [0],
        [0, 1, 2],
        [0, 3],
    ]  # the first piece of each takes the carry that came in
    resets = NEVER.copy()
    for row, pieces in enumerate(starts):
        resets[pieces[1:], row] = True
    resets[0, 2] = True  # row 2 forgets what came in
    program = gradients(subject.spec)
    (last, h), _ = program(weights, carry, x, seen, WHOLE, resets)
    fresh = jax.tree.map(np.asarray, subject.spec.build().start((B,), H, jnp.float64))
    for row, pieces in enumerate(starts):
        for at, stop in zip(pieces, [*pieces[1:], T], strict=True):
            begin = carry if at == 0 and not resets[0, row] else fresh
            (end, out), _ = program(
                weights, begin, np.roll(x, -at, 0), seen, np.full(B, stop - at), NEVER
            )
            agree(h[at:stop, row], out[: stop - at, row])
        agree(*([leaf[row] for leaf in jax.tree.leaves(tree)] for tree in (last, end)))


def reverse_is_the_flipped_prefix(subject: Subject) -> None:
    """Backwards over lengths and resets at once: outputs lie where their inputs are."""
    weights, carry, x, seen = problem(subject.spec)
    lengths = np.array([T, 4, 3, 0])
    resets = NEVER.copy()
    resets[[2, 4], 0] = resets[3, 1] = resets[[1, 2], 2] = True
    mirror, turned = x.copy(), NEVER.copy()
    for row, n in enumerate(lengths):
        mirror[:n, row] = x[:n, row][::-1]
        for t in np.flatnonzero(resets[:, row]):  # between t - 1 and t lies a border
            turned[n - t, row] = True
    (last, h), _ = gradients(subject.spec)(weights, carry, mirror, seen, lengths, turned)
    back, g = outputs(subject.spec, reverse=True)(weights, carry, x, lengths, resets)
    agree(back, last)
    for row, n in enumerate(lengths):
        agree(g[:n, row], h[:n, row][::-1])
        assert not np.asarray(g[n:, row]).any()


def takes_any_batch_axes(subject: Subject) -> None:
    weights, carry, x, seen = problem(subject.spec)
    lengths, resets = np.array([T, 4, 3, 0]), NEVER.copy()
    resets[2, 0] = resets[1, 2] = True
    (last, h), _ = gradients(subject.spec)(weights, carry, x, seen, lengths, resets)
    pair = jax.tree.map(lambda leaf: leaf.reshape(2, 2, -1), carry)
    two = outputs(subject.spec)(
        weights, pair, x.reshape(T, 2, 2, D), lengths.reshape(2, 2), resets.reshape(T, 2, 2)
    )
    agree(two, (jax.tree.map(lambda leaf: leaf.reshape(2, 2, -1), last), h.reshape(T, 2, 2, -1)))
    one = jax.tree.map(lambda leaf: leaf[2], carry)
    none = outputs(subject.spec)(weights, one, x[:, 2], lengths[2], resets[:, 2])
    agree(none, (jax.tree.map(lambda leaf: leaf[2], last), h[:, 2]))


def starts_the_same_from_a_key(subject: Subject) -> None:
    init = subject.spec.build().init
    same(init(jax.random.key(3), D, H), init(jax.random.key(3), D, H))
    one, other = (jax.tree.leaves(init(jax.random.key(seed), D, H)) for seed in (3, 4))
    assert any(np.abs(a - b).max() > 0 for a, b in zip(one, other, strict=True))


def shares_blocks_with_its_relatives(subject: Subject) -> None:
    """From one key, a block that two cells own starts with the same numbers."""
    from lstm_research.gated import GateSpec

    cell = subject.spec.build()
    mine = cut(cell, cell.init(jax.random.key(5), D, H), H, subject.spec.kind)
    for other in (
        GateSpec(peephole="ifo"),
        GateSpec(coupled=True, output_gate=False, reset_gate=True),
    ):
        theirs = cut(other.build(), other.build().init(jax.random.key(5), D, H), H)
        for name in mine.keys() & theirs.keys():
            if name[0] in "WR":
                same(mine[name], theirs[name])


def maps_over_weights(subject: Subject) -> None:
    weights, carry, x, seen = problem(subject.spec)
    other = random_weights(subject.spec.build(), D, H, seed=9)
    stacked = jax.tree.map(lambda a, b: np.stack([a, b]), weights, other)
    last, h = outputs(subject.spec, batched=True)(stacked, carry, x)
    for at, w in enumerate((weights, other)):
        alone, _ = gradients(subject.spec)(w, carry, x, seen, WHOLE, NEVER)
        agree((jax.tree.map(lambda leaf, at=at: leaf[at], last), h[at]), alone)


def compiles_once(subject: Subject) -> None:
    """New numbers, lengths and resets of the same shapes run the program that is there."""
    weights, carry, x, seen = problem(subject.spec)
    gradients(subject.spec)(weights, carry, x, seen, WHOLE, NEVER)
    before = TRACES[subject.spec]
    weights, carry, x, seen = problem(subject.spec, seed=11)
    gradients(subject.spec)(weights, carry, x, seen, np.array([1, 2, 3, 4]), ~NEVER)
    assert TRACES[subject.spec] == before


CLAIMS = [
    equals_its_twin_in_numpy,
    equals_its_twin_at_any_shape,
    counts_parameters_as_the_paper,
    gradients_stay_finite,
    streams_in_pieces,
    ends_where_the_sequence_ends,
    padding_reaches_nothing,
    uneven_padding_reaches_nothing,
    restarts_at_a_reset,
    reverse_is_the_flipped_prefix,
    takes_any_batch_axes,
    starts_the_same_from_a_key,
    shares_blocks_with_its_relatives,
    maps_over_weights,
    compiles_once,
]
