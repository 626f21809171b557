"""Packages whose names are imported when they are first asked for, so that nothing waits for Keras that does without."""

import importlib
import sys
from collections.abc import Mapping, Sequence


def lazily(package: str, homes: Mapping[str, Sequence[str]], rooms: Sequence[str] = ()):
    """What a package's `__init__` needs for it.

    Args:
        package: its `__name__`.
        homes: module within the package -> the public names that are defined there.
        rooms: packages within it that are names, too, but not of `__all__`.

    Returns:
        (`__all__`, `__getattr__`, `__dir__`) of the package; see PEP 562.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def find(name):
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)

    def names():
        return sorted({*vars(sys.modules[package]), *home_of, *rooms})

    return sorted(home_of), find, names
