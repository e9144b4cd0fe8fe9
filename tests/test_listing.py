"""What the catalogue prints is what the cells are."""

import json

import pytest

from lstm_research import catalogue, cli, listing


@pytest.mark.parametrize(
    ("name", "parallel", "products", "engine"),
    [("lstm", "D", 1, "loop"), ("gru_before", "D", 2, "loop"), ("greff/fgr", "D", 2, "loop"),
     ("minlstm", "A", 0, "parallel"), ("indrnn", "B", 0, "loop"), ("slstm", "C", 1, "loop")],
)  # fmt: skip
def test_a_cell_is_of_the_class_that_the_literature_gives_it(name, parallel, products, engine):
    found = listing.one(name, 3, 8)
    assert (found.parallel, found.products, found.engine) == (parallel, products, engine)


def test_every_name_is_listed_with_a_year_and_a_count():
    found = list(listing.listed(4, 8))
    assert [each.name for each in found] == catalogue.names("cell")
    assert all(1980 < each.year < 2030 and each.parameters > 0 for each in found)


def test_the_command_prints_every_cell_whole(capsys):
    assert cli.main(["cells", "lstm", "gru", "--features", "2", "--hidden", "3"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "c' = f c + i g" in text and "3HD + 3H^2 + 4H" in text and "2 cells" in text


def test_the_command_speaks_json(capsys):
    assert cli.main(["cells", "lstm", "--json", "--features", "2", "--hidden", "3"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["parameters"] == 4 * 3 * (2 + 3 + 1)


def test_an_unknown_cell_is_a_mistake_with_the_nearest_spelling(capsys):
    assert cli.main(["cells", "ltsm"]) == 2
    assert "lstm" in capsys.readouterr().err
