"""From numbers of any type to uint8 with a maximum, or float32 with its range: without loss, or not at all."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from echo_tf.data.arrays import pieces
from echo_tf.errors import InputError

STEP = 255
ROUNDING = 2.0**-14  # of 255 times a float32 near 1, in units of its last place: four
PLAINLY_255 = 127  # integers that go above it are taken for 0..255
KINDS = {"b": "integers", "u": "integers", "i": "integers", "f": "floats"}


class Scale(NamedTuple):
    """How values are held: as uint8 with `maximum`, or as float32, divided by `divisor`, within `limits`."""

    maximum: int | None
    limits: tuple
    divisor: int = 1
    times: int = 1


class _Seen(NamedTuple):
    """low, high: of a split's values. whole: all are integers. steps: all are multiples of 1/255, to float32 rounding."""

    low: float
    high: float
    whole: bool
    steps: bool


def as_values(
    splits: Mapping[str, np.ndarray], limits: tuple | None = None, are_bytes: bool = False
) -> tuple[dict, int | None, tuple]:
    """Examples by split as `Dataset` holds them.

    Integers become uint8: of 0..1 with maximum 1, of 0..255 (their largest value must tell) with 255. So do floats that are
    such integers, if they are images, and floats in [0, 1] that are multiples of 1/255. Other floats become float32.

    Args:
        splits: split -> examples (n, H, W, C) or (n, d).
        limits: the range (low, high) as it was declared; None: the values must tell.
        are_bytes: integers are known to be of 0..255, or of 0..1.

    Returns:
        (splits, maximum, limits).

    Raises:
        InputError: for values that are no numbers, not finite, or outside their range, and for a range that they do not tell.
    """
    kinds = {split: KINDS.get(x.dtype.kind, x.dtype.name) for split, x in splits.items()}
    if len(set(kinds.values())) > 1:
        raise InputError(f"the splits have values of different kinds ({', '.join(f'{s} {k}' for s, k in kinds.items())}).")
    kind = next(iter(kinds.values()))
    if kind not in KINDS.values():
        raise InputError(f"values must be integers or floats, got {kind}.")
    seen = {split: _look(split, x) for split, x in splits.items()}
    images = next(iter(splits.values())).ndim == 4
    scale = _decide(seen, kind == "integers", images, _declared(limits, seen), are_bytes)
    return {split: _convert(x, scale) for split, x in splits.items()}, scale.maximum, scale.limits


def _look(split, x):
    low, high, whole, steps = np.inf, -np.inf, True, True
    for piece in pieces(x):
        low, high = min(low, piece.min()), max(high, piece.max())  # NaN stays
        if x.dtype.kind == "f":
            if not np.isfinite(piece).all() or max(abs(low), abs(high)) > np.finfo(np.float32).max:
                raise InputError(f"{split} has values that are NaN, infinite or beyond float32.")
            whole = whole and bool((piece == np.rint(piece)).all())
            steps = steps and low >= 0 and high <= 1 and bool((np.abs(STEP * piece - np.rint(STEP * piece)) < ROUNDING).all())
    return _Seen(low.item(), high.item(), whole, steps and x.dtype.kind == "f")


def _declared(limits, seen):
    if limits is None:
        return None
    low, high = (float(limit) for limit in limits)
    if not -np.inf < low < high < np.inf:
        raise InputError(f"--range {low:g} {high:g} must be a lowest and a highest value.")
    for split, found in seen.items():
        if found.low < low or found.high > high:
            raise InputError(
                f"{split} has values {found.low:g}..{found.high:g}, outside the declared --range {low:g} {high:g}."
            )
    return low, high


def _decide(seen, integers, images, declared, are_bytes):
    low, high = min(found.low for found in seen.values()), max(found.high for found in seen.values())
    whole = all(found.whole for found in seen.values())
    if declared is None and not are_bytes:
        if low == high:
            raise InputError(
                f"every value is {low:g}: nothing can be learnt of it (if that is meant, declare --range LOW HIGH)."
            )
        _refuse_two_scales(seen)
    if integers or (whole and low >= 0 and high <= (255 if images else 1)):
        return _whole(low, high, integers, declared, are_bytes)
    if all(found.steps for found in seen.values()) and declared in (None, (0.0, 1.0)):
        return Scale(STEP, (0.0, 1.0), times=STEP)
    ranges = [(0.0, 1.0), (-1.0, 1.0)]
    measured = tuple(float(np.float32(limit)) for limit in (low, high))
    return Scale(None, declared or next(((a, b) for a, b in ranges if a <= low and high <= b), measured))


def _whole(low, high, integers, declared, are_bytes):
    """The scale of integers."""
    if declared is None:
        if low >= 0 and high <= 255 and (high <= 1 or high > PLAINLY_255 or are_bytes):
            return Scale(1 if high <= 1 else 255, (0.0, 1.0))
        raise InputError(
            f"integers of {low:g}..{high:g} are neither 0..1 nor plainly 0..255: declare their range, as --range 0 "
            f"{high - min(low, 0):g}" + (" (after making the lowest 0)." if low < 0 else ".")
        )
    if declared[0] != 0 or not declared[1].is_integer():
        if not integers:
            return Scale(None, declared)
        raise InputError(
            f"the --range of integers must be from 0 to an integer, got {declared[0]:g} {declared[1]:g}: "
            "save them as floats to have them taken as they are."
        )
    if declared[1] <= 255:
        return Scale(int(declared[1]), (0.0, 1.0))
    if integers and declared[1] > 2**24:
        raise InputError(f"integers up to {declared[1]:.0f} do not fit into float32: scale them, and save them as floats.")
    return Scale(None, (0.0, 1.0), divisor=int(declared[1])) if integers else Scale(None, declared)


def _refuse_two_scales(seen):
    small = [split for split, found in seen.items() if found.low >= 0 and found.high <= 1]
    large = [split for split, found in seen.items() if found.high > PLAINLY_255]
    if small and large:
        raise InputError(
            f"{large[0]} has values up to {seen[large[0]].high:g}, {small[0]} up to {seen[small[0]].high:g}: "
            f"bring the splits to one scale, or declare --range 0 {max(255, seen[large[0]].high):g}."
        )


def _convert(x, scale):
    if scale.maximum is None:
        if scale.divisor == 1:
            return np.ascontiguousarray(x, np.float32)
        converted = np.empty(x.shape, np.float32)
    elif x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    else:
        converted = np.empty(x.shape, np.uint8)
    start = 0
    for piece in pieces(x):
        place = converted[start : start + len(piece)]
        if scale.maximum is None:
            np.divide(piece, scale.divisor, out=place, casting="unsafe")
        else:
            place[...] = np.rint(scale.times * piece) if x.dtype.kind == "f" else piece
        start += len(piece)
    return converted
