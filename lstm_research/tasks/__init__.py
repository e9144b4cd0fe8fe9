"""Every task by its kind: a new task is one file and one line here."""

from lstm_research.tasks.adding import Adding
from lstm_research.tasks.anomaly import Anomaly
from lstm_research.tasks.copying import Copying
from lstm_research.tasks.forecasting import Forecasting
from lstm_research.tasks.music import Music
from lstm_research.tasks.parity import Parity
from lstm_research.tasks.pixels import Pixels
from lstm_research.tasks.reber import Reber
from lstm_research.tasks.sequences import Sequences
from lstm_research.tasks.speech import Speech
from lstm_research.tasks.temporal_order import TemporalOrder
from lstm_research.tasks.text import Text

TASKS: dict[str, type] = {
    "adding": Adding,
    "copying": Copying,
    "temporal_order": TemporalOrder,
    "reber": Reber,
    "parity": Parity,
    "music": Music,
    "pixels": Pixels,
    "speech": Speech,
    "forecasting": Forecasting,
    "anomaly": Anomaly,
    "text": Text,
    "sequences": Sequences,
}
