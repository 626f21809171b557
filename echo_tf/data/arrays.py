"""Arrays of examples, gone through piece by piece, so that no second copy of a dataset is made on the way."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

PIECE = 2**23  # values at once


def pieces(examples) -> Iterator[np.ndarray]:
    """The examples (n, ...) of an array, or of images that are packed, a few million values at once."""
    step = max(1, PIECE // max(1, math.prod(examples.shape[1:])))
    for start in range(0, len(examples), step):
        yield examples[start : start + step]


def frozen(array):
    """The same numbers as an array that cannot be written to; what is no array (packed images) as it is."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


class PackedImages:
    """Binary images held as bits, an eighth of the memory; indexed by examples, as an array is, they come out as uint8.

    Indices are an integer, a slice, an array of integers or of booleans; a second axis cannot be indexed.

    Args:
        bits: uint8 (n, ceil(H * W * C / 8)), as `numpy.packbits` makes them.
        image_shape: (H, W, C).
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, bits: np.ndarray, image_shape: tuple):
        if bits.dtype != np.uint8 or bits.shape[1:] != (-(-math.prod(image_shape) // 8),):
            raise ValueError(f"images of {image_shape} are not held by bits {bits.dtype} {bits.shape}.")
        self.bits, self.shape = frozen(bits), (len(bits), *image_shape)

    @classmethod
    def pack(cls, images: Iterable[np.ndarray]) -> "PackedImages":
        """Packs images (n, H, W, C) that come in pieces; what is not 0 is 1."""
        packed, shape = [], None
        for piece in images:
            shape = piece.shape[1:]
            packed.append(pack(piece))
        return cls(np.concatenate(packed), shape)

    ndim = property(lambda self: len(self.shape))
    nbytes = property(lambda self: self.bits.nbytes)

    def __len__(self):
        return len(self.bits)

    def __getitem__(self, rows):
        if isinstance(rows, tuple):
            raise TypeError("packed images are indexed by examples alone: images[rows][:, ...].")
        bits = self.bits[rows]
        images = np.unpackbits(bits, axis=-1, count=math.prod(self.shape[1:]))
        return images.reshape(*bits.shape[:-1], *self.shape[1:])

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("packed images cannot be had without a copy.")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self):
        return f"PackedImages{self.shape}"


def pack(images: np.ndarray) -> np.ndarray:
    """The bits (n, ...) of images (n, H, W, C); what is not 0 is 1."""
    return np.packbits(images.reshape(len(images), -1) != 0, axis=1)
