"""What the present input alone foretells: the baselines by which data sets say their chance level.

Each is fitted in closed form on training data and scored on test data, in NumPy. On real data the best
answer without memory is not known; these are the best linear one and the best constant one, and the
better of the two counts, metric by metric. Tokens are exact: a table of counts.
"""

from typing import Any

import numpy as np

from lstm_research.axes import Float, Int

RIDGE = 1e-3  # share of the mean variance added to every variance, for inputs that never change
HALF = 0.5  # a count added to every outcome, for those that training never saw

Inputs = Float[np.ndarray, "scored features"] | Int[np.ndarray, "scored"]
Classes = Int[np.ndarray, "scored"]


def classified(
    train: Inputs, classes: Classes, test: Inputs, answers: Classes, many: int
) -> dict[str, float]:
    """Return accuracy and nll (nats) on test of the answers fitted on train.

    Floats: the linear discriminant of classes with one covariance. Tokens: how often each class
    came with each token.
    """
    counts = np.bincount(classes, minlength=many) + HALF
    prior = np.log(counts / counts.sum())
    constant = np.broadcast_to(prior, (len(test), many))
    if train.ndim == 1:
        return _scored([constant, _table(train, classes, test, many)], answers)
    return _scored([constant, _discriminant(train, classes, test, prior)], answers)


def _scored(logits: list[np.ndarray], answers: Classes) -> dict[str, float]:
    nlls, shares = [], []
    for each in logits:
        top = each.max(axis=1, keepdims=True)
        logs = each - top - np.log(np.exp(each - top).sum(axis=1, keepdims=True))
        nlls.append(-logs[np.arange(len(answers)), answers].mean())
        shares.append((logs.argmax(axis=1) == answers).mean())
    return {"accuracy": float(max(shares)), "nll": float(min(nlls))}


def _table(train: np.ndarray, classes: Classes, test: np.ndarray, many: int) -> np.ndarray:
    tokens = int(max(train.max(), test.max())) + 1
    counts = np.full((tokens, many), HALF)
    np.add.at(counts, (train, classes), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True))[test]


def _discriminant(
    train: np.ndarray, classes: Classes, test: np.ndarray, prior: np.ndarray
) -> np.ndarray:
    many, middle = len(prior), train.mean(axis=0)
    means = np.stack(
        [train[classes == k].mean(axis=0) if (classes == k).any() else middle for k in range(many)]
    )
    spread = train - means[classes]
    covariance = spread.T @ spread / len(train)
    level = RIDGE * np.trace(covariance) / len(covariance) + 1e-9
    rows = np.linalg.solve(covariance + level * np.eye(len(covariance)), means.T)
    return test @ rows - 0.5 * (means * rows.T).sum(axis=1) + prior


def regressed(
    train: Inputs, targets: np.ndarray, test: Inputs, answers: np.ndarray
) -> dict[str, float]:
    """Return mse on test, summed over outputs, of the straight line (tokens: the mean of each)."""
    constant = ((answers - targets.mean(axis=0)) ** 2).sum(axis=1).mean()
    if train.ndim == 1:
        tokens = int(max(train.max(), test.max())) + 1
        train, test = np.eye(tokens)[train], np.eye(tokens)[test]
    straight = ((answers - line(train, targets)(test)) ** 2).sum(axis=1).mean()
    return {"mse": float(min(constant, straight))}


def line(inputs: np.ndarray, targets: np.ndarray) -> Any:
    """Return the least squares fit of targets by inputs and a constant, as a function of inputs."""
    wide = lambda x: np.concatenate([x, np.ones((len(x), 1))], axis=1)
    weights = np.linalg.lstsq(wide(inputs), targets, rcond=None)[0]
    return lambda x: wide(x) @ weights


def marginal(targets: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """Return nll on test, summed over outputs, of bits of which only the frequencies are known."""
    share = (targets.sum(axis=0) + HALF) / (len(targets) + 2 * HALF)
    logs = answers * np.log(share) + (1 - answers) * np.log(1 - share)
    return {"nll": float(-logs.sum(axis=1).mean())}
