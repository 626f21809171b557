"""What the analysis reads of a trained autoencoder: where each image's code lies, and how far its noise reaches."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from echo_tf.channels import GaussianSample
from echo_tf.echo_sample import EchoSample
from echo_tf.marginals import StandardNormal


class Encoded(NamedTuple):
    """The codes of n images, arrays (n, d) float32.

    mean: E[z|x], where the decoder is differentiated.
    scale: the standard deviation of z given x.
    share: that in units of the standard deviation that all codes have: the prior's, which is 1, or that of Echo's codes.
    rate_nats: of each dimension: KL_j(x) of a Gaussian channel, -log s_j(x) of Echo.
    idle_nats: the rate of a dimension that carries nothing: 0, or Echo's -log clip.
    draw: a generator of random numbers -> one code of each image, (n, d).
    """

    mean: np.ndarray
    scale: np.ndarray
    share: np.ndarray
    rate_nats: np.ndarray
    idle_nats: float
    draw: Callable


def encoded(model, images, batch_size: int) -> Encoded:
    """The codes of a model with a Gaussian channel and a standard normal prior.

    Raises:
        ValueError: for another channel, another marginal, or codes that are no vectors.
    """
    channel = getattr(model, "channel", None)
    if type(channel) is not GaussianSample:
        other = ": analyse_echo has the counterpart for Echo's" if isinstance(channel, EchoSample) else "."
        raise ValueError(
            f"the analysis needs a model with a Gaussian channel, GaussianSample, got {type(channel or model).__name__}{other}"
        )
    if not isinstance(model.marginal, StandardNormal):
        raise ValueError(f"the analysis needs the marginal StandardNormal, got {type(model.marginal).__name__}.")
    loc, log_scale = _encodings(model, images, batch_size)
    scale = np.exp(log_scale)
    rate = 0.5 * (loc.astype(float) ** 2 + scale.astype(float) ** 2 - 1) - log_scale

    def draw(random):
        return loc + scale * random.standard_normal(loc.shape, dtype=np.float32)

    return Encoded(loc, scale, scale, rate, 0.0, draw)


def encoded_by_echo(model, images, batch_size: int) -> Encoded:
    """The same of a model with an Echo channel: ours, no paper has it.

    Echo noise has the law of the code itself, so that z given x spreads by s_j(x) times the standard deviation of z_j.

    Raises:
        ValueError: for another channel, or codes that are no vectors.
    """
    channel = getattr(model, "channel", None)
    if not isinstance(channel, EchoSample) or channel.multiplicative:
        said = "a multiplicative EchoSample" if isinstance(channel, EchoSample) else type(channel or model).__name__
        raise ValueError(f"this analysis needs a model with an additive Echo channel, got {said}.")
    loc, log_sigmoid = encodings = _encodings(model, images, batch_size)
    idle = channel.rate_floor / loc.shape[1]
    log_scale = (log_sigmoid - idle).astype(np.float32)
    deviation = np.asarray(model.sample(images, batch_size), np.float32).std(axis=0)
    mean = np.asarray(ops.convert_to_numpy(channel.mean(encodings)), np.float32)
    share = np.exp(log_scale)
    rate = -log_scale.astype(np.float64)
    return Encoded(mean, share * deviation, share, rate, idle, lambda random: model.sample(images, batch_size))


def _encodings(model, images, batch_size):
    found = [np.asarray(head, np.float32) for head in model.encode(images, batch_size)]
    if found[0].ndim != 2:
        raise ValueError(f"the analysis needs codes that are vectors, (n, d), got the shape {found[0].shape}.")
    return found


def normal_log_density(values) -> np.ndarray:
    """log N(value; 0, 1) of each element, in nats."""
    return -0.5 * (np.asarray(values, np.float64) ** 2 + math.log(2 * math.pi))
