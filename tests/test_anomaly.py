"""Anomaly: a healthy heart in training, altered beats where they are said to be, ranks counted right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research.tasks.anomaly import FAR, LONGEST, SHORTEST, Anomaly, draw, ranked

SPEC = Anomaly(length=300, noise=0.0, held_out=40)
DRAWN = jax.jit(draw, static_argnums=(0, 2))
KEY = jax.random.key(3)


def test_altered_samples_are_those_far_from_the_healthy_beat():
    """The same key draws the same beats, healthy and altered."""
    healthy, altered = (jax.tree.map(np.asarray, DRAWN(SPEC, KEY, 40, rate)) for rate in (0.0, 0.5))
    assert not healthy.extent.any() and 0.02 < altered.extent.mean() < 0.3
    gap = np.abs(healthy.targets - altered.targets)[..., 0]
    clear = np.abs(gap - FAR) > 1e-5
    assert ((gap > FAR) == (altered.extent == 1))[clear].all()
    assert gap.max() > 0.7  # a T wave upside down


def test_beats_last_from_64_to_96_samples_with_an_r_peak_of_1():
    batch = jax.tree.map(np.asarray, DRAWN(SPEC, KEY, 40, 0.0))
    lasts = []
    for row in batch.targets[..., 0]:
        peaks = np.flatnonzero((row[1:-1] > row[:-2]) & (row[1:-1] >= row[2:]) & (row[1:-1] > 0.7))
        lasts += np.diff(peaks).tolist()
    # R lies in the middle of a beat, so peaks are half of one beat and half of the next apart
    assert min(lasts) >= SHORTEST - 1 and max(lasts) <= LONGEST + 1 and np.std(lasts) > 4
    assert 0.9 < batch.targets.max() <= 1.01


def test_a_target_is_the_next_input_and_the_first_beat_is_not_scored():
    batch = jax.tree.map(np.asarray, DRAWN(SPEC, KEY, 4, 0.1))
    assert (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()
    assert (batch.mask == (np.arange(300) >= LONGEST)).all()


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_the_share_of_pairs_counted_one_by_one(ties):
    random = np.random.default_rng(1)
    values = random.integers(0, 6, 60) * 1.0 if ties else random.normal(size=60)
    sort = random.integers(0, 3, 60)  # 2: not scored
    pairs = [(a > b) + (a == b) / 2 for a in values[sort == 1] for b in values[sort == 0]]
    won, all_ = ranked(jnp.asarray(values, float), jnp.asarray(sort == 1), jnp.asarray(sort == 0))
    assert float(won) == pytest.approx(sum(pairs)) and float(all_) == len(pairs)


def test_few_sequences_without_an_altered_beat_are_refused():
    with pytest.raises(ValueError, match=r"held_out=1: no beat of (valid|test) is altered"):
        Anomaly(length=100, held_out=1, rate=1e-6).build()
