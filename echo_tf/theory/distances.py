"""Squared distances among many points, in blocks that fit in memory."""

import numpy as np

BLOCK = 2_000_000  # numbers in a block of distances


def blocks(rows, columns):
    step = max(1, BLOCK // columns)
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]


def squared_distances(x, y):
    """|x_i - y_j|², (n, N), by expansion."""
    d = x @ y.T
    d *= -2
    d += np.einsum("ij,ij->i", x, x)[:, None]
    d += np.einsum("ij,ij->i", y, y)
    return np.maximum(d, 0, out=d)


def centred_distances(x, y):
    centre = x.mean(axis=0)
    return squared_distances(x - centre, y - centre)


def exponentiate(logs):
    """exp(logs - the row's largest), in place, and the log of the sum of exp(logs) of each row."""
    top = logs.max(axis=1, keepdims=True)
    logs -= top
    np.exp(logs, out=logs)
    return np.log(logs.sum(axis=1, dtype=np.float64)) + top[:, 0]


def no_check():
    """What long work calls between its steps where nobody may ask it to stop."""
