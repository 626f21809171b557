"""Figures, rebuilt from the records of a study alone: each a PNG and a PDF with its numbers as CSV beside it.

The form NAME that a study asks for is the module `echo_tf.figures.NAME`: it gives `write(material)`, which draws what the
records allow below results/figures and returns the paths of the PNGs. `style` is what they share.
"""

import importlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from echo_tf.runs.records import Result
from echo_tf.runs.studies import Study
from echo_tf.tables import made, materials


def need_keras(study: Study) -> bool:
    """Whether a form that the study asks for computes with Keras, which it says by `NEEDS_KERAS`; most read records alone."""
    modules = (f"{__name__}.{form}" for form in study.forms("figures"))
    return any(find_spec(name) and getattr(importlib.import_module(name), "NEEDS_KERAS", False) for name in modules)


def write(results: str | Path, name: str, every: Sequence[Result], study: Study | None = None) -> list[Path]:
    """Draws the figures of a study and returns the paths of the PNGs; arguments as `echo_tf.tables.write`.

    Raises:
        InputError: if the study has no finished runs, or asks for a form that does not exist.
    """
    paths = []
    for form, material in materials("figures", results, name, every, study):
        paths += made("figures", form, material)
    return paths
