"""Annealed importance sampling: rate-distortion curves of any decoder, and how tight they are. TensorFlow alone."""

import importlib

_HOMES = {
    "annealing": ["Annealed", "Annealing"],
    "bidirectional": ["bidirectional_gap"],
    "decoders": ["GaussianBlur", "blurred", "in_features"],
    "curve": ["rate_distortion_curve"],
    "plan": ["PRESETS", "Plan"],
    "plotting": ["plot"],
    "priors": ["ScaleMixture", "fitted_mixture", "prior_of"],
    "sampler": ["Sampler"],
    "schedule": ["Schedule", "adapted_schedule", "sigmoid_schedule"],
    "step_sizes": ["StepSizes"],
    "target": ["Target"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
