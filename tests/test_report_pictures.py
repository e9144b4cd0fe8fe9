"""Pictures of a run in a page."""

import base64
import json

from studied import LAYER, SVG

from lstm_research.report.pictures import embedded, numbers, pictures, within


def test_pictures_are_svg_and_png_of_the_inspect_folder_alone(tmp_path):
    assert pictures(tmp_path) == []
    (tmp_path / "inspect").mkdir()
    for name in ("gates.svg", "a.png", "numbers.json", "b.txt"):
        (tmp_path / "inspect" / name).write_text(SVG)
    assert [file.name for file in pictures(tmp_path)] == ["a.png", "gates.svg"]


def test_a_picture_stands_in_the_page_byte_for_byte(tmp_path):
    (tmp_path / "gates.svg").write_text(SVG)
    head, _, code = embedded(tmp_path / "gates.svg").partition(",")
    assert head == "data:image/svg+xml;base64" and base64.b64decode(code).decode() == SVG


def test_pictures_beyond_the_room_are_counted_not_embedded(tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(b"1" * 100)
    large.write_bytes(b"1" * 5000)
    kept, left = within({3: [small, large], 5: [small]}, room=1000)
    assert [each["name"] for each in kept[3]] == ["small"] and left == 1 and len(kept[5]) == 1


def test_of_two_formats_the_smaller_is_taken(tmp_path):
    (tmp_path / "inspect").mkdir()
    (tmp_path / "inspect" / "gates.svg").write_bytes(b"1" * 10)
    (tmp_path / "inspect" / "gates.png").write_bytes(b"1" * 9)
    assert [file.name for file in pictures(tmp_path)] == ["gates.png"]


def test_numbers_are_single_values_by_layer_and_costs_are_added_where_all_are_known(tmp_path):
    assert numbers(tmp_path) == {}
    (tmp_path / "inspect").mkdir()
    file = tmp_path / "inspect" / "numbers.json"
    file.write_text(
        json.dumps({"examples": 3, "all": [1, 2], "layers": [LAYER, LAYER | {"name": "b"}]})
    )
    expected = {"examples": 3, "flops": 2 * 617}
    for name in ("a", "b"):
        expected |= {
            f"{name}.name": name,
            f"{name}.gates.forget.mean": 0.9,
            f"{name}.cost.flops": 617,
        }
    assert numbers(tmp_path) == expected | {"b.name": "b"}
    for damaged in ("{", "[1]", '{"layers": 3}', '{"layers": [3]}'):
        file.write_text(damaged)
        assert numbers(tmp_path) == {}
