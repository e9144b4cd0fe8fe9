"""How many runs are spread over a GPU: the arrays of one run stay, registers are not asked for in vain."""

import pytest
from test_cuda import described

from lstm_research import cuda_pack
from lstm_research.cuda_pack import GIVEN, crowded, packed, registers
from lstm_research.cuda_plan import spreads


@pytest.mark.parametrize("runs", [2, 64, 1000])
@pytest.mark.parametrize("hidden", [20, 128, 256])
def test_a_pack_takes_the_cheapest_way_to_spread_the_arrays_of_a_run(hidden, runs):
    for call in described(hidden):
        alone = call.spec
        many = packed(alone._replace(runs=runs, each=(True,) * alone.arguments), 132)
        assert many.spread.units == alone.spread.units
        assert many.operand_rows == alone.operand_rows
        assert registers(many) <= GIVEN
        for other in spreads(hidden, alone.rows, alone.stages, 132):
            whole = many._replace(spread=other)
            if other.units == alone.spread.units and other.joined != "flags":
                assert crowded(many, 132) <= crowded(whole, 132)


def test_registers_are_those_that_the_compiler_of_a_gpu_was_seen_to_give():
    """LSTM, H=128, B=64, forward; within a tenth below the limit: nvcc 13 for sm_90."""
    spec = described(128)[0].spec
    seen = {(8, 1, 4, 1): 114, (8, 1, 4, 4): 181, (8, 1, 2, 1): 166, (8, 1, 2, 2): 193}
    for shape, gave in seen.items():
        spread = spec.spread._replace(**dict(zip(spec.spread._fields, shape, strict=False)))
        assert registers(spec._replace(spread=spread)) == pytest.approx(gave, rel=0.25)


def test_what_spills_costs(monkeypatch):
    spec = described(128)[0].spec._replace(runs=64)
    wide = spec._replace(spread=spec.spread._replace(members=1, tiles=8, slices=1, wide=4))
    dear = crowded(wide, 132)
    monkeypatch.setattr(cuda_pack, "GIVEN", 10_000)
    assert crowded(wide, 132) < dear
