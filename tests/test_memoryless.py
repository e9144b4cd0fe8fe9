"""Baselines reach what is known by hand, and never use more than the present input."""

import numpy as np
import pytest

from lstm_research.tasks.memoryless import classified, line, marginal, regressed

RANDOM = np.random.default_rng(0)


def test_two_bells_are_told_apart_as_well_as_a_discriminant_can():
    classes = RANDOM.integers(0, 2, 20_000)
    inputs = RANDOM.normal(size=(20_000, 2)) + 2.0 * classes[:, None] * [1.0, 0.0]
    found = classified(inputs[:10_000], classes[:10_000], inputs[10_000:], classes[10_000:], 2)
    assert found["accuracy"] == pytest.approx(0.8413, abs=0.01)  # the normal distribution at 1


def test_inputs_that_never_change_leave_the_prior():
    classes = np.array([0, 0, 0, 1])
    found = classified(np.zeros((4, 3)), classes, np.zeros((4, 3)), classes, 2)
    assert found["accuracy"] == 0.75
    share = np.array([3.5, 1.5]) / 5
    assert found["nll"] == pytest.approx(-(0.75 * np.log(share[0]) + 0.25 * np.log(share[1])))


def test_a_table_of_tokens_is_the_table_counted_by_hand():
    tokens, classes = RANDOM.integers(0, 3, 500), RANDOM.integers(0, 2, 500)
    classes = np.where(tokens == 2, 1, classes)
    found = classified(tokens[:400], classes[:400], tokens[400:], classes[400:], 2)
    total = right = 0.0
    for token, answer in zip(tokens[400:], classes[400:], strict=True):
        seen = classes[:400][tokens[:400] == token]
        shares = [((seen == k).sum() + 0.5) / (len(seen) + 1) for k in range(2)]
        total -= np.log(shares[answer])
        right += np.argmax(shares) == answer
    assert found["nll"] == pytest.approx(total / 100)
    assert found["accuracy"] == pytest.approx(right / 100)


def test_a_class_that_training_lacks_breaks_nothing():
    found = classified(
        np.array([[0.0], [1.0]]), np.array([0, 1]), np.ones((2, 1)), np.array([1, 2]), 3
    )
    assert np.isfinite(found["nll"]) and found["accuracy"] <= 0.5


def test_a_straight_line_is_found_and_noise_is_left():
    inputs = RANDOM.normal(size=(4000, 2))
    targets = inputs @ [[1.0], [-2.0]] + 3.0 + 0.5 * RANDOM.normal(size=(4000, 1))
    found = regressed(inputs[:3000], targets[:3000], inputs[3000:], targets[3000:])
    assert found["mse"] == pytest.approx(0.25, rel=0.1)
    assert line(inputs, targets)(np.zeros((1, 2))) == pytest.approx(np.full((1, 1), 3.0), abs=0.1)


def test_the_mean_of_each_token_is_what_tokens_foretell():
    tokens = np.array([0, 0, 1, 1])
    targets = np.array([[1.0], [3.0], [10.0], [10.0]])
    assert regressed(tokens, targets, np.array([0, 1]), np.array([[2.0], [10.0]]))["mse"] < 1e-12


def test_bits_of_known_frequency_cost_their_entropy():
    bits = (RANDOM.random((50_000, 2)) < [0.5, 0.1]).astype(float)
    entropy = np.log(2) - 0.1 * np.log(0.1) - 0.9 * np.log(0.9)
    assert marginal(bits, bits)["nll"] == pytest.approx(entropy, rel=1e-2)
