"""Which dimensions of a code are used, by their rate. NumPy alone: tables count them as well."""

import numpy as np

ALIVE_NATS = 0.05


def alive(rate_nats, idle_nats=0.0) -> np.ndarray:
    """Whether each dimension is used: whether its mean rate is more than 0.05 nats above that of one that carries nothing.

    Training leaves a rate of some thousandths of a nat, up to 0.02, in dimensions that tell nothing of the image, more in short
    trainings; the least rates of dimensions that do begin at 0.1. 0.05 lies in the middle of that gap in every spectrum of
    results/. Of a Gaussian source and a linear VAE the least variance whose dimension counts is 1.1 times the level beta / 2
    below which it gets no rate at all. The papers give no threshold.

    Args:
        rate_nats: means over examples, (d,): KL from the prior, or -log s of Echo.
        idle_nats: 0, or Echo's -log clip, which every dimension is charged.
    """
    return np.asarray(rate_nats) - idle_nats > ALIVE_NATS
