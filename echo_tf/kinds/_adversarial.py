"""The work of the kinds `gan` and `aae`: training, samples, and what tells a collapse."""

import keras
import numpy as np

from echo_tf.adversarial.autoencoder import AdversarialAutoencoder
from echo_tf.adversarial.collapse import indicators
from echo_tf.adversarial.network import GenerativeAdversarialNetwork
from echo_tf.channels import GaussianSample
from echo_tf.errors import InputError
from echo_tf.heads import RANGES, activation_of
from echo_tf.kinds._networks import builder_of, check_network
from echo_tf.kinds._training import data_of, num_training_images, packed_images, tested
from echo_tf.optimizers import FusedAdam
from echo_tf.penalties import MaximumMeanDiscrepancy
from echo_tf.runs.fitting import fit
from echo_tf.runs.tensorboard_log import TensorBoardLog

SHOWN = 20  # samples, and test images with their reconstructions, that a record keeps
AT_ONCE = 250  # images through a network
MOST_CODES = 1_000  # that are held against draws


def perform_gan(settings, place):
    """Trains the networks of `gan.Settings`. Returns what the record says of it."""
    check_network(settings, place.network(settings.network), ("decoder", "discriminator"))
    unit = "_nats" if settings.loss == "non_saturating" else ""
    columns = {name: f"{name}{unit}" for name in ("discriminator_loss", "generator_loss")}
    columns |= {name: name for name in ("gradient_penalty", "representation_entropy")}
    return _perform(settings, place, _build_gan, columns, lambda model, data: {})


def perform_aae(settings, place):
    """Trains and tests the networks of `aae.Settings`. Returns what the record says of it."""
    check_network(settings, place.network(settings.network), ("encoder", "decoder", "discriminator"))
    columns = {"distortion": "distortion_sse", "discriminator_loss": "discriminator_loss_nats"}
    columns["encoder_loss"] = "encoder_loss_nats"
    return _perform(settings, place, _build_aae, columns, lambda model, data: _tested_aae(settings, place, model, data))


def _perform(settings, place, build, columns, test):
    data, said = data_of(settings, place)
    number = num_training_images(settings, data)
    try:
        model, optimizers = build(settings, place.network(settings.network), data.image_shape)
    except ValueError as error:
        raise InputError(f"{settings.network} cannot be built for {settings.kind} on {settings.dataset}: {error}") from error
    _check_range(settings, data, model.decoder)
    trained = fit(
        model,
        lambda rows: (data.floats("train", rows),),
        number,
        settings,
        place,
        columns=columns,
        holders={"model": model, **optimizers},
        callbacks=lambda: [TensorBoardLog(place.folder / "tensorboard", np.zeros((0, 1)))],  # numbers alone
    )
    payload = {"data": {"train_images_used": number, **said}, "parameters": model.count_params(), **trained.said()}
    if trained.diverged:
        return payload
    payload |= {**_samples(settings, data, number, model, place), **test(model, data)}
    place.keep(model)
    return payload


def _build_gan(settings, network, image_shape):
    generator = builder_of(settings, network, "decoder", image_shape)(latent_dim=settings.latent_dim)
    discriminator = builder_of(settings, network, "discriminator", image_shape)()
    weights = settings.penalty_weight, settings.entropy_weight
    model = GenerativeAdversarialNetwork(generator, discriminator, settings.loss, *weights, seed=settings.seed)
    model.compile(_adam(settings, settings.learning_rate), _adam(settings, settings.discriminator_learning_rate))
    return model, {"optimizer": model.optimizer, "discriminator_optimizer": model.discriminator_optimizer}


def _build_aae(settings, network, image_shape):
    heads = GaussianSample.head_activations
    encoder = builder_of(settings, network, "encoder", image_shape)(latent_dim=settings.latent_dim, head_activations=heads)
    if settings.encoder == "deterministic":
        encoder = keras.Model(encoder.inputs[0], encoder.outputs[0], name="encoder")
    decoder = builder_of(settings, network, "decoder", image_shape)(latent_dim=settings.latent_dim)
    discriminator = builder_of(settings, network, "discriminator", (settings.latent_dim,))()
    model = AdversarialAutoencoder(encoder, decoder, discriminator, seed=settings.seed)
    rates = settings.learning_rate, settings.discriminator_learning_rate, settings.encoder_learning_rate
    model.compile(*(_adam(settings, rate) for rate in rates))
    names = ("optimizer", "discriminator_optimizer", "encoder_optimizer")
    return model, {name: getattr(model, name) for name in names}


def _adam(settings, rate):
    return FusedAdam(rate or settings.learning_rate, settings.beta_1, settings.beta_2)


def _check_range(settings, data, decoder):
    """Refuses a decoder whose output cannot have, or goes beyond, the values of the data."""
    head = RANGES.get(activation_of(decoder.outputs[0]))
    if head is not None and tuple(data.limits) != head:
        there, wanted = (f"{low:g}..{high:g}" for low, high in (data.limits, head))
        raise InputError(
            f"the decoder of {settings.network} gives values within {wanted}, but those of {data.name} lie within {there}: "
            f"set pixel_range=[{head[0]:g}, {head[1]:g}], or take another network."
        )


def _samples(settings, data, number, model, place):
    """What tells a collapse, and some samples to look at."""
    parts = []
    for first in range(0, settings.samples, AT_ONCE):
        place.check()
        parts.append(model.generate(min(AT_ONCE, settings.samples - first)))
    samples = np.concatenate(parts)
    test, split = tested(settings, place)
    labels = {name: data.labels.get(name) for name in ("train", split)}
    train_labels = None if labels["train"] is None else np.asarray(labels["train"])[:number]
    if split == "train":  # held out are those of the training images that were not used, or the last ones
        held = slice(number, None) if number < len(data.splits["train"]) else slice(-len(samples), None)
        test, test_labels = data.floats("train", held), None if train_labels is None else np.asarray(data.labels["train"])[held]
    else:
        test_labels = labels[split]
    found = indicators(samples, data.floats("train", slice(number)), test, train_labels, test_labels)
    shown = packed_images(data, samples[:SHOWN])
    return {"collapse": found, **({"examples": {"samples": shown}} if shown else {})}


def _tested_aae(settings, place, model, data):
    x, split = tested(settings, place)
    codes, errors, outputs = [], [], []
    for first in range(0, len(x), AT_ONCE):
        place.check()
        terms = {key: np.asarray(value) for key, value in model(x[first : first + AT_ONCE], training=False).items()}
        codes.append(terms["code"])
        errors.append(terms["distortion"])
        outputs += [terms["reconstruction"]] if first == 0 else []
    codes = np.concatenate(codes)[:MOST_CODES]
    draws = np.random.default_rng(settings.seed).normal(size=codes.shape).astype(np.float32)
    found = {"distortion_sse": float(np.concatenate(errors).astype(np.float64).mean()), "split": split, "images": len(x)}
    found["squared_mmd"] = float(MaximumMeanDiscrepancy().discrepancy(codes, draws))
    shown = {"images": packed_images(data, x[:SHOWN]), "reconstructions": packed_images(data, outputs[0][:SHOWN])}
    return {"test": found, **({"reconstructed": shown} if shown["images"] else {})}
