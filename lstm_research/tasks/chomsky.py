"""The Chomsky hierarchy: string problems trained on short strings, judged on longer ones.

What a finite automaton, a stack or a tape can answer, a network that has learned the rule answers
at every length; one that has learned the training lengths does not.
"""

from dataclasses import dataclass
from typing import Literal

from lstm_research.tasks.context_free import CONTEXT_FREE
from lstm_research.tasks.context_sensitive import CONTEXT_SENSITIVE
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.regular import REGULAR
from lstm_research.tasks.spans import held_out_by_span, slices, spans
from lstm_research.tasks.task import Success, Task
from lstm_research.tasks.transduction import draw

PROBLEMS = REGULAR | CONTEXT_FREE | CONTEXT_SENSITIVE
Form = Literal[
    "even_pairs", "cycle_navigation", "modular_arithmetic",
    "modular_arithmetic_brackets", "solve_equation", "stack_manipulation", "reverse_string",
    "duplicate_string", "missing_duplicate", "odds_first", "binary_addition",
    "binary_multiplication", "compute_sqrt", "bucket_sort",
]  # fmt: skip


@dataclass(frozen=True)
class Chomsky:
    """Read a string of n symbols, then answer a symbol at each of |y| asks.

    form         which problem: `regular.py`, `context_free.py`, `context_sensitive.py` say what
                 each one reads and answers; parity is a task of its own
    length       training and validation lengths n are uniform up to this
    test_length  test lengths are uniform in length+1..test_length, which none has trained on
    held_out     strings of each held-out split

    Deletang et al. 2023 (arXiv:2207.02098): length 40, test_length 500. Accuracy is the mean over
    strings of the share of right symbols, one guess at each ask. The paper averages over lengths,
    and takes the best of ten seeds and three rates; 0.9 on longer strings is its success. Ours is a
    validation accuracy of 0.99, at training lengths. Departures: a batch holds strings of many
    lengths, its lengths begin where the problem has an answer, and answers end with their end
    symbol, where the paper trains on zeros behind it too.
    """

    kind: Literal["chomsky"] = "chomsky"
    form: Form = "even_pairs"
    length: int = 40
    test_length: int = 500
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such string exists."""
        one_of("form", self.form, PROBLEMS)
        shortest = PROBLEMS[self.form].shortest
        whole("length", self.length, shortest, f"the shortest string of {self.form}")
        whole("test_length", self.test_length, self.length + 1, "longer than training")
        whole("held_out", self.held_out, 1, "strings of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        problem = PROBLEMS[self.form]
        train, test = spans(problem.shortest, self.length, self.test_length)
        drawn = lambda data, key, size, span: draw(problem, key, size, span)
        return Task(
            name=self.form,
            readout="last" if problem.single else "step",
            loss="cross_entropy",
            outputs=problem.classes,
            vocabulary=problem.symbols + 1,
            draw=lambda data, key, size: drawn(data, key, size, train),
            held_out=held_out_by_span(drawn, train, test, self.held_out),
            metric="accuracy",
            goal="max",
            chance=problem.chance(test),
            success=Success("accuracy", at_least=0.99),
            slices=slices(problem.shortest, self.length, self.test_length),
            ceiling={"accuracy": 1.0, "nll": 0.0},
            source="Deletang et al. 2023, arXiv:2207.02098",
        )
