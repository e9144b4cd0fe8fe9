"""What `auto` chooses for a run on this machine, and why: what `lstm-research run --explain` prints."""

import jax

from lstm_research import fused
from lstm_research.config import RunSpec
from lstm_research.pack import split
from lstm_research.pieces import piece
from lstm_research.signature import program, signature

WHY = {
    "parallel": "the recurrence is linear in its state, all steps run at once",
    "pallas": "the recurrent matrix fits a kernel that stays on the GPU for the whole sequence",
    "native": "every step in one function of machine code, compiled for this cell and processor",
    "columns": "few sequences meet a large matrix, which a CPU need not pack at each step this way",
    "fused": "its own backward: no weight gradient is carried, each is one product after the loop",
    "scan": "autodiff of one `lax.scan`",
    "newton": "no matrix joins the units, all steps run at once by iteration",
}


def explain(spec: RunSpec) -> list[str]:
    """Return a line for the devices, one for the engine, and one for what the backward pass keeps."""
    made = program(signature(spec))
    many, devices = split(made, jax.devices())
    cell, hidden = signature(spec).cell.build(), spec.network.hidden
    loop = fused.chosen(cell, spec.network.engine, hidden, spec.budget.batch // many)
    engine = next(name for name, each in fused.engines().items() if each is loop)
    asked = "" if spec.network.engine == "auto" else " (asked for)"
    batch, steps = made.drawn.inputs.shape[:2]
    layers = jax.tree.leaves(made.state.params["layers"])
    wide = max(leaf.shape[-1] for leaf in layers if leaf.ndim > 1)
    length = piece((steps, batch // many, 1), 4 * wide)
    kept = "all of them" if length >= steps else f"{length} at a time, and run those again"
    return [
        f"devices  {many} of {jax.device_count()} ({jax.default_backend()}): {devices}",
        f"engine   {engine}{asked}: {WHY[engine]}",
        f"steps    {steps}: the backward pass keeps {kept}",
    ]
