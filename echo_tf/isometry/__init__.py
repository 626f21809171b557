"""A VAE as a scaled isometric embedding: what its latent dimensions are worth, and what they say of the data's density.

README.md says what it does, how to use it and how to read the numbers.
"""

import importlib

_HOMES = {
    "analysis": ["Analysis", "analyse", "analyse_echo", "examine", "examine_echo"],
    "decomposed": ["DecomposedAutoencoder"],
    "gdn": ["GDN", "IGDN"],
    "group": ["StackedAutoencoders"],
    "losses": ["WeightedSquaredError"],
    "picture": ["plot"],
    "traversal": ["traversals"],
    "sources": ["Density", "Source", "source_of"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
