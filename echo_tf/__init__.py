"""echo_tf: rate and distortion in learned representations, for Keras 3.

Rates and distortions are nats per example throughout.
"""

import os
import sys

if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors, and not which processor and which libraries there are

from echo_tf.autoencoder import RateDistortionAutoencoder
from echo_tf.bias import Bias
from echo_tf.channels import FlowSample, GaussianSample
from echo_tf.distortions import Bernoulli, CallableDistortion, Distortion, Gaussian, SquaredError
from echo_tf.echo_sample import EchoSample
from echo_tf.flows import AutoregressiveFlow
from echo_tf.guards import at_least_float32
from echo_tf.heads import half, tanh16
from echo_tf.marginals import FlowMarginal, StandardNormal, VampPrior
from echo_tf.methods import METHODS, make_method
from echo_tf.noise import echo_noise, exact_clip
from echo_tf.optimizers import FusedAdam
from echo_tf.penalties import MaximumMeanDiscrepancy
from echo_tf.point_convolutions import ConvFromPoint, ConvToPoint
from echo_tf.pools import adapt
from echo_tf.schedules import BetaWarmup

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "AutoregressiveFlow",
    "Bernoulli",
    "BetaWarmup",
    "Bias",
    "CallableDistortion",
    "ConvFromPoint",
    "ConvToPoint",
    "Distortion",
    "EchoSample",
    "FlowMarginal",
    "FlowSample",
    "FusedAdam",
    "Gaussian",
    "GaussianSample",
    "MaximumMeanDiscrepancy",
    "RateDistortionAutoencoder",
    "SquaredError",
    "StandardNormal",
    "VampPrior",
    "adapt",
    "at_least_float32",
    "echo_noise",
    "exact_clip",
    "half",
    "make_method",
    "tanh16",
]
