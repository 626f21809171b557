"""Tables, rebuilt from records alone: the form NAME that a study asks for is the module `echo_tf.tables.NAME`.

A form gives `write(material)`, which writes below results/tables and returns Markdown, or None where the records give nothing.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from echo_tf.errors import InputError, nearest
from echo_tf.runs.kind_of import forms
from echo_tf.runs.records import Result, study_names
from echo_tf.runs.studies import Published, Study

SHARED = (
    "published",
    "documents",
    "style",
    "panels",
    "annealed_curves",
    "isometric_toys",
)  # modules beside the forms that are none


class Material(NamedTuple):
    """What a table or figure is made from.

    results: the results folder.
    study: the name of the study.
    own: the records of the study.
    every: those of all studies, among which are measurements of its runs.
    published: the numbers that stand beside, a `Published`, or None.
    published_folder: where its file is.
    """

    results: Path
    study: str
    own: Sequence[Result]
    every: Sequence[Result]
    published: Published | None = None
    published_folder: Path = Path("results/published")

    @property
    def stem(self) -> str:
        """The path of the study's tables, without an ending."""
        return str(Path(self.results, "tables", self.study))


def write(results: str | Path, name: str, every: Sequence[Result], study: Study | None = None, published=None) -> list[str]:
    """Writes the tables of a study below results/tables, and returns their Markdown.

    Args:
        results: the results folder.
        name: the study's name.
        every: all records of the folder.
        study: its file, which says which tables; None: those of the kinds of its records.
        published: the folder of published numbers.

    Raises:
        InputError: if the study has no finished runs, or asks for a form that does not exist.
    """
    texts = []
    for form, material in materials("tables", results, name, every, study, published):
        text = made("tables", form, material)
        texts += [text] if text else []
    return texts


def made(what: str, form: str, material: Material):
    """What the form's `write` gives. Raises InputError where the records are not what their kinds write, edited most likely."""
    try:
        return importlib.import_module(f"echo_tf.{what}.{form}").write(material)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the {what} {form!r} of {material.study} cannot be made of its records ({type(error).__name__}: {error}): one of "
            "them, or of their .npz files, is not as its kind writes it; remove it and run again."
        ) from error


def check_forms(study: Study, published: str | Path) -> None:
    """Raises InputError for a study that asks for a table or figure that does not exist, or for published numbers that cannot
    stand beside."""
    for what in ("tables", "figures"):
        for form in study.forms(what):
            if form not in known_forms(what):
                raise InputError(_no_form(what, study.study, form))
    from echo_tf.tables.published import numbers_of

    for form in study.forms("tables"):
        if (asked := study.published_in(form)) is not None:
            numbers_of(asked, published, study.study)


def known_forms(what: str) -> list[str]:
    """The forms that "tables" or "figures" have."""
    modules = pkgutil.iter_modules(importlib.import_module(f"echo_tf.{what}").__path__)
    return [module.name for module in modules if module.name not in SHARED]


def _no_form(what, name, form):
    there = known_forms(what)
    return f"{what} have the forms {', '.join(there)}, {name} asks for {form!r}{nearest(form, there)}."


def materials(what, results, name, every, study=None, published=None):
    """Yields (form, `Material`) of a study's tables or figures. Raises InputError as `write`."""
    own = [result for result in every if result.settings.study == name]
    has_runs = study is None or study.has_runs
    if has_runs and not any(result.finished for result in own):
        known = ", ".join(study_names(every)) or "none"
        raise InputError(f"no finished runs of {name!r} in {Path(results, 'runs')}; there are {known}.")
    kinds = dict.fromkeys(result.settings.kind for result in own)
    wanted = [*(study.forms(what) if study else ()), *(form for kind in kinds for form in forms(kind, what.upper()))]
    if study is not None and getattr(study, what) is not None:
        wanted = getattr(study, what)
    there = known_forms(what)
    for form in dict.fromkeys(wanted):
        if form not in there:
            raise InputError(_no_form(what, name, form))
        beside = study.published_in(form) if study and what == "tables" else None
        yield form, Material(Path(results), name, own, every, beside, Path(published or Path(results, "published")))
