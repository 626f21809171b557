"""Generative adversarial networks and adversarial autoencoders, and what tells whether one has collapsed. TensorFlow alone."""

import importlib

_HOMES = {
    "autoencoder": ["AdversarialAutoencoder"],
    "collapse": ["indicators"],
    "losses": ["gradient_penalty", "representation_entropy"],
    "network": ["GenerativeAdversarialNetwork"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
