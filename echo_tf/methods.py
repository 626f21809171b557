"""The methods of the Echo paper's Table 1, as a table of compositions.

A method is a choice of channel, marginal and penalty around one pair of networks; a row here, never a class.
"""

from typing import NamedTuple

import echo_tf
from echo_tf import arguments


class Part(NamedTuple):
    """A layer of a composition: its class by its name in `echo_tf`, as this table is also read where there is no Keras; and
    the settings that it takes with the names of its arguments."""

    layer: str
    arguments: dict

    def make(self, settings, place):
        """The layer. Its seed differs by its place in the composition: parts of one seed would draw the same noise."""
        given = {argument: settings[name] for name, argument in self.arguments.items() if name in settings}
        if given.get("seed") is not None:
            given["seed"] += place * SEED_STRIDE
        return getattr(echo_tf, self.layer)(**given)


SEED_STRIDE = 1_000_003
SEED = {"seed": "seed"}
ECHO_SETTINGS = ("num_terms", "scheme", "max_magnitude", "clip", "noise_source", "multiplicative", "standardize")
FLOW_SETTINGS = {
    "flow_steps": "num_steps",
    "flow_units": "hidden_units",
    "flow_mean_only": "mean_only",
    "flows_trained": "trained",
}
VAMP_SETTINGS = {"pseudo_inputs": "num_pseudo_inputs", "vamp_density": "density", "vamp_start": "start"}

ECHO = Part("EchoSample", {**SEED, **{name: name for name in ECHO_SETTINGS}})
GAUSSIAN = Part("GaussianSample", SEED)
IAF = Part("FlowSample", {**SEED, **FLOW_SETTINGS})
NORMAL = Part("StandardNormal", SEED)
MAF = Part("FlowMarginal", {**SEED, **FLOW_SETTINGS})
VAMP = Part("VampPrior", {**SEED, **VAMP_SETTINGS})
MMD = Part("MaximumMeanDiscrepancy", {**SEED, "mmd_weight": "weight", "mmd_bandwidth": "bandwidth"})


class Method(NamedTuple):
    """A row of the table.

    title: the method's name in the paper's Table 1.
    citation: where the method comes from.
    parameters: number of parameters with the paper's network, 32 latents and 2 flow steps.
    channel, marginal, penalty: its parts; Echo needs no marginal.
    """

    title: str
    citation: str
    parameters: int
    channel: Part
    marginal: Part | None = None
    penalty: Part | None = None

    @property
    def settings(self):
        """The settings that the method's parts take."""
        parts = filter(None, (self.channel, self.marginal, self.penalty))
        return tuple(dict.fromkeys(name for part in parts for name in part.arguments))


METHODS = {
    "echo": Method("Echo", "Brekelmans et al., NeurIPS 2019", 1_398_849, ECHO),
    "vae": Method("VAE", "Kingma and Welling, ICLR 2014", 1_398_849, GAUSSIAN, NORMAL),
    "info-vae": Method("InfoVAE", "Zhao, Song and Ermon, AAAI 2019", 1_398_849, GAUSSIAN, NORMAL, MMD),
    "vae-maf": Method("VAE-MAF", "Papamakarios et al., NeurIPS 2017", 3_123_073, GAUSSIAN, MAF),
    "vae-vamp": Method("VAE-Vamp", "Tomczak and Welling, AISTATS 2018", 1_986_849, GAUSSIAN, VAMP),
    "iaf-prior": Method("IAF-Prior", "Kingma et al., NeurIPS 2016", 3_123_073, IAF, NORMAL),
    "iaf-mmd": Method("IAF+MMD", "Kingma et al., NeurIPS 2016; Zhao, Song and Ermon, AAAI 2019", 3_123_073, IAF, NORMAL, MMD),
    "iaf-maf": Method("IAF-MAF", "Kingma et al., NeurIPS 2016; Papamakarios et al., NeurIPS 2017", 4_847_297, IAF, MAF),
    "iaf-vamp": Method("IAF-Vamp", "Kingma et al., NeurIPS 2016; Tomczak and Welling, AISTATS 2018", 3_711_073, IAF, VAMP),
}


def make_method(
    name, encoder_builder, decoder_builder, *, beta=1.0, distortion="bernoulli", latent_dim=32, penalties=(), **settings
):
    """Composes the autoencoder of a method in `METHODS`.

    Args:
        name: a key of `METHODS`.
        encoder_builder: (latent_dim, head_activations) -> Keras model, x -> [loc, log_scale].
        decoder_builder: (latent_dim) -> Keras model, z -> output.
        beta, distortion: as in `RateDistortionAutoencoder`.
        latent_dim: d, the size of the code.
        penalties: layers, code -> scalar, beside that of the method.
        **settings: of the method's parts (`Method.settings`), such as num_terms=99 for Echo at batch size 100.

    Returns:
        A `RateDistortionAutoencoder`, not compiled.

    Raises:
        ValueError: for an unknown method, a setting that it does not take, or a flow on another backend than TensorFlow.

    Example:

    >>> from models import alemi2018
    >>> model = make_method("echo", alemi2018.encoder, alemi2018.decoder, num_terms=99)
    >>> model.count_params() == METHODS["echo"].parameters
    True
    """
    method = METHODS[arguments.choice("method", name, METHODS)]
    unknown = sorted(set(settings) - set(method.settings))
    if unknown:
        raise ValueError(f"{name} takes the settings {', '.join(method.settings)}, got {', '.join(unknown)}.")
    channel = method.channel.make(settings, 0)
    return echo_tf.RateDistortionAutoencoder(
        encoder_builder(latent_dim=latent_dim, head_activations=channel.head_activations),
        channel,
        decoder_builder(latent_dim=latent_dim),
        marginal=method.marginal.make(settings, 1) if method.marginal else None,
        distortion=distortion,
        beta=beta,
        penalties=[*([method.penalty.make(settings, 2)] if method.penalty else ()), *penalties],
    )
