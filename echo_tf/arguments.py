"""Arguments as they must be, or a ValueError that says in one line what was expected and what was received. NumPy alone."""

import math
import numbers

import numpy as np

from echo_tf.errors import nearest

SAID = {"(-inf, inf)": "a finite number", "[0, inf)": "a finite number of 0 or more", "(0, inf)": "a positive finite number"}

AT_ZERO = "at beta = 0 the rate is 0: nothing is to be solved"


def number(name, value, within="[0, inf)", why="") -> float:
    """One number within an interval such as "[0, 1)"; an array or variable without dimensions is one too."""
    low, high = map(float, within[1:-1].split(","))
    try:
        found = math.nan if isinstance(value, (str, bytes, bool, np.bool_)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    above = found > low if within[0] == "(" else found >= low
    below = found < high if within[-1] == ")" else found <= high
    if not (above and below):
        raise ValueError(f"{name} must be {SAID.get(within, f'a number in {within}')}{why}, got {value!r}.")
    return found


def integer(name, value, least=1, most=math.inf, why="") -> int:
    """One integer from `least` to `most`; `why` says in the message what these are."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or not least <= value <= most:
        expected = f"of {least:,} or more" if most == math.inf else f"from {least:,} to {most:,}"
        raise ValueError(f"{name} must be an integer {expected}{why}, got {value!r}.")
    return int(value)


def flag(name, value) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def choice(name, value, allowed):
    """One of `allowed`, names or a mapping from names."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{nearest(str(value), allowed)}.")
    return value


def numeric(name, values, expected="numbers") -> np.ndarray:
    """`values` as a float64 array of any shape; NaN and infinity pass."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {expected}, got {_short(values)}.") from None


def array(name, values, lowest, expected, highest=math.inf, strict=False, finite=False) -> np.ndarray:
    """`values` as a float64 array, none of which is NaN, below `lowest` (`strict`: or equal to it) or above `highest`."""
    found = numeric(name, values, expected)
    good = (found > lowest if strict else found >= lowest) & (found <= highest)
    good &= np.isfinite(found) | (not finite)
    if not np.all(good):
        raise ValueError(f"{name} must be {expected}, got {float(found[~good].flat[0])!r} among them.")
    return found


def betas(values, zero=False) -> np.ndarray:
    """Values of beta, one or several, as a one-dimensional float64 array, all positive (`zero`: or 0) and finite."""
    expected = "finite numbers >= 0" if zero else f"positive finite numbers ({AT_ZERO})"
    found = np.atleast_1d(array("betas", values, 0.0, expected, strict=not zero, finite=True))
    if found.ndim != 1 or not found.size:
        raise ValueError(f"betas must be one number or a sequence of them, got the shape {found.shape}.")
    return found


def beta(value) -> float:
    """One positive finite value of beta."""
    return number("beta", value, "(0, inf)", f" ({AT_ZERO}; for several values call it once for each)")


def matrix(name, values, width=None) -> np.ndarray:
    """`values` (n, ...) as a float64 array (n, width) of finite numbers."""
    x = array(name, values, -math.inf, "finite numbers", finite=True)
    x = x.reshape(len(x), -1) if x.ndim > 1 and len(x) else x
    if x.ndim != 2 or not x.size or (width is not None and x.shape[1] != width):
        expected = "(n, ...), a row an example" if width is None else f"(n, {width}), the size of the examples"
        raise ValueError(f"{name} must be of the shape {expected}, got {x.shape}.")
    return x


def _short(values):
    text = " ".join(repr(values).split())
    return text if len(text) <= 80 else f"{text[:80]}..."
