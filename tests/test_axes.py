"""The shapes that signatures promise hold: everything is run once with jaxtyping checking each call."""

import subprocess
import sys

import pytest

PROGRAM = """
from jaxtyping import install_import_hook

with install_import_hook("lstm_research", "beartype.beartype"):
    import jax, jax.numpy as jnp
    from flax import nnx
    import lstm_research as lr
    from lstm_research import catalogue
    from lstm_research.network import Network
    from lstm_research.nnx_layer import Recurrent
    from lstm_research.program import Budget, Program
    from lstm_research.optimizer import OptimizerSpec
    from lstm_research.gated import GateSpec

for name in catalogue.names("cell"):
    cell = lr.cell(name)
    weights = cell.init(jax.random.key(0), 2, 6)
    for batch in ((), (4,), (4, 2)) if name in ("lstm", "gru_before", "lru") else ((4, 2),):
        carry = cell.start(batch, 6)
        x = jnp.ones((5, *batch, 2))
        lengths = jnp.full(batch, 3)
        resets = jnp.zeros((5, *batch), bool)
        for engine in ("scan", "fused") if name == "lstm" else ("fused",):
            told = dict(lengths=lengths, resets=resets, engine=engine)
            call = lambda w: lr.unroll(cell, w, carry, x, **told)[1].sum()
            jax.eval_shape(jax.grad(call), weights)
for name in ("adding", "reber"):
    task = lr.task(name)
    made = Program(GateSpec(), lr.NetworkSpec(hidden=3, dropout=0.1), task, OptimizerSpec(), Budget(batch=2))
    state = jax.eval_shape(made.begin, jnp.int32(0))
    jax.eval_shape(made.steps, state, task.data, jnp.int32(0), jnp.int32(1))

try:
    lr.unroll(cell, weights, cell.start((4,), 6), jnp.ones((5, 4, 2), int))
except Exception as error:
    assert "x" in str(error) and "Float" in str(error), error
else:
    raise SystemExit("whole numbers were taken for inputs")
print("checked")
"""


@pytest.mark.slow
def test_every_shape_that_a_signature_promises_holds():
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300
    )
    assert said.stdout.strip() == "checked", said.stderr[-3000:]
