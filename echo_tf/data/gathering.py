"""From the parts of one or many files to arrays by split: nothing is held twice, and nothing belongs to no split."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from echo_tf.data.contents import Part
from echo_tf.data.naming import SPLITS
from echo_tf.errors import InputError


class Gathered(NamedTuple):
    """examples, labels, factors: split -> array as it was read. class_names, factor_names: where they were given.

    whole: nothing said a split, all is in "train".
    """

    examples: dict
    labels: dict
    factors: dict
    class_names: tuple
    factor_names: tuple
    whole: bool


def gather(parts: Sequence[Part], notes: Sequence[str] = ()) -> Gathered:
    """Sorts parts by what they hold and by split. What says no split is the training part if there are other splits.

    Args:
        parts: of all files.
        notes: of their readers, on what was not understood: what is missing may be there under another name.

    Raises:
        InputError: for two arrays of one kind and split, no training examples, labels or factors without their examples or of
            another number.
    """
    found = {role: _by_split(role, parts) for role in ("examples", "labels", "factors")}
    examples = found["examples"]
    whole = examples.keys() == {None}
    if None in examples:
        for one in found.values():
            if None in one:
                one.setdefault("train", one[None])
                _refuse_two(one["train"], one.pop(None))
    if "train" not in examples:
        there = ", ".join(f"{part.where} ({split})" for split, part in examples.items())
        there = "; ".join([there or "no examples at all", *notes])
        raise InputError(f"there are no training examples, got {there}: name them train, as x_train.")
    for role in ("labels", "factors"):
        for split, part in found[role].items():
            if split not in examples:
                raise InputError(f"{part.where} are {role} of {split or 'no split'}, which has no examples.")
            if len(_along(part.array, len(examples[split].array))) != len(examples[split].array):
                raise InputError(
                    f"{part.where} has the shape {part.array.shape} for the {len(examples[split].array):,} examples of "
                    f"{examples[split].where}."
                )
    if found["factors"] and found["factors"].keys() != examples.keys():
        raise InputError(f"factors are given for {', '.join(found['factors'])}, examples for {', '.join(examples)}.")
    arrays = {
        role: {split: _array(one[split], examples[split]) for split in SPLITS if split in one} for role, one in found.items()
    }
    names = {role: _names(role, parts) for role in ("class names", "factor names")}
    return Gathered(arrays["examples"], arrays["labels"], arrays["factors"], *names.values(), whole)


def _by_split(role, parts):
    found = {}
    for part in parts:
        if part.role != role:
            continue
        if not np.ndim(part.array):
            raise InputError(f"{part.where} is a single value, an array (n, ...) is needed.")
        _refuse_two(found.setdefault(part.split, part), part)
    return found


def _refuse_two(one, other):
    if one is not other:
        raise InputError(
            f"{one.where} and {other.where} both hold the {one.role} of {one.split or 'no split'}: "
            "give one of them, or put train, valid and test into their names."
        )


def _along(array, number):
    """An array with its examples first: MATLAB's labels are rows."""
    array = np.asarray(array)
    return array.reshape(-1) if array.shape == (1, number) else array


def _array(part, examples):
    return part.array if part.role == "examples" else _along(part.array, len(examples.array))


def _names(role, parts):
    """Names of classes or factors, as text, the same in all files."""
    found = {tuple(_text(one) for one in np.asarray(part.array).reshape(-1).tolist()) for part in parts if part.role == role}
    if len(found) > 1:
        raise InputError(f"the files have different {role}.")
    return next(iter(found), ())


def _text(one):
    return one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
