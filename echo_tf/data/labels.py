"""From labels of any form to classes (n,), and from factors of variation to integers (n, F)."""

from collections.abc import Mapping

import numpy as np

from echo_tf.errors import InputError


def as_classes(labels: Mapping[str, np.ndarray]) -> tuple[dict, tuple]:
    """Class labels by split as int64 (n,), and the names of the classes, () if they have none.

    Integers stay as they are, also as floats, also (n, 1); one-hot rows (n, K) become 0..K-1; names become 0, 1, ... in their
    sorted order over all splits (by number, if all are numbers).

    Raises:
        InputError: for other shapes, fractions, NaN, or names beside numbers.
    """
    found = {split: _flat(split, np.asarray(array)) for split, array in labels.items()}
    texts = {split: _texts(array) for split, array in found.items()}
    if all(text is not None for text in texts.values()) and texts:
        names = sorted({name for text in texts.values() for name in text})
        names = sorted(names, key=int) if all(name.isdecimal() for name in names) else names
        bad = [name for name in names if not name or name != name.strip() or "\n" in name]
        if bad:
            raise InputError(f"labels must be names on one line without blanks around them, got {bad[0]!r}.")
        index = {name: i for i, name in enumerate(names)}
        return {split: np.array([index[name] for name in text], np.int64) for split, text in texts.items()}, tuple(names)
    if any(text is not None for text in texts.values()):
        raise InputError(f"labels are names in {next(s for s in texts if texts[s] is not None)} and numbers in another split.")
    return {split: _whole(f"labels of {split}", array) for split, array in found.items()}, ()


def as_factors(factors: Mapping[str, np.ndarray]) -> tuple[dict, tuple]:
    """Factors of variation by split, integers (n, F) of as few bytes as hold them, and the sizes: the largest of each plus 1.

    Raises:
        InputError: for other shapes, fractions, or values below 0.
    """
    found = {}
    for split, array in factors.items():
        array = np.asarray(array)
        if array.ndim != 2 or not array.size:
            raise InputError(f"factors of {split} must be integers (n, F), got the shape {array.shape}.")
        found[split] = _whole(f"factors of {split}", array)
        if found[split].min() < 0 or found[split].max() > 2**31:
            raise InputError(f"factors of {split} must count from 0, got {found[split].min()}..{found[split].max()}.")
    if len({array.shape[1] for array in found.values()}) > 1:
        raise InputError(f"factors differ in number: {', '.join(f'{split} {array.shape}' for split, array in found.items())}.")
    sizes = tuple(int(size) for size in np.max([array.max(axis=0) for array in found.values()], axis=0) + 1)
    return {split: array.astype(np.min_scalar_type(max(sizes) - 1)) for split, array in found.items()}, sizes


def _flat(split, array):
    """Labels (n,) of (n,), (n, 1, ...), (1, n) or one-hot (n, K)."""
    if array.ndim > 1 and array.size == max(array.shape):
        array = array.reshape(-1)
    if array.ndim == 2 and array.dtype.kind in "biuf" and array.shape[1] > 1:
        if ((array == 1).sum(axis=1) == 1).all() and ((array == 0).sum(axis=1) == array.shape[1] - 1).all():
            return array.argmax(axis=1)
        raise InputError(
            f"labels of {split} have the shape {array.shape} and are not one-hot: one class an example is needed; "
            "factors of variation are to be named factors."
        )
    if array.ndim != 1:
        raise InputError(f"labels of {split} must be (n,), (n, 1) or one-hot (n, K), got the shape {array.shape}.")
    return array


def _texts(array):
    """The labels as a list of str, None if they are numbers."""
    if array.dtype.kind in "US" or (array.dtype.kind == "O" and all(isinstance(one, (str, bytes)) for one in array)):
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in array.tolist()]
    return None


def _whole(what, array):
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be integers or names, got {array.dtype.name}.")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        odd = array[~(np.isfinite(array) & (array == np.rint(array)))].flat[0]
        raise InputError(f"{what} must be integers or names, got {odd:g}.")
    if array.size and not -(2.0**53) <= array.min() <= array.max() <= 2.0**53:
        raise InputError(f"{what} must be integers, got {array.min()}..{array.max()}.")
    return array.astype(np.int64)
