"""Rows as one cell: what they agree on is code, and each row's weights come out of it as its own."""

import jax
import numpy as np
import pytest
from test_cells import SPECS

from lstm_research.cell import blocks
from lstm_research.gated import GateSpec
from lstm_research.superset import ALL, Superset, common, narrowed

ROWS = list(dict.fromkeys(spec for spec in SPECS.values() if isinstance(spec, GateSpec)))
GREFF = [SPECS[name] for name in SPECS if name.startswith("greff/") and name != "greff/fgr"]
D, H = 2, 3


@pytest.mark.parametrize("over", [ALL, common(ROWS)], ids=["all switches", "those that differ"])
def test_each_row_finds_its_own_weights_in_the_superset(over):
    for spec in ROWS:
        wide = Superset(spec, over).build().init(jax.random.key(1), D, H)
        own = spec.build().init(jax.random.key(1), D, H)
        found = narrowed(spec, over, wide)
        assert jax.tree.structure(found) == jax.tree.structure(own)
        for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(own), strict=True):
            np.testing.assert_array_equal(got, want)


def test_greffs_eight_need_no_more_blocks_than_an_lstm():
    assert len(GREFF) == 8
    assert blocks(Superset(GREFF[0], common(GREFF)).build()) == 4
    assert blocks(Superset(GREFF[0]).build()) == 5  # a reset gate, and g twice in the recurrence


def test_rows_that_agree_leave_nothing_to_data():
    row = Superset(GREFF[0], common(GREFF[:1])).build().init(jax.random.key(0), D, H).row
    assert not jax.tree.leaves(row)
