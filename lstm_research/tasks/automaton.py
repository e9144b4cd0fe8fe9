"""Regular languages by their automaton: after each symbol, does the string so far belong?

Tomita's seven and those of Bhattamishra et al.: an automaton of few states decides each, so that a
network that has found the states is right at every length.
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Float, Int, Seed
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.spans import Span, held_out_by_span, slices, spans
from lstm_research.tasks.task import Batch, Success, Task
from lstm_research.tasks.walks import Language, walk

AUTOMATA = {  # state by state: where 0 and 1 lead, - nowhere; * where the string belongs
    "tomita_1": "-0*",
    "tomita_2": "-1* 0-",
    "tomita_3": "01* 20* 3- 21*",
    "tomita_4": "10* 20* -0*",
    "tomita_5": "12* 03 30 21",
    "tomita_6": "12* 20 01",
    "tomita_7": "01* 21* 23* -3*",
    "aa_star": "1-* 0-",
    "abab_star": "1-* -2 3- -0",
    "d_2": "1-* 20 -1",
    "d_3": "1-* 20 31 -2",
    "d_4": "1-* 20 31 42 -3",
}
Form = Literal[
    "tomita_1", "tomita_2", "tomita_3", "tomita_4", "tomita_5", "tomita_6", "tomita_7",
    "aa_star", "abab_star", "d_2", "d_3", "d_4",
]  # fmt: skip
Table = Int[np.ndarray, "states symbols"]
Odds = Float[np.ndarray, "states symbols"]


@dataclass(frozen=True)
class Automaton:
    """Symbols 0 and 1; the class after each is 1 where the string so far is in the language.

    tomita_1  1*                                 tomita_2  (10)*
    tomita_3  no odd run of 1 before an odd run of 0
    tomita_4  no 000                             tomita_5  0 and 1 both even in number
    tomita_6  #0 - #1 divisible by three         tomita_7  0* 1* 0* 1*
    aa_star   (00)*                              abab_star (0101)*
    d_n       D_n = (0 D_(n-1) 1)*, D_0 empty: brackets nested at most n deep

    form         which language
    length       steps of training strings
    test_length  steps of test strings; null: as many. Accuracy is told by the symbols read
    held_out     strings of each held-out split

    Strings walk along the automaton; now and then one takes a step that no continuation mends, so
    often that half of the strings have by their end (never where no such step exists). (Tomita 1982;
    Bhattamishra, Ahuja & Goyal 2020, arXiv:2009.11264, who ask for the legal next symbols instead.)
    Solved at a validation accuracy of 1, as an automaton has it.
    """

    kind: Literal["automaton"] = "automaton"
    form: Form = "tomita_5"
    length: int = 40
    test_length: int | None = None
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such string exists."""
        one_of("form", self.form, AUTOMATA)
        whole("length", self.length, 2, "steps; the first tells too little")
        if self.test_length is not None:
            whole("test_length", self.test_length, self.length + 1, "longer than training")
        whole("held_out", self.held_out, 1, "strings of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        after, belongs = automaton(self.form)
        train, test = spans(self.length, self.length, self.test_length)
        odds = {span.longest: walked(after, span.longest) for span in (train, test)}
        drawn = lambda data, key, size, span: _draw(
            after, belongs, odds[span.longest], key, size, span
        )
        return Task(
            name=self.form,
            readout="step",
            loss="cross_entropy",
            outputs=2,
            vocabulary=2,
            draw=lambda data, key, size: drawn(data, key, size, train),
            held_out=held_out_by_span(drawn, train, test, self.held_out),
            metric="accuracy",
            goal="max",
            chance=_chance(after, belongs, odds[test.longest], test.longest),
            success=Success("accuracy", at_least=1.0),
            slices=slices(1, self.length, self.test_length),
            ceiling={"accuracy": 1.0, "sequence_accuracy": 1.0, "nll": 0.0},
            source="Tomita 1982"
            if self.form.startswith("tomita")
            else "Bhattamishra, Ahuja & Goyal 2020, arXiv:2009.11264",
        )


def automaton(form: str) -> tuple[Table, Int[np.ndarray, "states"]]:
    """Return where each symbol leads from each state, and where the string belongs; the last state
    is the dead end.
    """
    states = AUTOMATA[form].split()
    dead = len(states)
    leads = lambda name: dead if name == "-" else int(name)
    after = np.array([[leads(name) for name in state[:2]] for state in states] + [[dead, dead]])
    return after, np.array([state.endswith("*") for state in states] + [False], np.int32)


def walked(after: Table, steps: int) -> Odds:
    """Return the odds of each symbol in each state: mostly those that lead on, evenly.

    A step into the dead end has odds `slip`, found by bisection so that half of the strings are
    dead after `steps` steps; in the dead end both symbols are as likely.
    """
    dead = len(after) - 1
    doomed, low, high = after == dead, 0.0, 0.5

    def odds(slip: float) -> Odds:
        many = doomed.sum(axis=1, keepdims=True)
        even = np.where(doomed, slip, (1 - slip * many) / np.maximum(2 - many, 1))
        return np.where(many == 2, 0.5, even)

    for _ in range(50):
        middle = (low + high) / 2
        dies = np.linalg.matrix_power(_chain(after, odds(middle)), steps)[0, dead] > 0.5
        low, high = (low, middle) if dies else (middle, high)
    return odds(low)


def _chain(after: Table, odds: Odds) -> Float[np.ndarray, "states states"]:
    """Return the odds of going from each state (row) to each."""
    chain = np.zeros((len(after), len(after)))
    for symbol in (0, 1):
        np.add.at(chain, (np.arange(len(after)), after[:, symbol]), odds[:, symbol])
    return chain


def _draw(after: Table, belongs: np.ndarray, odds: Odds, key: Seed, size: int, span: Span) -> Batch:
    table, told, weights = (jnp.asarray(each) for each in (after, belongs, odds))
    language = Language(
        start=lambda size: jnp.zeros(size, jnp.int32),
        odds=lambda state: weights[state].astype(jnp.float32),
        move=lambda state, symbols: table[state, symbols].astype(jnp.int32),
        told=lambda state: told[state],
    )
    symbols, answers = walk(language, key, size, span.longest)
    extent = jnp.broadcast_to(jnp.arange(1, span.longest + 1), symbols.shape)
    return Batch(symbols, answers, jnp.ones(symbols.shape), extent=extent)


def _chance(after: Table, belongs: np.ndarray, odds: Odds, steps: int) -> dict[str, float]:
    """Return what one reaches who sees the present symbol alone, over all steps."""
    state, joint = np.eye(len(after))[0], np.zeros((2, 2))
    for _ in range(steps):
        for symbol in (0, 1):
            np.add.at(joint[symbol], belongs[after[:, symbol]], state * odds[:, symbol])
        state = state @ _chain(after, odds)
    joint /= joint.sum()
    given = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
    nll = -(joint * np.log(np.where(joint > 0, given, 1.0))).sum()
    return {"accuracy": float(joint.max(axis=1).sum()), "nll": float(nll)}
