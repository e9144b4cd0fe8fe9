"""Pictures of a run in a page."""

import base64
import json

from studied import SVG

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


def test_numbers_are_single_values_by_dotted_name_and_nothing_where_the_file_is_damaged(tmp_path):
    assert numbers(tmp_path) == {}
    (tmp_path / "inspect").mkdir()
    file = tmp_path / "inspect" / "numbers.json"
    file.write_text(json.dumps({"flops": 3, "gates": {"forget": 0.5, "all": [1, 2], "on": True}}))
    assert numbers(tmp_path) == {"flops": 3, "gates.forget": 0.5}
    for damaged in ("{", "[1]"):
        file.write_text(damaged)
        assert numbers(tmp_path) == {}
