"""Networks by the names in settings: their builders, with what `network_settings` hands to them."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial

from echo_tf.errors import InputError

GIVEN = ("latent_dim", "head_activations", "image_shape", "width")  # what is no setting of a network's own


def check_network(settings, network, builders: Sequence[str] = ("encoder", "decoder")) -> None:
    """Raises InputError for a network without one of the builders, or network_settings that none of them takes."""
    lacking = [name for name in builders if not hasattr(network, name)]
    if lacking:
        raise InputError(
            f"setting 'network' must be one with {', '.join(builders)} for kind {settings.kind}, got {settings.network!r}, "
            f"which has no {', '.join(lacking)}."
        )
    parameters = [p for name in builders for p in inspect.signature(getattr(network, name)).parameters]
    own = [name for name in dict.fromkeys(parameters) if name not in GIVEN]
    for key in settings.network_settings:
        if key not in own:
            raise InputError(
                f"setting 'network_settings' of {settings.network} may be {', '.join(own) or 'none'}, got {key!r}."
            )


def builder_of(settings, network, name: str, image_shape) -> Callable:
    """A network's builder `name` with its shape, width and network_settings; it still takes what is particular to it."""
    builder = getattr(network, name)
    takes = inspect.signature(builder).parameters
    own = {key: value for key, value in settings.network_settings.items() if key in takes}
    return partial(builder, image_shape=tuple(image_shape), width=settings.width, **own)
