"""Networks by the names in settings: their builders, with what `network_settings` hands to them."""

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial

from echo_tf.errors import InputError
from echo_tf.runs.settings import MOST_LATENTS

GIVEN = ("latent_dim", "head_activations", "image_shape", "width", "num_classes")  # what is no setting of a network's own


def check_network(settings, network, builders: Sequence[str] = ("encoder", "decoder")) -> None:
    """Raises InputError for a network without one of the builders, or network_settings that none of them takes."""
    lacking = [name for name in builders if not hasattr(network, name)]
    if lacking:
        raise InputError(
            f"setting 'network' must be one with {', '.join(builders)} for kind {settings.kind}, got {settings.network!r}, "
            f"which has no {', '.join(lacking)}."
        )
    takes = {name: p for one in builders for name, p in inspect.signature(getattr(network, one)).parameters.items()}
    own = {name: parameter.default for name, parameter in takes.items() if name not in GIVEN}
    for key, value in settings.network_settings.items():
        where = f"setting 'network_settings' of {settings.network}"
        if key not in own:
            raise InputError(f"{where} may be {', '.join(own) or 'none'}, got {key!r}.")
        fits, expected = _expected(own[key])
        if not fits(value):
            raise InputError(f"{where}: {key} must be {expected}, as {own[key]!r}, got {value!r}.")


def _expected(default):
    """What a setting with this default may be: (value -> whether it is, in words). Whole numbers are sizes and counts."""
    if isinstance(default, bool):
        return lambda value: isinstance(value, bool), "true or false"
    if isinstance(default, int):
        return lambda value: type(value) is int and 1 <= value <= MOST_LATENTS, f"a whole number from 1 to {MOST_LATENTS:,}"
    if isinstance(default, float):
        return lambda value: type(value) in (int, float) and math.isfinite(value), "a finite number"
    if isinstance(default, str):
        return lambda value: isinstance(value, str), "text"
    return lambda value: True, "anything"


def builder_of(settings, network, name: str, image_shape) -> Callable:
    """A network's builder `name` with its shape, width and network_settings; it still takes what is particular to it."""
    builder = getattr(network, name)
    takes = inspect.signature(builder).parameters
    own = {key: value for key, value in settings.network_settings.items() if key in takes}
    return partial(builder, image_shape=tuple(image_shape), width=settings.width, **own)
