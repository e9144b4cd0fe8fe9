"""Every kind of cell by name; a kind is a frozen spec with `build() -> Cell`."""

from lstm_research.cells.atr import Atr
from lstm_research.cells.brc import Brc, Nbrc
from lstm_research.cells.cfn import Cfn
from lstm_research.cells.elman import Elman
from lstm_research.cells.fastgrnn import FastGrnn
from lstm_research.cells.fgr import Fgr
from lstm_research.cells.gru_before import GruBefore
from lstm_research.cells.indrnn import IndRnn
from lstm_research.cells.lem import Lem
from lstm_research.cells.ligru import LiGru
from lstm_research.cells.lru import Lru
from lstm_research.cells.lstmp import Lstmp
from lstm_research.cells.mgu import Mgu
from lstm_research.cells.mingru import MinGru, MinLstm
from lstm_research.cells.minimal_rnn import MinimalRnn
from lstm_research.cells.mlstm import Mlstm
from lstm_research.cells.mogrifier import Mogrifier
from lstm_research.cells.multiplicative import Multiplicative
from lstm_research.cells.mut import Mut
from lstm_research.cells.onlstm import OnLstm
from lstm_research.cells.phased import Phased
from lstm_research.cells.qrnn import Qrnn
from lstm_research.cells.ran import Ran
from lstm_research.cells.rglru import RgLru
from lstm_research.cells.rhn import Rhn
from lstm_research.cells.slstm import Slstm
from lstm_research.cells.sru import Sru
from lstm_research.cells.star import Star
from lstm_research.cells.tlstm import Tlstm
from lstm_research.cells.urlstm import UrLstm
from lstm_research.gated import GateSpec

CELLS: dict[str, type] = {
    "gated": GateSpec,
    "elman": Elman,
    "fgr": Fgr,
    "gru_before": GruBefore,
    "atr": Atr,
    "cfn": Cfn,
    "fastgrnn": FastGrnn,
    "lem": Lem,
    "ligru": LiGru,
    "minimal_rnn": MinimalRnn,
    "mut": Mut,
    "rhn": Rhn,
    "brc": Brc,
    "indrnn": IndRnn,
    "mgu": Mgu,
    "nbrc": Nbrc,
    "ran": Ran,
    "star": Star,
    "lstmp": Lstmp,
    "mogrifier": Mogrifier,
    "phased": Phased,
    "tlstm": Tlstm,
    "slstm": Slstm,
    "urlstm": UrLstm,
    "onlstm": OnLstm,
    "multiplicative": Multiplicative,
    "lru": Lru,
    "mingru": MinGru,
    "minlstm": MinLstm,
    "mlstm": Mlstm,
    "qrnn": Qrnn,
    "rglru": RgLru,
    "sru": Sru,
}
