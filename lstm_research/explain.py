"""What `auto` chooses for a run on this machine, and why: what `lstm-research run --explain` prints."""

import jax

from lstm_research import engines
from lstm_research.config import RunSpec
from lstm_research.keep import decide, told
from lstm_research.pack import split
from lstm_research.signature import program, signature
from lstm_research.unroll import size

WHY = {
    "parallel": "the recurrence is linear in its state, all steps run at once",
    "pallas": "the recurrent matrix fits a kernel that stays on the GPU for the whole sequence",
    "cuda": "every step in one launch, the recurrent matrix in the registers of the GPU",
    "native": "every step in one function of machine code, compiled for this cell and processor",
    "columns": "few sequences meet a large matrix, which a CPU need not pack at each step this way",
    "fused": "its own backward: no weight gradient is carried, each is one product after the loop",
    "scan": "autodiff of one `lax.scan`",
    "newton": "no matrix joins the units, all steps run at once by iteration",
}


def explain(spec: RunSpec) -> list[str]:
    """Return a line for the devices, one for the engine, and one for what the backward pass keeps."""
    made, network = program(signature(spec)), spec.network
    many, devices = split(made, jax.devices())
    cell = signature(spec).cell.build()
    rows = spec.budget.batch // many
    way = engines.chosen(
        cell._replace(precision=network.precision), network.engine, network.hidden, rows,
        keep=network.keep,
    )  # fmt: skip
    asked = "" if network.engine == "auto" else " (asked for)"
    batch, steps = made.drawn.inputs.shape[:2]
    weights, carry = jax.eval_shape(
        lambda key: (cell.init(key, 1, network.hidden), cell.start((), network.hidden)),
        jax.random.key(0),
    )
    each = size(cell, weights, carry, batch, 4)
    backend = jax.default_backend()
    kept = decide(network.keep, way.able, steps, each, backend)
    return [
        f"devices  {many} of {jax.device_count()} ({backend}): {devices}",
        f"engine   {way.name}{asked}: {WHY[way.name]}",
        f"keeps    {told(kept, network.keep, way.able, steps, each, backend)}",
    ]
