"""The smallest runs there are: a spec that trains in a second, as a mapping and as overrides."""

from lstm_research.config import RunSpec, build

WORDS = (
    "task.length=5", "task.held_out=10", "network.hidden=3", "budget.steps=4", "budget.batch=2",
    "budget.evaluate_every=2", "tracker=none",
)  # fmt: skip


def small(cell: str = "gated", seed: int = 0, steps: int = 4, **cell_settings) -> RunSpec:
    return build(
        {
            "cell": {"kind": cell, **cell_settings},
            "task": {"kind": "adding", "length": 5, "held_out": 10},
            "network": {"hidden": 3},
            "budget": {"steps": steps, "batch": 2, "evaluate_every": 2},
            "seed": seed,
            "study": "small",
        }
    )
