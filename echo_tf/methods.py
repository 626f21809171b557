"""The methods of the Echo paper's Table 1, as a table of compositions.

A method is a choice of channel and marginal around one pair of networks; a row here, never a class.
"""

from collections.abc import Callable
from typing import NamedTuple

from echo_tf.autoencoder import RateDistortionAutoencoder
from echo_tf.channels import EchoSample, GaussianSample
from echo_tf.marginals import StandardNormal


class Method(NamedTuple):
    """A row of the table.

    title: the method's name in the paper's Table 1.
    citation: where the method comes from.
    parameters: number of parameters with the paper's network and 32 latents.
    channel: settings -> channel layer.
    channel_settings: the settings that the channel takes.
    marginal: settings -> marginal layer, or None.
    """

    title: str
    citation: str
    parameters: int
    channel: Callable
    channel_settings: tuple = ("seed",)
    marginal: Callable | None = None


METHODS = {
    "echo": Method(
        "Echo",
        "Brekelmans et al., NeurIPS 2019",
        1_398_849,
        EchoSample,
        ("num_terms", "scheme", "max_magnitude", "clip", "noise_source", "multiplicative", "seed"),
    ),
    "vae": Method("VAE", "Kingma and Welling, ICLR 2014", 1_398_849, GaussianSample, marginal=StandardNormal),
}


def make_method(name, encoder_builder, decoder_builder, *, beta=1.0, distortion="bernoulli", latent_dim=32, **settings):
    """Composes the autoencoder of a method in `METHODS`.

    Args:
        name: a key of `METHODS`.
        encoder_builder: (latent_dim, head_activations) -> Keras model, x -> [loc, log_scale].
        decoder_builder: (latent_dim) -> Keras model, z -> output.
        beta, distortion: as in `RateDistortionAutoencoder`.
        latent_dim: d, the size of the code.
        **settings: of the channel (`Method.channel_settings`), such as num_terms=99 for Echo at batch size 100.

    Returns:
        A `RateDistortionAutoencoder`, not compiled.

    Raises:
        ValueError: for an unknown method, or a setting that it does not take.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}.")
    method = METHODS[name]
    unknown = sorted(set(settings) - set(method.channel_settings))
    if unknown:
        raise ValueError(f"{name} takes the settings {', '.join(method.channel_settings)}, got {', '.join(unknown)}.")
    channel = method.channel(**settings)
    return RateDistortionAutoencoder(
        encoder_builder(latent_dim=latent_dim, head_activations=channel.head_activations),
        channel,
        decoder_builder(latent_dim=latent_dim),
        marginal=method.marginal() if method.marginal else None,
        distortion=distortion,
        beta=beta,
    )
