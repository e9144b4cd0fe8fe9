"""How a layer is spread over a GPU: everything fits, everything is covered, every size has a way."""

import pytest
from test_cuda import described

from lstm_research import cuda_plan
from lstm_research.cuda_plan import CHUNK, SHARED, TILE


@pytest.mark.parametrize(("hidden", "batch"), [(1, 1), (33, 5), (128, 64), (512, 64), (1024, 64)])
def test_a_spread_fits_and_covers_the_layer(hidden, batch):
    for call in described(hidden, batch):
        spec, spread = call.spec, call.spec.spread
        assert spread.units >= hidden and spec.groups * spread.rows >= batch
        assert spread.units == spread.members * spread.tiles * TILE
        assert spread.chunks * CHUNK * spread.slices == spread.units
        assert spec.shared <= SHARED
        assert spread.threads <= 32 * cuda_plan.WARPS
        if spread.joined == "flags":
            assert spec.blocks <= 132
        if spread.joined == "cluster":
            assert spread.members in cuda_plan.CLUSTERS


def test_a_layer_too_wide_for_the_gpu_is_refused():
    with pytest.raises(
        ValueError, match="hidden=4096 do not fit 132 multiprocessors, 64 sequences each"
    ):
        described(4096)
