"""Context-sensitive problems of the Chomsky hierarchy: what an automaton with a tape answers.

duplicate_string       bits; the same twice::                        0 1 1 -> 0 1 1 0 1 1
missing_duplicate      a string twice, one bit hidden as 2; which? An odd length ends with 3::

                           0 1 1 0  0 2 1 0 -> 1                     1 0  1 2 3 -> 0

odds_first             bits; the first, third, ..., then the others::  1 1 0 -> 1 0 1
binary_addition        a 2 b, the lowest bit first; a + b without the zeros above its highest one,
                       then 2 as its end::                           0 0 1 2 0 1 1 0 1 -> 0 1 0 1 1 2
binary_multiplication  a 2 b; a b, likewise::                        0 1 2 1 1 -> 0 1 1 2
compute_sqrt           a number of n bits, the highest first; the whole part of its root in
                       ceil(n / 2) bits::                            1 0 0 1 0 1 -> 1 1 0
bucket_sort            symbols 0..4; the same in order::             3 0 4 0 -> 0 0 3 4

(Deletang et al. 2023, arXiv:2207.02098.) Numbers are uniform among those of their bits that are not
zero; the bits of a and b share n - 1 places at random. `odds_first` begins with the first symbol, as
the paper has it; the authors' program begins with the second.
"""

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Int, Seed
from lstm_research.initial import fold
from lstm_research.tasks.regular import symbols
from lstm_research.tasks.spans import Span
from lstm_research.tasks.transduction import Problem, Strings, evenly, one

HIDDEN, PADDED, OPERATOR, END = 2, 3, 2, 2
SORTED = 5  # kinds of symbols to be sorted


def _duplicate_string(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    bits = symbols(key, "bits", (lengths.shape[0], longest), 2)
    place = jnp.arange(2 * longest) % lengths[:, None]
    return Strings(bits, lengths, jnp.take_along_axis(bits, place, axis=1), 2 * lengths)


def _missing_duplicate(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    steps, half = jnp.arange(longest), (lengths // 2)[:, None]
    bits = symbols(key, "bits", (lengths.shape[0], longest), 2)
    twice = jnp.take_along_axis(bits, steps % half, axis=1)
    place = jax.random.randint(fold(key, "place"), half.shape, 0, 2 * half)
    hidden = jnp.take_along_axis(twice, place, axis=1)[:, 0]
    shown = jnp.where(steps == place, HIDDEN, jnp.where(steps >= 2 * half, PADDED, twice))
    return one(shown, lengths, hidden)


def _odds_first(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    bits = symbols(key, "bits", (lengths.shape[0], longest), 2)
    steps, odds = jnp.arange(longest), ((lengths + 1) // 2)[:, None]
    place = jnp.where(steps < odds, 2 * steps, 2 * (steps - odds) + 1) % longest
    return Strings(bits, lengths, jnp.take_along_axis(bits, place, axis=1), lengths)


def numbers(
    key: Seed, name: str, lengths: Int[Array, "batch"], longest: int
) -> Int[Array, "batch bits"]:
    """Draw uniform numbers 1..2^length - 1 as bits, the lowest first.

    The highest one stands at bit b with odds 2^b / (2^length - 1); bits below it are fair.
    """
    draw = jax.random.uniform(fold(key, f"{name} highest"), lengths.shape, jnp.float32)
    zeros = jnp.floor(-jnp.log2(1 - draw * (1 - 2.0**-lengths))).astype(jnp.int32)
    highest = (lengths - 1 - jnp.clip(zeros, 0, lengths - 1))[:, None]
    bits = symbols(key, f"{name} bits", (lengths.shape[0], longest), 2)
    steps = jnp.arange(longest)
    return jnp.where(steps < highest, bits, (steps == highest) * 1)


def carried(columns: Int[Array, "batch bits"]) -> Int[Array, "batch bits"]:
    """Return the bits of the sum of columns[b] 2^b, modulo 2^bits."""

    def step(carry: Array, column: Array) -> tuple[Array, Array]:
        total = carry + column
        return total // 2, total % 2

    _, bits = jax.lax.scan(step, jnp.zeros_like(columns[:, 0]), columns.T)
    return bits.T


def subtracted(
    a: Int[Array, "batch bits"], b: Int[Array, "batch bits"]
) -> tuple[Int[Array, "batch bits"], Array]:
    """Return the bits of a - b, and whether b > a; the borrows of all bits at once."""
    makes, passes = (a < b), (a == b)

    def join(low: tuple[Array, Array], high: tuple[Array, Array]) -> tuple[Array, Array]:
        return high[0] | (high[1] & low[0]), high[1] & low[1]

    borrowed, _ = jax.lax.associative_scan(join, (makes, passes), axis=1)
    before = jnp.pad(borrowed[:, :-1], ((0, 0), (1, 0)))
    return a ^ b ^ before, borrowed[:, -1]


def roots(bits: Int[Array, "batch bits"]) -> Int[Array, "batch half"]:
    """Return the whole part of the root of an even number of bits, the lowest first.

    Two bits at a time, from the top: with the remainder r so far and the root q,
    r' = 4 r + next two bits; where r' >= 4 q + 1, that is taken off and q' = 2 q + 1, else q' = 2 q.
    """
    rows, half = bits.shape[0], bits.shape[1] // 2
    pairs = bits.reshape(rows, half, 2).swapaxes(0, 1)[::-1]
    above = lambda number, low: jnp.concatenate([low, number[:, : -low.shape[1]]], axis=1)
    zero_one = jnp.broadcast_to(jnp.array([1, 0], bits.dtype), (rows, 2))

    def step(carry: tuple[Array, Array], pair: Array) -> tuple[tuple[Array, Array], None]:
        rest, root = carry
        rest = above(rest, pair)
        less, short = subtracted(rest, above(root, zero_one))
        fits = (~short)[:, None]
        return (jnp.where(fits, less, rest), above(root, fits.astype(bits.dtype))), None

    start = jnp.zeros((rows, half + 2), bits.dtype)
    (_, root), _ = jax.lax.scan(step, (start, start), pairs)
    return root[:, :half]


def _two_numbers(
    key: Seed, lengths: Int[Array, "batch"], longest: int
) -> tuple[Int[Array, "batch time"], Int[Array, "batch bits"], Int[Array, "batch bits"]]:
    """Return the string a 2 b, and a and b."""
    first = jax.random.randint(fold(key, "first"), lengths.shape, 1, lengths - 1)
    a = numbers(key, "a", first, longest)
    b = numbers(key, "b", lengths - 1 - first, longest)
    steps, first = jnp.arange(longest), first[:, None]
    second = jnp.take_along_axis(b, jnp.maximum(steps - first - 1, 0), axis=1)
    return jnp.where(steps < first, a, jnp.where(steps == first, OPERATOR, second)), a, b


def _ended(inputs: Array, lengths: Array, bits: Array) -> Strings:
    """Return the answers of a number without the zeros above its highest one, then END."""
    steps = jnp.arange(bits.shape[1])
    count = jnp.where(bits > 0, steps + 1, 0).max(axis=1)
    answers = jnp.where(steps < count[:, None], bits, END)
    return Strings(inputs, lengths, answers, count + 1)


def _binary_addition(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    inputs, a, b = _two_numbers(key, lengths, longest)
    return _ended(inputs, lengths, carried(a + b))


def _binary_multiplication(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    inputs, a, b = _two_numbers(key, lengths, longest)

    def step(carry: tuple[Array, Array], bit: Array) -> tuple[tuple[Array, Array], None]:
        total, shifted = carry
        total = total + bit[:, None] * shifted
        return (total, jnp.pad(shifted[:, :-1], ((0, 0), (1, 0)))), None

    (columns, _), _ = jax.lax.scan(step, (jnp.zeros_like(a), a), b.T)
    return _ended(inputs, lengths, carried(columns))


def _compute_sqrt(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    low_first = numbers(key, "number", lengths, longest + longest % 2)
    root, count = roots(low_first), (lengths + 1) // 2
    from_above = lambda bits, many: jnp.take_along_axis(
        bits, jnp.maximum(many[:, None] - 1 - jnp.arange(bits.shape[1]), 0), axis=1
    )
    inputs = from_above(low_first, lengths)[:, :longest]
    return Strings(inputs, lengths, from_above(root, count), count)


def _bucket_sort(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    drawn = symbols(key, "symbols", (lengths.shape[0], longest), SORTED)
    inside = jnp.arange(longest) < lengths[:, None]
    return Strings(drawn, lengths, jnp.sort(jnp.where(inside, drawn, SORTED), axis=1), lengths)


def _fair(span: Span) -> dict[str, float]:
    """Return the chance of numbers: the highest bit, always one, makes up for the end.

    Of L fair bits and an end, (1 + (L - 1) / 2) / (L + 1) = 1/2 are ones. The lowest bits of a
    product are no fair ones, which long numbers do not feel.
    """
    return {"accuracy": 0.5}


CONTEXT_SENSITIVE = {
    "duplicate_string": Problem(2, 2, 1, _duplicate_string, evenly(2)),
    "missing_duplicate": Problem(4, 2, 2, _missing_duplicate, evenly(2), single=True),
    "odds_first": Problem(2, 2, 1, _odds_first, evenly(2)),
    "binary_addition": Problem(3, 3, 3, _binary_addition, _fair),
    "binary_multiplication": Problem(3, 3, 3, _binary_multiplication, _fair),
    "compute_sqrt": Problem(2, 2, 1, _compute_sqrt, evenly(2)),
    "bucket_sort": Problem(SORTED, SORTED, 1, _bucket_sort, evenly(SORTED)),
}
