"""A wrapper in a run: its key in a network, its section in a config, its name in a table."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import nnx
from records import CELLS, TASKS, record
from small import WORDS, small

from lstm_research import check, config, sweep
from lstm_research.config import ConfigError, RunSpec, build, written
from lstm_research.label import variant
from lstm_research.line import GROUPS
from lstm_research.network import Network, NetworkSpec
from lstm_research.nnx_layer import Recurrent
from lstm_research.plain import digest
from lstm_research.program import Program
from lstm_research.run import fit
from lstm_research.signature import signature, task
from lstm_research.table import table
from lstm_research.wrappers import Wrapped, WrapSpec

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 2)), jnp.float32)
ZONED = Wrapped(small().cell, WrapSpec(zoneout_c=0.5, zoneout_h=0.3))


def network(**settings):
    spec = NetworkSpec(hidden=4, layers=2, bidirectional=True, **settings)
    return Network(ZONED, spec, outputs=1, features=2, rngs=nnx.Rngs(0))


def test_a_layer_with_noise_asks_for_rngs_in_training():
    layer = Recurrent(ZONED, 2, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"deterministic=False.*rngs=nnx.Rngs\(dropout="):
        layer(X)
    one, two = (layer(X, rngs=nnx.Rngs(dropout=seed)) for seed in (1, 2))
    assert np.abs(one - two).max() > 1e-3
    same(layer(X, rngs=nnx.Rngs(dropout=1)), one)
    still = layer(X, deterministic=True)
    assert np.abs(one - still).max() > 1e-3
    layer.eval()
    agree(layer(X), still)
    agree(layer(X, deterministic=False, rngs=nnx.Rngs(dropout=1)), one)
    layer.train()
    assert not layer.deterministic


def test_a_layer_without_noise_draws_nothing():
    """Else the dropout behind it would see other numbers than before wrappers were there."""
    for cell, draws in (("lstm", 0), (Wrapped(small().cell, WrapSpec("layer")), 0), (ZONED, 1)):
        rngs = nnx.Rngs(dropout=0)
        Recurrent(cell, 2, 4, rngs=nnx.Rngs(0))(X, rngs=rngs)
        assert rngs.dropout.count[...] == draws


def test_a_network_hands_its_rngs_to_every_layer():
    model = network()
    with pytest.raises(ValueError, match="rngs"):
        model(X)
    one, two = (model(X, rngs=nnx.Rngs(dropout=seed)) for seed in (1, 2))
    assert np.abs(one - two).max() > 1e-4
    model.eval()
    same(model(X), model(X, deterministic=True, rngs=nnx.Rngs(dropout=1)))


def test_a_training_step_changes_with_the_seed_and_an_evaluation_does_not():
    (spec,) = sweep.specs([*WORDS, "wrap=zoneout", "wrap.zoneout_h=0.5"])
    static = signature(spec)
    made = Program(static.cell, static.network, task(static.task), static.optimizer, static.budget)
    state = made.begin(jnp.int32(0))
    batch = made.batch(made.task.data, jax.random.key(0), jnp.int32(0))
    noisy = [made.outputs(state.params, state.rest, batch, jax.random.key(s)) for s in (1, 2, 1)]
    assert np.abs(noisy[0] - noisy[1]).max() > 1e-4
    same(noisy[0], noisy[2])
    still = [made.outputs(state.params, state.rest, batch, None) for _ in range(2)]
    same(*still)
    assert np.abs(noisy[0] - still[0]).max() > 1e-4


@pytest.mark.parametrize("words", [
    pytest.param(
        ("wrap.weight_drop=0.3", "wrap.norm=layer", "wrap.variational_x=0.2", "network.layers=2"),
        marks=pytest.mark.slow,
    ),
    ("wrap=zoneout",),
])  # fmt: skip
def test_a_wrapped_run_trains_from_the_command_line(words):
    (spec,) = sweep.specs([*WORDS, *words])
    one, two, other = fit(spec), fit(spec), fit(dataclasses.replace(spec, wrap=None))
    assert one.status == "finished" and one.metrics == two.metrics
    assert one.metrics["test"] != other.metrics["test"]


def test_a_run_without_a_wrapper_is_stored_as_before_there_were_any():
    kept = ["cell", "task", "network", "optimizer", "budget", "seed", "study"]
    assert list(small().resolved()) == kept
    (spec,) = sweep.specs([*WORDS, "wrap=zoneout"])
    assert list(spec.resolved()) == [*kept, "wrap"]
    later = {"statistics_steps": 100}  # a field that came after runs had been stored
    assert spec.resolved()["wrap"] | later == dataclasses.asdict(spec.wrap)
    assert build(spec.resolved()) == spec
    assert digest(spec.resolved()) != digest(dataclasses.replace(spec, wrap=None).resolved())


def test_a_later_field_is_written_where_it_is_not_its_default():
    @dataclasses.dataclass(frozen=True)
    class Part:
        old: int = 1
        new: float = dataclasses.field(default=0.0, metadata={"later": True})

    @dataclasses.dataclass(frozen=True)
    class Whole:
        part: Part = Part()

    assert written(Whole()) == {"part": {"old": 1}}
    assert written(Whole(Part(new=2.0))) == {"part": {"old": 1, "new": 2.0}}


@pytest.mark.parametrize("off", [
    [], ["wrap=null"], ["wrap=zoneout", "wrap=null"], ["wrap=weight_drop", "wrap.weight_drop=0"],
])  # fmt: skip
def test_a_wrapper_that_is_off_is_no_wrapper(off):
    (spec,) = sweep.specs([*WORDS, *off])
    (bare,) = sweep.specs(list(WORDS))
    assert spec.wrap is None and spec == bare


def test_a_sweep_walks_over_wrappers_and_none():
    specs = sweep.specs([*WORDS, "wrap=null,zoneout,layer_norm", "seed=0,1"], sweep=True)
    assert [spec.wrap and spec.wrap.norm for spec in specs[::2]] == [None, "none", "layer"]


@pytest.mark.parametrize(("line", "parts"), [
    (["wrap=zoneot"], ["wrap", "'zoneot'", "'zoneout'", "weight_drop"]),
    (["wrap.zoneout=0.1"], ["wrap.zoneout", "'zoneout_h'", "variational_x"]),
    (["wrap.zoneout_h=1.0"], ["wrap.zoneout_h=1.0", "[0, 1)"]),
    (["wrap.zoneout_h=much"], ["wrap.zoneout_h", "'much'", "number"]),
    (["wrap.norm=batsh"], ["wrap.norm", "'batsh'", "layer_carried"]),
    (["wrap=layer_norm_carried", "cell=gru"], ["wrap.norm='layer_carried'", "memory c"]),
    (["cell=null"], ["cell", "lstm"]),
])  # fmt: skip
def test_a_mistake_is_one_line(line, parts):
    with pytest.raises(ConfigError) as caught:
        sweep.specs(line)
    (said,) = str(caught.value).splitlines()
    assert all(part in said for part in parts), said


def test_a_wrapper_is_a_part_of_the_name_of_a_variant():
    names = config.named("cell"), config.named("wrap")

    def called(*words):
        return variant(sweep.specs([*WORDS, *words])[0].resolved(), *names)

    assert called("cell=gru") == "gru"
    assert called("cell=gru", "wrap=zoneout") == "gru + zoneout"
    assert called("wrap=zoneout", "wrap.zoneout_h=0.1") == "lstm + zoneout(zoneout_h=0.1)"
    assert called("wrap.norm=layer") == "lstm + layer_norm"


def test_a_table_has_a_row_for_each_wrapper():
    wraps = config.named("wrap")
    runs = [
        record(cell, seed=seed, **({"wrap": wraps[name]} if name else {}))
        for cell in ("elman", "lstm")
        for name in (None, "zoneout")
        for seed in (0, 1)
    ]
    found = table(runs, CELLS, TASKS, wraps, baseline="lstm")
    assert [row.label for row in found.rows] == [
        "lstm", "lstm + zoneout", "elman", "elman + zoneout",
    ]  # fmt: skip
    assert all(row.entries[0].n == 2 for row in found.rows)
    assert table(runs, CELLS, TASKS).rows[-1].label.startswith("elman + wrap(")


def test_check_builds_a_wrapped_cell():
    good = check.examine("wrap/layer_norm", ["wrap=layer_norm"])
    bare = check.examine("cell/lstm", ["cell=lstm"])
    assert good.verdict == "ok" and good.detail != bare.detail
    assert "wrap" in GROUPS and RunSpec(ZONED.cell, small().task).wrap is None
