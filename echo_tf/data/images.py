"""Images in memory: one dataset, its splits, and where it came from."""

import functools
from dataclasses import dataclass, field

import numpy as np

from echo_tf.errors import InputError
from echo_tf.files import sha256


@dataclass(frozen=True)
class ImageData:
    """A dataset of images.

    name, variant: which data, and in which form (tables name both).
    source: where they were read, "npz FILE", "tfds NAME/VERSION" or "scikit-learn".
    splits: "train", "test" and perhaps "valid" -> uint8 (n, H, W, C).
    maximum: the pixel value that stands for 1.0.
    labels: split -> class labels (n,), where there are any.
    """

    name: str
    variant: str
    source: str
    splits: dict
    maximum: int
    labels: dict = field(default_factory=dict)

    @property
    def image_shape(self):
        return self.splits["train"].shape[1:]

    @functools.cached_property
    def sha256(self):
        """Split -> hash of its pixels in their order, whatever file they came from."""
        return {split: sha256(np.ascontiguousarray(x)) for split, x in self.splits.items()}

    def floats(self, split, rows=slice(None)):
        """Images of a split as float32 in [0, 1], (n, H, W, C)."""
        return self.splits[split][rows].astype(np.float32) / np.float32(self.maximum)


def as_images(arrays, where):
    """Checks arrays {"x_train": ..., "x_test": ..., "y_train": ...} and returns (splits, labels, maximum).

    Images are integers from 0 to 255, (n, H, W) or (n, H, W, C); "x_valid" and labels "y_*" may be there. Their
    largest value over all splits decides: 1 for binary images, else 255.

    Raises:
        InputError: naming `where`, for missing arrays, other shapes or values.
    """
    splits, labels = {}, {}
    for split in ("train", "valid", "test"):
        x = arrays.get(f"x_{split}")
        if x is None:
            if split != "valid":
                raise InputError(
                    f"{where} has no x_{split}; it needs x_train and x_test, got {', '.join(arrays) or 'nothing'}."
                )
            continue
        x = np.asarray(x)
        if x.ndim == 3:
            x = x[..., None]
        if x.ndim != 4 or x.dtype.kind not in "uib" or not x.size:
            raise InputError(f"x_{split} of {where} must be integer images (n, H, W) or (n, H, W, C), got {x.dtype} {x.shape}.")
        if x.min() < 0 or x.max() > 255:
            raise InputError(f"x_{split} of {where} must lie within 0..255, got {x.min()}..{x.max()}.")
        splits[split] = x.astype(np.uint8)
        if arrays.get(f"y_{split}") is not None:
            labels[split] = np.asarray(arrays[f"y_{split}"])
            if len(labels[split]) != len(x):
                raise InputError(f"y_{split} of {where} has {len(labels[split])} labels for {len(x)} images.")
    if len({x.shape[1:] for x in splits.values()}) > 1:
        raise InputError(f"the splits of {where} have images of different shapes: {[x.shape for x in splits.values()]}.")
    maximum = 1 if max(int(x.max()) for x in splits.values()) <= 1 else 255
    return splits, labels, maximum


def check_known(known, splits, maximum, where):
    """Raises InputError unless the splits have the published sizes, 28 x 28 pixels and the right range."""
    sizes = {split: len(x) for split, x in splits.items()}
    if sizes != known.sizes:
        raise InputError(f"{known.title} has the splits {known.sizes}, {where} has {sizes}.")
    shape = splits["train"].shape[1:]
    if shape != (28, 28, 1) or maximum != known.maximum:
        raise InputError(
            f"{known.title} has 28x28 images with values up to {known.maximum}, {where} has {shape} up to {maximum}."
        )
