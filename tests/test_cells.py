"""Every cell of CELLS and every YAML of conf/cell is held to every claim of the contract."""

import re

import contract
import pytest
from references import TWINS
from sampled import KEEN, QUICK

from lstm_research import catalogue
from lstm_research.cells import CELLS

NAMES = catalogue.names("cell")
SPECS = {name: catalogue.spec(CELLS, "cell", name, {}) for name in NAMES}
SUBJECTS: dict = {}  # one subject a function: two names of one spec are tested once
for _name, _spec in SPECS.items():
    SUBJECTS.setdefault(_spec, contract.Subject(_name, _spec))

pytestmark = pytest.mark.usefixtures("float64")


PAIRS = [
    pytest.param(
        subject,
        claim,
        id=f"{subject.name}-{claim.__name__}",
        marks=() if subject.name in KEEN or claim.__name__ in QUICK else pytest.mark.slow,
    )
    for subject in SUBJECTS.values()
    for claim in contract.CLAIMS
]


@pytest.mark.parametrize(("subject", "claim"), PAIRS)
def test_every_cell_keeps_the_contract(subject, claim):
    claim(subject)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=lambda subject: subject.name)
def test_gradients_stay_finite_over_a_thousand_steps(subject):
    contract.gradients_stay_finite(subject, steps=1000)


def test_every_yaml_has_a_twin():
    assert set(TWINS) == set(NAMES)


def test_every_kind_has_a_name_that_is_its_default():
    """A kind of CELLS is in the contract through a YAML that changes nothing in it."""
    assert {kind() for kind in CELLS.values()} <= set(SPECS.values())


def test_two_names_of_one_spec_have_one_twin():
    for name, spec in SPECS.items():
        assert TWINS[name] is TWINS[SUBJECTS[spec].name]


@pytest.mark.parametrize("name", NAMES)
def test_every_yaml_says_what_it_is(name):
    header = catalogue.header("cell", name)
    assert list(header) == ["caption", "source", "equations", "parameters"]
    assert all(len(value) >= 3 for value in header.values())
    assert re.search(r"\b(19|20)\d\d\b", header["source"]), "a source has a year"
