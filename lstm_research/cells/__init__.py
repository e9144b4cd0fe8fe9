"""Every kind of cell by name; a kind is a frozen spec with `build() -> Cell`."""

from lstm_research.cells.elman import Elman
from lstm_research.cells.fgr import Fgr
from lstm_research.cells.gru_before import GruBefore
from lstm_research.gated import GateSpec

CELLS: dict[str, type] = {"gated": GateSpec, "elman": Elman, "fgr": Fgr, "gru_before": GruBefore}
