"""The view for ablations, as it would be saved: built without a login, never sent from here."""

import mirrored
import pytest
from mirrored import SPEC, pictured, trained

from lstm_research import store
from lstm_research.trackers import workspace

# wandb-workspaces 0.4 defines its models with the validators of pydantic 1
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")
pytest.importorskip("wandb_workspaces", reason="the extra `workspace` is not installed")


def test_curves_and_final_numbers_are_grouped_by_variant_with_their_spread(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)
    pictured(trained(tmp_path, SPEC))
    view = workspace.ablations("me", "project", store.load_runs(tmp_path))._to_model()
    section = view.spec.model_dump()["section"]
    (runs,) = section["run_sets"]
    assert [key["name"] for key in runs["grouping"]] == ["task.value.kind", "variant.value"]
    curves, final, _cost, shown = section["panel_bank_config"]["sections"]
    assert [panel["config"]["metrics"] for panel in curves["panels"]] == [
        ["train/loss"],
        ["valid/mse"],
    ]
    for panel in [*curves["panels"], *final["panels"]]:
        assert panel["config"]["group_by"] == "variant.value"
        assert panel["config"]["group_area"] == "stddev"
    assert final["panels"][0]["config"]["metrics"] == ["test/mse"]
    assert shown["panels"][1]["config"]["media_keys"] == ["inspect/gates"]
