"""A dataset in memory: its splits, their range, labels and factors, and where they came from."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from echo_tf import arguments
from echo_tf.data.arrays import PackedImages, frozen, pieces
from echo_tf.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples by split. Nothing in it can be changed, arrays included.

    Raises InputError when it is made of values outside their range (NaN too), or of arrays that do not belong together.

    name, variant: which data, and in which form (tables name both).
    source: where they were read, "npz FILE", "tfds NAME/VERSION" or "scikit-learn".
    splits: "train", and perhaps "valid" and "test" -> images (n, H, W, C) or vectors (n, d), uint8 or float32.
    maximum: of uint8, the value that stands for 1.0; None for float32, which is passed on as it is.
    labels: split -> class labels (n,), where there are any.
    limits: the range (low, high) of what `floats` gives; of uint8 (0, 1); of float32 to be given.
    class_names: the name of class 0, 1, ..., where they have names.
    factors: split -> factors of variation (n, F), integers from 0, where they are known.
    factor_names, factor_sizes: of the factors, their name and number of values (if not given, the largest and 1).
    checked: what the content has been compared with, or "".
    scaled_to: of uint8, the range onto which `floats` maps 0..maximum where that is not (0, 1); see `scaled`.
    """

    name: str
    variant: str
    source: str
    splits: Mapping
    maximum: int | None = None
    labels: Mapping = field(default_factory=dict)
    limits: tuple | None = None
    class_names: tuple = ()
    factors: Mapping = field(default_factory=dict)
    factor_names: tuple = ()
    factor_sizes: tuple = ()
    checked: str = ""
    scaled_to: tuple | None = None

    def __post_init__(self):
        for name in ("splits", "labels", "factors"):
            arrays = {split: frozen(array) for split, array in getattr(self, name).items()}
            object.__setattr__(self, name, MappingProxyType(arrays))
        _check(self)
        if self.factors and not self.factor_sizes:
            largest = np.max([factors.max(axis=0) for factors in self.factors.values()], axis=0)
            object.__setattr__(self, "factor_sizes", tuple(int(value) + 1 for value in largest))
        if self.maximum is not None:
            object.__setattr__(self, "limits", self.scaled_to or (0.0, 1.0))

    def __reduce__(self):  # mapping proxies cannot be pickled
        values = (getattr(self, one.name) for one in dataclasses.fields(self))
        return type(self), tuple(dict(value) if isinstance(value, MappingProxyType) else value for value in values)

    @property
    def image_shape(self) -> tuple:
        """The shape of an example: (H, W, C), or (d,) of vectors."""
        return self.splits["train"].shape[1:]

    @functools.cached_property
    def sha256(self) -> dict:
        """Split -> SHA-256 of its values in their order (packed images: the unpacked pixels), whatever file they are from."""
        return {split: _hash(examples) for split, examples in self.splits.items()}

    def floats(self, split: str, rows=slice(None)) -> np.ndarray:
        """Examples of a split as float32 (n, ...), within `limits`; uint8 is divided by `maximum`, then `scaled`."""
        examples = self.splits[split][rows]
        if self.maximum is None:
            return examples
        examples = examples.astype(np.float32)
        np.divide(examples, np.float32(self.maximum), out=examples)
        if self.scaled_to is not None:
            low, high = map(np.float32, self.scaled_to)
            examples *= high - low
            examples += low
        return examples

    def images(self, factors: np.ndarray) -> np.ndarray:
        """The training examples that have these factors.

        Args:
            factors: integers (n, F), each from 0 to its size - 1.

        Returns:
            float32 (n, ...), as `floats`.

        Raises:
            InputError: for factors outside their sizes, or that no training example has.
        """
        factors = np.asarray(factors)
        sizes = np.asarray(self.factor_sizes, np.int64)
        if not sizes.size:
            raise InputError(f"{self.name} has no factors of variation.")
        if factors.ndim != 2 or factors.shape[1] != len(sizes) or factors.dtype.kind not in "ui":
            raise InputError(f"factors must be integers (n, {len(sizes)}), got {factors.dtype} {factors.shape}.")
        if len(factors) and ((factors < 0) | (factors >= sizes)).any():
            raise InputError(f"factors must lie below the sizes {self.factor_sizes}, got {factors.min(0)} to {factors.max(0)}.")
        order, places = self._places
        wanted = np.ravel_multi_index(tuple(factors.T.astype(np.int64)), self.factor_sizes)
        found = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
        missing = places[found] != wanted
        if missing.any():
            raise InputError(f"no training example of {self.name} has the factors {factors[missing][0].tolist()}.")
        return self.floats("train", order[found])

    @functools.cached_property
    def _places(self):
        """Rows of the training examples by the place of their factors in the grid of all, and these places."""
        places = np.ravel_multi_index(tuple(self.factors["train"].T.astype(np.int64)), self.factor_sizes)
        order = np.argsort(places, kind="stable")
        return order, places[order]

    def scaled(self, low: float, high: float) -> "Dataset":
        """The dataset whose `floats` lie within low..high in place of 0..1.

        Raises:
            InputError: for float32 data, which come as they are, and for a range that is none.
        """
        if not low < high:
            raise InputError(f"a range must be (low, high), low below high, got ({low:g}, {high:g}).")
        if (low, high) == self.limits:
            return self
        if self.maximum is None:
            raise InputError(
                f"{self.name} has float32 values within {self.limits[0]:g}..{self.limits[1]:g}, passed on as they are, "
                f"and {low:g}..{high:g} is asked for: import them scaled."
            )
        return dataclasses.replace(self, scaled_to=(float(low), float(high)))

    def padded(self, multiple: int) -> "Dataset":
        """The dataset with the lowest value around its images, so that their sides are multiples of `multiple`.

        Both sides get the same, or the lower and the right one more.

        Raises:
            InputError: for vectors, which have no sides.
            ValueError: for a multiple that is no integer of 1 or more.
        """
        if arguments.integer("multiple", multiple) == 1:
            return self
        if len(self.image_shape) != 3:
            raise InputError(f"{self.name} has vectors of {self.image_shape[0]} values; images (H, W, C) are needed.")
        more = [-side % multiple for side in self.image_shape[:2]]
        if not any(more):
            return self
        widths = ((0, 0), *((n // 2, n - n // 2) for n in more), (0, 0))
        low = 0 if self.maximum is not None else self.limits[0]
        splits = {split: _pad(examples, widths, low) for split, examples in self.splits.items()}
        (height, width), (tall, wide) = self.image_shape[:2], splits["train"].shape[1:3]
        return dataclasses.replace(
            self, splits=splits, variant=f"{self.variant}; padded from {height}x{width} to {tall}x{wide}", checked=""
        )

    @property
    def summary(self) -> str:
        """The dataset in a line: "900 train, 100 test, 28x28x1, uint8 0..255, 10 classes"."""
        sizes = {split: len(examples) for split, examples in self.splits.items()}
        parts = [*sizes_in_words(sizes), values_in_words(self.image_shape, self.maximum, self.limits)]
        if self.labels:
            classes = self.class_names or np.unique(np.concatenate([np.unique(labels) for labels in self.labels.values()]))
            some = f" ({', '.join(self.labels)} alone)" if self.labels.keys() != self.splits.keys() else ""
            parts.append(f"{len(classes)} class{'es' if len(classes) > 1 else ''}{some}")
        if self.factor_sizes:
            parts.append("factors " + ", ".join(f"{n} {size}" for n, size in zip(self.factor_names, self.factor_sizes)))
        return ", ".join(parts)


ImageData = Dataset  # its name of before


def sizes_in_words(sizes: Mapping) -> list[str]:
    """["900 train", "100 test"]"""
    return [f"{size:,} {split}" for split, size in sizes.items()]


def values_in_words(shape: tuple, maximum: int | None, limits: tuple) -> str:
    """ "28x28x1, uint8 0..255" """
    shape = "x".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]} values"
    return f"{shape}, " + (f"uint8 0..{maximum}" if maximum is not None else f"float32 {limits[0]:g}..{limits[1]:g}")


def _check(data):
    where = f"dataset {data.name!r}"
    if "train" not in data.splits:
        raise InputError(f"{where} needs the split train, got {', '.join(data.splits) or 'none'}.")
    if len({(x.shape[1:], x.dtype) for x in data.splits.values()}) > 1:
        raise InputError(f"the splits of {where} differ: {', '.join(f'{x.dtype} {x.shape}' for x in data.splits.values())}.")
    dtype, shape = data.splits["train"].dtype, data.splits["train"].shape
    if len(shape) not in (2, 4):
        raise InputError(f"{where} must have images (n, height, width, channels) or vectors (n, d), got the shape {shape}.")
    if dtype != (np.float32 if data.maximum is None else np.uint8):
        raise InputError(f"{where} must be uint8 with a maximum or float32 without, got {dtype} with {data.maximum}.")
    if data.maximum is None and data.limits is None:
        raise InputError(f"{where} is float32 and needs its limits (low, high).")
    for split, array in [*data.labels.items(), *data.factors.items()]:
        if len(array) != len(data.splits.get(split, ())):
            raise InputError(f"{where} has {len(array)} labels or factors for {len(data.splits.get(split, ()))} in {split}.")
        axes = 1 if array is data.labels.get(split) else 2
        if array.ndim != axes or array.dtype.kind not in "bui":
            wanted = "labels, integers (n,)" if axes == 1 else "factors, integers (n, F)"
            raise InputError(f"{where} needs {wanted}, got {array.dtype} {array.shape} in {split}.")
    low, high = (0, data.maximum) if data.maximum is not None else map(float, data.limits)
    for split, examples in data.splits.items():
        _check_range(f"{split} of {where}", examples, low, high)


def _check_range(where, examples, low, high):
    """Raises InputError unless there are values and all lie within the range, which NaN does not."""
    if not len(examples):
        raise InputError(f"{where} is empty.")
    if isinstance(examples, PackedImages):
        return
    for piece in pieces(examples):
        lowest, highest = piece.min(), piece.max()
        if not low <= lowest <= highest <= high:
            raise InputError(f"{where} has values {lowest:g}..{highest:g}, outside its range {low:g}..{high:g}.")


def _hash(examples):
    digest = hashlib.sha256()
    for piece in pieces(examples):
        digest.update(np.ascontiguousarray(piece))
    return digest.hexdigest()


def _pad(examples, widths, low):
    if isinstance(examples, PackedImages):
        return PackedImages.pack(np.pad(piece, widths) for piece in pieces(examples))
    return np.pad(examples, widths, constant_values=low)
