"""echo_tf: rate and distortion in learned representations, for Keras 3.

Rates and distortions are nats per example throughout.
"""

from echo_tf.autoencoder import RateDistortionAutoencoder
from echo_tf.bias import Bias
from echo_tf.channels import EchoSample, GaussianSample, half, tanh16
from echo_tf.guards import at_least_float32
from echo_tf.marginals import StandardNormal
from echo_tf.methods import METHODS, make_method
from echo_tf.noise import echo_noise, exact_clip

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Bias",
    "EchoSample",
    "GaussianSample",
    "RateDistortionAutoencoder",
    "StandardNormal",
    "at_least_float32",
    "echo_noise",
    "exact_clip",
    "half",
    "make_method",
    "tanh16",
]
