"""A chart becomes an SVG and a PNG without a browser; what is absent or wrong is named."""

import sys

import numpy as np
import pytest

from lstm_research import figure
from lstm_research.disk import StoreError
from lstm_research.heatmap import Panel, heatmap


def chart():
    alt = pytest.importorskip("altair", reason="needs the extra `report`")
    pytest.importorskip("vl_convert", reason="needs the extra `report`")
    return figure.styled(alt.Chart(figure.rows([{"a": 1}])).mark_point().encode(x="a:Q"), "title")


@pytest.mark.parametrize(("ending", "magic"), [(".svg", b"<svg"), (".png", b"\x89PNG")])
def test_a_chart_is_written_in_the_format_of_its_ending(tmp_path, ending, magic):
    path = figure.save(chart(), tmp_path / "deep" / f"one{ending}")
    assert path.read_bytes().startswith(magic)


def test_another_ending_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"one\.pdf.*\.png or \.svg"):
        figure.save(chart(), tmp_path / "one.pdf")


@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_an_absent_package_is_named_with_the_way_to_install_it(monkeypatch, tmp_path, package):
    made = chart()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(figure.MissingPackage, match=r"lstm-research\[report\]"):
        figure.vega() if package == "altair" else figure.save(made, tmp_path / "one.svg")


def test_a_folder_that_cannot_be_written_is_a_fault_of_the_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        figure.save(chart(), tmp_path / "file" / "one.svg")


def test_every_colour_scale_of_a_heat_map_covers_its_numbers(tmp_path):
    chart()
    values = np.array([[0.2, 0.7], [1.4, 0.0]])
    plain, signed = heatmap([Panel("a", values)], "t"), heatmap([Panel("a", -values, True)], "t")
    for made, low in ((plain, 0), (signed, -1.4)):
        scale = made.to_dict()["vconcat"][0]["encoding"]["color"]["scale"]
        assert scale["domain"][0] == low and scale["domain"][-1] == 1.4
