"""A network is used like any nnx module; its parts do what their settings say."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from agreement import agree
from contract import FAST
from flax import nnx

from lstm_research.network import Network, NetworkSpec, parameters

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 2)), jnp.float32)
LENGTHS = np.array([5, 3, 3], np.int32)


def network(cell="lstm", *, outputs=2, readout="step", vocabulary=None, **settings):
    features = 2 if vocabulary is None else None
    return Network(
        cell,
        NetworkSpec(**({"hidden": 4} | settings)),
        outputs=outputs,
        features=features,
        vocabulary=vocabulary,
        readout=readout,
        rngs=nnx.Rngs(0),
    )


APPLY = jax.jit(
    lambda graph, state, *data: nnx.merge(graph, state)(data[0], lengths=data[1], resets=data[2]),
    static_argnums=0,
    compiler_options=FAST,
)


def call(model, x=X, lengths=None, resets=None):
    """Apply a model as one compiled program."""
    return APPLY(*nnx.split(model), x, lengths, resets)


@pytest.mark.parametrize("cell", ["lstm", "gru_before"])
def test_twenty_lines_of_flax_train_it(cell):
    model = network(cell, outputs=1, readout="last", hidden=8)
    optimizer = nnx.Optimizer(model, optax.adam(0.03), wrt=nnx.Param)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(64, 5, 2)), jnp.float32)
    y = x[:, 1, 0]  # remember the second step

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda m: ((m(x)[:, 0] - y) ** 2).mean())(model)
        optimizer.update(model, grads)
        return loss

    losses = [float(step(model, optimizer)) for _ in range(150)]
    assert losses[-1] < 0.1 * losses[0]


def test_dropout_is_on_in_training_and_off_in_evaluation():
    model = network(dropout=0.5)
    model.eval()
    play = nnx.jit(lambda model: model(X))
    still = play(model)
    agree(play(model), still)
    model.train()
    one, two = play(model), play(model)
    assert np.abs(one - two).max() > 1e-3 and np.abs(one - still).max() > 1e-3
    agree(model(X, deterministic=True), still)


def test_dropout_takes_its_random_numbers_from_the_caller_if_given():
    model = network(dropout=0.5)
    one, again, other = (model(X, rngs=nnx.Rngs(dropout=seed)) for seed in (1, 1, 2))
    agree(one, again)
    assert np.abs(one - other).max() > 1e-3


SETTINGS = [
    {},
    {"layers": 2, "layer_norm": True},
    {"layers": 2, "bidirectional": True, "layer_norm": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_step_readout_predicts_at_every_step_and_the_last_one_once(settings):
    assert call(network(**settings)).shape == (3, 5, 2)
    assert call(network(readout="last", **settings)).shape == (3, 2)


@pytest.mark.parametrize("readout", ["step", "last"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_padding_changes_nothing_before_it(settings, readout):
    """Also: last is the last valid step, of each direction."""
    model = network(readout=readout, **settings)
    dirty = jnp.where((jnp.arange(5) < LENGTHS[:, None])[..., None], X, jnp.nan)
    out, alone = call(model, dirty, LENGTHS), {5: call(model), 3: call(model, X[:, :3])}
    for row, n in enumerate(LENGTHS):
        agree(out[row, :n] if readout == "step" else out[row], alone[n][row])


def test_the_last_readout_is_the_step_readout_at_the_last_valid_step():
    out, ends = call(network(), X, LENGTHS), call(network(readout="last"), X, LENGTHS)
    agree(ends, out[jnp.arange(3), LENGTHS - 1])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_reset_separates_what_comes_before_from_what_comes_after(settings):
    resets = np.zeros((3, 5), bool)
    resets[:, 2] = True
    model = network(**settings)
    agree(
        call(model, X, None, resets),
        jnp.concatenate([call(model, X[:, :2]), call(model, X[:, 2:])], 1),
    )


def test_a_one_way_network_never_sees_the_future_and_a_two_way_one_does():
    later = X.at[:, 3:].add(1.0)
    one, two = network(layers=2), network(bidirectional=True)
    agree(call(one)[:, :3], call(one, later)[:, :3])
    assert np.abs(call(two)[:, 0] - call(two, later)[:, 0]).max() > 1e-5


@pytest.mark.parametrize(
    ("embed", "count"), [(None, 4 * 4 * (7 + 4 + 1)), (3, 7 * 3 + 4 * 4 * (3 + 4 + 1))]
)
def test_tokens_enter_one_hot_or_embedded(embed, count):
    model = network(vocabulary=7, embed=embed)
    tokens = jnp.asarray([[1, 6, 0], [2, 2, 5]])
    out = call(model, tokens)
    assert out.shape == (2, 3, 2)
    assert parameters(model) == count + 4 * 2 + 2
    agree(out[1, :1], call(model, jnp.asarray([[2]]))[0])


def test_stacked_two_way_layers_count_their_parameters():
    count = parameters(network("gru", layers=2, bidirectional=True, layer_norm=True))
    gru = lambda features: 3 * 4 * (features + 4) + 4 * 4
    assert count == 2 * gru(2) + 2 * gru(8) + 2 * 2 * 8 + 8 * 2 + 2


def test_layers_and_directions_do_not_share_their_start():
    model = network(layers=2, bidirectional=True)
    starts = [np.asarray(way.weights.r[0][...]) for ways in model.layers for way in ways]
    assert all(np.abs(a - b).max() > 1e-3 for k, a in enumerate(starts) for b in starts[:k])


def test_gradients_reach_every_parameter():
    model = network("peephole", layers=2, bidirectional=True, layer_norm=True)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    loss = lambda params: (nnx.merge(graph, params, rest)(X, lengths=LENGTHS) ** 2).sum()
    grads = jax.jit(jax.grad(loss), compiler_options=FAST)(params)
    assert all(
        np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "hidden=0"),
        ({"layers": 0}, "layers=0"),
        ({"embed": 0}, "embed=0"),
        ({"dropout": 1.0}, r"dropout=1\.0"),
        ({"dropout": -0.1}, r"dropout=-0\.1"),
    ],
)
def test_an_impossible_shape_is_refused_by_name_and_value(settings, message):
    with pytest.raises(ValueError, match=message):
        NetworkSpec(**settings)


@pytest.mark.parametrize(("features", "vocabulary"), [(None, None), (2, 3)])
def test_inputs_are_either_features_or_tokens(features, vocabulary):
    with pytest.raises(ValueError, match=f"features={features}, vocabulary={vocabulary}"):
        Network(
            "lstm",
            NetworkSpec(),
            outputs=1,
            features=features,
            vocabulary=vocabulary,
            rngs=nnx.Rngs(0),
        )


def test_an_unknown_readout_is_refused():
    with pytest.raises(ValueError, match="readout='lats'"):
        network(readout="lats")
