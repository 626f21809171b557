"""From arrays of any axes to examples: images (n, height, width, channels) or vectors (n, d)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from echo_tf.errors import InputError

CHANNELS = (1, 3, 4)  # numbers of channels that are recognized before the sides


def as_examples(arrays: Mapping[str, np.ndarray], shape: Sequence[int] | None = None) -> tuple[dict, list[str]]:
    """Examples by split in the layout of `Dataset`, and notes on what was done.

    Args:
        arrays: split -> (n, d), (n, H, W), (n, H, W, C), or (n, C, H, W) where that is plain.
        shape: of an example as the user declared it; vectors are brought to it, and images to vectors. It tells which axis
            is the channels where that is open.

    Raises:
        InputError: for no examples, splits of different shapes, and axes that leave open where the channels are.
    """
    shapes = {split: array.shape[1:] for split, array in arrays.items()}
    for split, array in arrays.items():
        if array.ndim not in (2, 3, 4):
            raise InputError(
                f"{split} must be images (n, height, width) or (n, height, width, channels), or vectors (n, d), "
                f"got the shape {array.shape}."
            )
        if not array.size:
            raise InputError(f"{split} is empty: its shape is {array.shape}.")
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
        raise InputError(f"the splits have examples of different shapes: {found}.")
    found = next(iter(shapes.values()))
    if len(found) == 1:
        return _vectors(arrays, found[0], shape)
    if len(found) == 2:
        if shape is None:
            _refuse_narrow(found)
        arrays, found, first = {split: array[..., None] for split, array in arrays.items()}, (*found, 1), False
    else:
        first = _channels_first(found, shape)
    notes = []
    if first:
        arrays, found = {split: np.moveaxis(array, 1, -1) for split, array in arrays.items()}, (*found[1:], found[0])
        notes.append(f"channels were first, images are now {'x'.join(map(str, found))}")
    if shape is not None and tuple(shape) == (math.prod(found),):
        return {split: array.reshape(len(array), *shape) for split, array in arrays.items()}, notes
    if shape is not None and tuple(shape) not in (found, found[:2] if found[2] == 1 else found):
        raise InputError(f"--shape {' '.join(map(str, shape))} was declared, but the images are {'x'.join(map(str, found))}.")
    return dict(arrays), notes


def _vectors(arrays, size, shape):
    if shape is None or tuple(shape) == (size,):
        return dict(arrays), []
    if len(shape) not in (2, 3) or min(shape) < 1 or math.prod(shape) != size:
        declared = " ".join(map(str, shape))
        raise InputError(f"--shape {declared} must be a height, a width and perhaps channels of {size} values together.")
    shape = (*shape, 1) if len(shape) == 2 else tuple(shape)
    return {split: array.reshape(len(array), *shape) for split, array in arrays.items()}, []


def _refuse_narrow(sides):
    """An array (n, height, width) of width 1, 3 or 4 may as well be one image, or rows of values."""
    if sides[0] != sides[1] and (sides[1] in CHANNELS or sides[0] == 1):
        raise InputError(
            f"an array (n, {sides[0]}, {sides[1]}) leaves open what an example is: declare --shape {sides[0]} {sides[1]} for "
            f"images, --shape {math.prod(sides)} for vectors, or save images as (n, height, width, channels)."
        )


def _channels_first(shape, declared):
    """Whether images (C, H, W) are meant rather than (H, W, C)."""
    moved = (*shape[1:], shape[0])
    if declared is not None and shape != moved and tuple(declared) in (shape, moved):
        return tuple(declared) == moved
    first, last = shape[0] in CHANNELS, shape[2] in CHANNELS
    squares = shape[1] == shape[2], shape[0] == shape[1]  # the sides, if channels are first, and if they are last
    if first and last and squares[0] != squares[1]:
        return squares[0]
    if first and not last and shape[2] != 2 and not (squares[1] and not squares[0]):
        return True
    if last and not first and shape[0] != 2 and not (squares[0] and not squares[1]):
        return False
    if not first and not last and shape[2] < min(shape[:2]) and (squares[1] or shape[2] == 2):
        return False
    raise InputError(
        f"images {shape} leave open which axis is the channels: save them as (n, height, width, channels), channels 1, 3 or 4, "
        "or declare --shape HEIGHT WIDTH CHANNELS."
    )
