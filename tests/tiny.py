"""Every task at sizes that a test can afford, and at the smallest that it allows."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import small_data

from lstm_research.tasks.adding import Adding
from lstm_research.tasks.anbn import AnBn
from lstm_research.tasks.automaton import Automaton
from lstm_research.tasks.chomsky import Chomsky
from lstm_research.tasks.continual_reber import ContinualReber
from lstm_research.tasks.continual_temporal_order import ContinualTemporalOrder
from lstm_research.tasks.copying import Copying
from lstm_research.tasks.delay import Delay
from lstm_research.tasks.dyck import Dyck
from lstm_research.tasks.induction import Induction
from lstm_research.tasks.listops import ListOps
from lstm_research.tasks.long_lag import LongLag
from lstm_research.tasks.multiplication import Multiplication
from lstm_research.tasks.music import Music, from_rolls, prepare
from lstm_research.tasks.parity import Parity
from lstm_research.tasks.periodic import Periodic
from lstm_research.tasks.pianoroll import Baselines
from lstm_research.tasks.reber import Reber
from lstm_research.tasks.recall import Recall
from lstm_research.tasks.selective import Selective
from lstm_research.tasks.spike_delay import SpikeDelay
from lstm_research.tasks.task import Task
from lstm_research.tasks.temporal_order import TemporalOrder
from lstm_research.tasks.two_sequence import TwoSequence
from lstm_research.tasks.words import Words


def music(**fields: object) -> Task:
    """Return a music task on eleven random pieces, so that the contract needs no file."""
    random = np.random.default_rng(0)
    rolls = lambda lengths: tuple((random.random((n, 88)) < 0.1).astype(np.uint8) for n in lengths)
    pieces = {"train": rolls((9, 2, 14, 5)), "valid": rolls((2, 8, 3)), "test": rolls((6, 2, 7, 3))}
    return from_rolls(Music(**fields), prepare(pieces), Baselines(1.0, 1.0))


BUILDS: dict[str, Callable[[], Task]] = {
    "adding": Adding(length=12, held_out=20).build,
    "adding 1997": Adding(length=25, form="hochreiter1997", held_out=20).build,
    "adding tcn smallest": Adding(length=2, form="tcn", held_out=5).build,
    "adding 1997 smallest": Adding(length=20, form="hochreiter1997", held_out=5).build,
    "copying": Copying(delay=5, held_out=20).build,
    "copying smallest": Copying(delay=1, symbols=1, alphabet=2, held_out=20).build,
    "temporal order 6a": TemporalOrder(length=20, held_out=20).build,
    "temporal order smallest": TemporalOrder(symbols=3, length=10, held_out=5).build,
    "reber": Reber(longest=30, held_out=20).build,
    "reber corpus": Reber(longest=30, corpus=8).build,
    "reber smallest": Reber(longest=9, held_out=20).build,
    "parity": Parity(length=7, held_out=20).build,
    "parity step": Parity(length=7, answer="step", variable=True, held_out=20).build,
    "parity longer": Parity(length=7, variable=True, test_length=15, held_out=20).build,
    "parity smallest": Parity(length=1, held_out=20).build,
    "long_lag 2a": LongLag(form="2a", delay=6, held_out=20).build,
    "long_lag 2b": LongLag(form="2b", delay=6, held_out=20).build,
    "long_lag 2c": LongLag(form="2c", delay=6, tail=5, held_out=20).build,
    "long_lag smallest": LongLag(form="2c", delay=1, tail=0, held_out=20).build,
    "two_sequence 3a": TwoSequence(form="3a", length=12, held_out=20).build,
    "two_sequence 3c": TwoSequence(form="3c", length=12, held_out=20).build,
    "two_sequence smallest": TwoSequence(length=2, informative=1, held_out=20).build,
    "multiplication": Multiplication(length=25, held_out=20).build,
    "multiplication smallest": Multiplication(length=20, held_out=5).build,
    "continual_reber": ContinualReber(length=20, stream=30, held_out=20).build,
    "continual_reber smallest": ContinualReber(length=2, stream=2, held_out=20).build,
    "continual_temporal_order": ContinualTemporalOrder(length=12, train=3, stream=4).build,
    "continual_temporal_order smallest": ContinualTemporalOrder(
        symbols=2, length=10, train=1, stream=1
    ).build,
    "anbn": AnBn(longest=5, test=9).build,
    "anbn three letters": AnBn(letters=3, longest=5, test=9).build,
    "anbn smallest": AnBn(longest=2, test=3).build,
    "spike_delay measure": SpikeDelay(train=4, stream=6, held_out=20).build,
    "spike_delay generate": SpikeDelay(form="generate", train=4, stream=6, held_out=20).build,
    "spike_delay smallest": SpikeDelay(shortest=1, train=2, stream=2, held_out=20).build,
    "periodic": Periodic(train=2, stream=3).build,
    "periodic smallest": Periodic(period=3, train=1, stream=1).build,
    "chomsky": Chomsky(length=7, test_length=12, held_out=20).build,
    "chomsky stack": Chomsky("chomsky", "stack_manipulation", 7, 12, 20).build,
    "chomsky smallest": Chomsky("chomsky", "solve_equation", 3, 4, 20).build,
    "words": Words(length=7, variable=True, test_length=12, held_out=20).build,
    "words smallest": Words("words", "cyclic", 2, "generators", "last", 1, held_out=20).build,
    "copying variable": Copying(delay=5, symbols=3, variable=True, held_out=20).build,
    "selective": Selective(slots=9, symbols=3, held_out=20).build,
    "selective denoise smallest": Selective("selective", "denoise", 1, 1, 2, 20).build,
    "delay": Delay(delay=3, length=8, held_out=20).build,
    "delay values smallest": Delay("delay", "values", 1, 2, held_out=20).build,
    "induction": Induction(length=9, test_length=14, held_out=20).build,
    "induction smallest": Induction(length=3, vocabulary=3, held_out=20).build,
    "recall": Recall(length=16, pairs=3, vocabulary=20, held_out=20).build,
    "recall smallest": Recall(length=4, pairs=1, vocabulary=4, held_out=20).build,
    "listops": ListOps(longest=12, train=40, held_out=20).build,
    "listops smallest": ListOps("listops", 4, 4, 2, 2, 10, 8).build,
    "automaton": Automaton(length=7, test_length=12, held_out=20).build,
    "automaton smallest": Automaton("automaton", "tomita_1", 2, held_out=20).build,
    "dyck": Dyck(length=7, test_length=12, held_out=20).build,
    "dyck shuffled smallest": Dyck("dyck", "shuffled", 1, 2, 3, held_out=20).build,
    "music": music,
    "music crop": partial(music, crop=4, transpose=3),
    "music smallest": partial(music, crop=1),
    **small_data.BUILDS,
}


def once_a_kind() -> list:
    """Return every name as a parameter of a test; but for the first of a kind they are slow."""
    seen, found = set(), []
    for name, build in BUILDS.items():
        kind = type(getattr(build, "__self__", build))
        found.append(pytest.param(name, marks=[pytest.mark.slow] if kind in seen else []))
        seen.add(kind)
    return found
