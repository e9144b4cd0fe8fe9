"""Every task by its kind: a new task is one file and one line here."""

from lstm_research.tasks.adding import Adding
from lstm_research.tasks.anbn import AnBn
from lstm_research.tasks.anomaly import Anomaly
from lstm_research.tasks.automaton import Automaton
from lstm_research.tasks.chomsky import Chomsky
from lstm_research.tasks.continual_reber import ContinualReber
from lstm_research.tasks.continual_temporal_order import ContinualTemporalOrder
from lstm_research.tasks.copying import Copying
from lstm_research.tasks.delay import Delay
from lstm_research.tasks.dyck import Dyck
from lstm_research.tasks.forecasting import Forecasting
from lstm_research.tasks.induction import Induction
from lstm_research.tasks.listops import ListOps
from lstm_research.tasks.long_lag import LongLag
from lstm_research.tasks.multiplication import Multiplication
from lstm_research.tasks.music import Music
from lstm_research.tasks.parity import Parity
from lstm_research.tasks.periodic import Periodic
from lstm_research.tasks.pixels import Pixels
from lstm_research.tasks.reber import Reber
from lstm_research.tasks.recall import Recall
from lstm_research.tasks.selective import Selective
from lstm_research.tasks.sequences import Sequences
from lstm_research.tasks.speech import Speech
from lstm_research.tasks.spike_delay import SpikeDelay
from lstm_research.tasks.temporal_order import TemporalOrder
from lstm_research.tasks.text import Text
from lstm_research.tasks.two_sequence import TwoSequence
from lstm_research.tasks.words import Words

TASKS: dict[str, type] = {
    "adding": Adding,
    "copying": Copying,
    "temporal_order": TemporalOrder,
    "reber": Reber,
    "parity": Parity,
    "long_lag": LongLag,
    "two_sequence": TwoSequence,
    "multiplication": Multiplication,
    "continual_reber": ContinualReber,
    "continual_temporal_order": ContinualTemporalOrder,
    "anbn": AnBn,
    "spike_delay": SpikeDelay,
    "periodic": Periodic,
    "chomsky": Chomsky,
    "automaton": Automaton,
    "dyck": Dyck,
    "words": Words,
    "selective": Selective,
    "delay": Delay,
    "induction": Induction,
    "recall": Recall,
    "listops": ListOps,
    "music": Music,
    "pixels": Pixels,
    "speech": Speech,
    "forecasting": Forecasting,
    "anomaly": Anomaly,
    "text": Text,
    "sequences": Sequences,
}
