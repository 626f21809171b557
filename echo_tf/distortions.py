"""Distortions: what is lost, in nats per example, from the decoder's output.

Each takes x (B, ...) and the decoder's output of the same shape and gives (B,), and knows the
reconstruction that an output stands for.
"""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops


class Distortion(NamedTuple):
    """A measure of distortion.

    nats: (x, output) -> (B,), -log p(x|z).
    reconstruct: output -> the mean of p(x|z), shape of x.
    """

    nats: Callable
    reconstruct: Callable


def _bernoulli_nats(x, logits):
    logits = ops.cast(logits, "float32") if logits.dtype != "float64" else logits
    x = ops.cast(x, logits.dtype)
    # softplus(l) - x l is -x log sigmoid(l) - (1 - x) log(1 - sigmoid(l)), with no probability rounded to 0 or 1
    return ops.sum(ops.softplus(logits) - x * logits, axis=tuple(range(1, len(x.shape))))


DISTORTIONS = {
    # Echo paper, section 3.1: d(x, z) = -log p(x|z), every pixel a Bernoulli variable (grey levels as probabilities)
    "bernoulli": Distortion(_bernoulli_nats, ops.sigmoid),
}
