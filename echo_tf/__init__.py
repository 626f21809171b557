"""echo_tf: rate and distortion in learned representations, for Keras 3.

Rates and distortions are nats per example throughout.
"""

import importlib
import os
import sys

from echo_tf.lazy import lazily

if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors, and not which processor and which libraries there are

__version__ = "0.3.0"

_HOMES = {
    "adversarial.autoencoder": ["AdversarialAutoencoder"],
    "adversarial.network": ["GenerativeAdversarialNetwork"],
    "autoencoder": ["RateDistortionAutoencoder"],
    "bias": ["Bias"],
    "channels": ["FlowSample", "GaussianSample"],
    "convolutions": ["ConvFromPoint", "ConvToImage", "ConvToPoint", "ConvTransposeToImage"],
    "distortions": ["Bernoulli", "CallableDistortion", "Distortion", "Gaussian", "SquaredError", "StructuralDissimilarity"],
    "echo_sample": ["EchoSample"],
    "flows": ["AutoregressiveFlow"],
    "guards": ["at_least_float32"],
    "heads": ["half", "tanh16"],
    "isometry.decomposed": ["DecomposedAutoencoder"],
    "isometry.gdn": ["GDN", "IGDN"],
    "isometry.group": ["StackedAutoencoders"],
    "isometry.losses": ["WeightedSquaredError"],
    "marginals": ["FlowMarginal", "StandardNormal", "VampPrior"],
    "methods": ["METHODS", "make_method"],
    "noise": ["echo_noise", "exact_clip"],
    "optimizers": ["FusedAdam"],
    "penalties": ["MaximumMeanDiscrepancy", "TotalCorrelation"],
    "pools": ["adapt"],
    "schedules": ["BetaWarmup"],
    "theory.blahut_arimoto": ["blahut_arimoto"],
}
_ROOMS = ("adversarial", "ais", "disentangle", "isometry", "theory")  # imported when they are asked for

__all__, __getattr__, __dir__ = lazily(__name__, _HOMES, _ROOMS)


def load_all():
    """Imports every public layer, so that Keras knows them all by name when it loads a model."""
    for module in _HOMES:
        importlib.import_module(f"{__name__}.{module}")


if os.environ.get("ECHO_TF_LAZY") != "1":  # run.py sets it: commands that need no tensors do not wait for Keras
    load_all()
