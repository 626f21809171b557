"""Kinds of run by their names: the kind NAME is the module `echo_tf.kinds.NAME`, found and never registered."""

import importlib
import pkgutil
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from echo_tf.errors import InputError, nearest

DEFAULT = "autoencoder"  # of studies and records that do not say, as the first ones did not
REQUIRED = ("Settings", "perform", "rows")


class Guess(float):
    """Seconds that are an estimate from other work than the run's own, and said to be a guess."""


def kinds() -> list[str]:
    """The names of all kinds."""
    from echo_tf import kinds as package

    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def kind_of(name: Any) -> ModuleType:
    """The module of a kind.

    Raises:
        InputError: if there is no such kind, or it lacks what every kind has.
    """
    module = sys.modules.get(f"echo_tf.kinds.{name}")
    if all(hasattr(module, part) for part in REQUIRED):
        return module  # to list the folder for each of hundreds of records takes seconds
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in kinds():
        raise InputError(f"'kind' must be one of {', '.join(kinds())}, got {name!r}{nearest(str(name), kinds())}.")
    try:
        module = importlib.import_module(f"echo_tf.kinds.{name}")
    except (SyntaxError, ArithmeticError, LookupError, TypeError, ValueError, NameError, AttributeError) as error:
        raise InputError(f"the kind {name!r} cannot be imported ({type(error).__name__}: {error}): mend it.") from error
    lacking = [part for part in REQUIRED if not hasattr(module, part)]
    if lacking:
        raise InputError(f"the kind {name!r} ({module.__file__}) lacks {', '.join(lacking)}: see echo_tf/kinds/README.md.")
    return module


def needs(settings) -> Sequence:
    """The settings of the runs that must be done before this one."""
    return _optional(settings.kind, "needs", lambda settings: ())(settings)


def line(record: dict) -> str:
    """What came of a run, in words: for a line of output."""
    if record["status"] != "finished":
        return record.get("reason", record["status"])
    return _optional(record["kind"], "line", lambda record: "done")(record)


def seconds_left(settings, done: int, finished: Sequence) -> float | None:
    """An estimate of the seconds that a run still takes, a `Guess` where it is from other work, None where nothing tells.
    `finished`: `Result`s of its kind."""
    return _optional(settings.kind, "seconds_left", _mean_seconds)(settings, done, finished)


def same_work(settings) -> str:
    """What decides the work of a run, as text: runs of equal text do the same, and one record serves them all."""
    return _optional(settings.kind, "same_work", lambda settings: settings.work())(settings)


def forms(kind: str, what: str) -> Sequence[str]:
    """The tables or figures ("TABLES", "FIGURES") that a kind has where a study does not say; else its rows as they are."""
    return getattr(kind_of(kind), what, ("rows",) if what == "TABLES" else ())


def _optional(kind, part, default):
    return getattr(kind_of(kind), part, default)


def _mean_seconds(settings, done, finished):
    seconds = [result.record["seconds"] for result in finished if "seconds" in result.record]  # those of older versions lack it
    total = settings.amount[0] if settings.amount else 1
    return Guess(sum(seconds) / len(seconds) * (1 - done / total)) if seconds else None
