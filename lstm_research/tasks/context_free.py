"""Context-free problems of the Chomsky hierarchy: what an automaton with a stack answers.

modular_arithmetic_brackets  digits 0..4, + - ( ); the value modulo 5::

                                 ( ( 1 - 3 ) + ( - 4 ) ) -> 4

solve_equation               the same, one digit hidden as x, the value behind =; which digit? ::

                                 ( x - 3 ) = 4 -> 2

stack_manipulation           a stack from its bottom, then 2 = pop, 3 = push 0, 4 = push 1; the
                             stack from its top, then 2 as its end; an empty stack stays at a pop::

                                 0 1 1 0  4 2 2 -> 1 1 0 2

reverse_string               bits; the same from the last::

                                 0 0 1 -> 1 0 0

(Deletang et al. 2023, arXiv:2207.02098.) As in the authors' program there is no product in
brackets, so that x has one solution, and brackets stand around every sum. Departure: x is any
digit, with one probability.
"""

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Int, Seed
from lstm_research.initial import fold
from lstm_research.tasks.regular import MODULUS, symbols
from lstm_research.tasks.spans import Span
from lstm_research.tasks.transduction import Problem, Strings, constant, evenly, one

PLUS, MINUS, OPEN, CLOSE, UNKNOWN, EQUALS = range(MODULUS, MODULUS + 6)
POP, END = 2, 2  # an input, and an answer
PENDING_CLOSE, PENDING_PLUS, PENDING_MINUS, EXPRESSION = range(4)  # what waits on the stack


def expressions(
    key: Seed, lengths: Int[Array, "batch"], longest: int
) -> tuple[Int[Array, "batch time"], Int[Array, "batch"]]:
    """Draw expressions of the lengths given, and their values modulo 5.

    An expression of length 1 is d, of 2 -d, of 3 (d), of 4 (-d); a longer one is (left op right),
    where the length of left is uniform in 1..length-4. What is still to be written waits on a
    stack: each step writes one symbol. An expression of length l whose value is subtracted
    (negative = 1) waits as EXPRESSION + 2 l + negative.
    """
    size = lengths.shape[0]
    rows = jnp.arange(size)[:, None]
    digits = symbols(key, "digits", (longest, size), MODULUS)
    operators = symbols(key, "operators", (longest, size), 2)
    cuts = jax.random.uniform(fold(key, "cuts"), (longest, size), jnp.float32)

    def step(carry: tuple[Array, Array, Array], now: tuple[Array, Array, Array]):
        stack, top, value = carry
        digit, operator, cut = now
        item = jnp.take_along_axis(stack, jnp.maximum(top, 1)[:, None] - 1, axis=1)[:, 0]
        item = jnp.where(top > 0, item, -1)
        token, pushed, many = _write(item, digit, operator, cut)
        top = jnp.maximum(top - 1, 0)
        stack = stack.at[rows, top[:, None] + jnp.arange(4)].set(pushed)
        sign = jnp.where(item == EXPRESSION + 2, 1, -1)
        leaf = (item == EXPRESSION + 2) | (item == EXPRESSION + 3)
        return (stack, top + many, (value + leaf * sign * digit) % MODULUS), token

    stack = jnp.zeros((size, longest + 4), jnp.int32).at[:, 0].set(EXPRESSION + 2 * lengths)
    start = (stack, jnp.ones(size, jnp.int32), jnp.zeros(size, jnp.int32))
    (_, _, value), tokens = jax.lax.scan(step, start, (digits, operators, cuts))
    return tokens.T, value


def _write(item: Array, digit: Array, operator: Array, cut: Array) -> tuple[Array, Array, Array]:
    """Return the symbol that an item writes, what it leaves on the stack, and how much of that."""
    length, negative = (item - EXPRESSION) // 2, (item - EXPRESSION) % 2
    inner = lambda long, minus: EXPRESSION + 2 * long + minus
    left = 1 + jnp.floor(cut * (length - 4)).astype(jnp.int32)
    close, sum_of = jnp.full_like(item, PENDING_CLOSE), length >= 5
    first = jnp.where(length == 2, inner(1, 1 - negative), close)
    right = inner(length - 3 - left, negative ^ operator)
    second = jnp.where(sum_of, right, inner(length - 2, negative))
    pushed = jnp.stack([first, second, PENDING_PLUS + operator, inner(left, negative)], axis=1)
    is_expression = item >= EXPRESSION
    wrapped = (length == 3) | (length == 4)
    many = jnp.where(sum_of, 4, jnp.where(wrapped, 2, (length == 2) * 1)) * is_expression
    waiting = jnp.take(jnp.array([0, CLOSE, PLUS, MINUS]), jnp.clip(item, -1, 2) + 1)
    opened = jnp.where(length == 1, digit, jnp.where(length == 2, MINUS, OPEN))
    return jnp.where(is_expression, opened, waiting), pushed, many


def _brackets(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    tokens, value = expressions(key, lengths, longest)
    return one(tokens, lengths, value)


def _solve_equation(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    tokens, value = expressions(key, lengths - 2, longest - 2)
    steps = jnp.arange(longest)
    tokens = jnp.pad(tokens, ((0, 0), (0, 2)))
    digit = (tokens < MODULUS) & (steps < lengths[:, None] - 2)
    odds = jnp.where(digit, jax.random.uniform(fold(key, "unknown"), digit.shape), -1.0)
    place = odds.argmax(axis=1, keepdims=True)
    solution = jnp.take_along_axis(tokens, place, axis=1)[:, 0]
    tokens = jnp.where(steps == place, UNKNOWN, tokens)
    tokens = jnp.where(steps == lengths[:, None] - 2, EQUALS, tokens)
    return one(jnp.where(steps == lengths[:, None] - 1, value[:, None], tokens), lengths, solution)


def _stack_manipulation(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    shape, steps = (lengths.shape[0], longest), jnp.arange(longest)
    first = jax.random.randint(fold(key, "first"), lengths.shape, 1, lengths)[:, None]
    bits, actions = symbols(key, "bits", shape, 2), POP + symbols(key, "actions", shape, 3)
    inputs = jnp.where(steps < first, bits, actions)
    inside = steps < lengths[:, None]
    pushed = jnp.where(steps < first, bits, actions - POP - 1)  # -1: a pop

    def step(carry: tuple[Array, Array], now: tuple[Array, Array]):
        stack, height = carry
        bit, inside = now
        put = inside & (bit >= 0)
        stack = jnp.where(put[:, None] & (steps == height[:, None]), bit[:, None], stack)
        lower = jnp.maximum(height - 1, 0)
        return (stack, jnp.where(put, height + 1, jnp.where(inside, lower, height))), None

    start = (jnp.zeros(shape, jnp.int32), jnp.zeros_like(lengths))
    (stack, height), _ = jax.lax.scan(step, start, (pushed.T, inside.T))
    return Strings(inputs, lengths, from_the_top(stack, height, END), height + 1)


def from_the_top(
    stack: Int[Array, "batch time"], height: Int[Array, "batch"], end: int
) -> Int[Array, "batch most"]:
    """Return each stack from its top to its bottom, then `end`."""
    place = height[:, None] - 1 - jnp.arange(stack.shape[1] + 1)
    popped = jnp.take_along_axis(stack, jnp.maximum(place, 0), axis=1)
    return jnp.where(place >= 0, popped, end)


def _stack_chance(span: Span) -> dict[str, float]:
    """Average over lengths and heights h of the last stack: one end among h + 1 answers."""
    ends = []
    reached = np.zeros(span.longest + 1)  # sum over the first stacks s < n of the odds of h
    for length in range(2, span.longest + 1):
        reached[length - 1] += 1.0
        up, down = np.roll(reached, 1), np.roll(reached, -1)
        up[0], down[-1] = 0.0, 0.0
        down[0] += reached[0]
        reached = 2 / 3 * up + 1 / 3 * down
        ends.append((reached / np.arange(1, span.longest + 2)).sum() / (length - 1))
    end = float(np.mean(ends[span.shortest - 2 :]))
    return constant(np.array([(1 - end) / 2, (1 - end) / 2, end]))


def _reverse_string(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    bits = symbols(key, "bits", (lengths.shape[0], longest), 2)
    return Strings(bits, lengths, from_the_top(bits, lengths, 0)[:, :longest], lengths)


CONTEXT_FREE = {
    "modular_arithmetic_brackets": Problem(
        MODULUS + 4, MODULUS, 1, _brackets, evenly(MODULUS), single=True
    ),
    "solve_equation": Problem(
        MODULUS + 6, MODULUS, 3, _solve_equation, evenly(MODULUS), single=True
    ),
    "stack_manipulation": Problem(5, 3, 2, _stack_manipulation, _stack_chance),
    "reverse_string": Problem(2, 2, 1, _reverse_string, evenly(2)),
}
