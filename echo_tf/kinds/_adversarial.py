"""The work of the kinds `gan` and `aae`: training, samples, and what tells a collapse."""

import keras
import numpy as np

from echo_tf.adversarial.autoencoder import AdversarialAutoencoder
from echo_tf.adversarial.collapse import indicators
from echo_tf.adversarial.network import GenerativeAdversarialNetwork
from echo_tf.channels import GaussianSample
from echo_tf.errors import InputError
from echo_tf.kinds._networks import builder_of, check_network
from echo_tf.kinds._training import check_range, data_of, num_training_images, packed_images
from echo_tf.optimizers import FusedAdam
from echo_tf.penalties import MaximumMeanDiscrepancy
from echo_tf.runs.fitting import fit
from echo_tf.runs.tensorboard_log import TensorBoardLog

SHOWN = 20  # samples, and test images with their reconstructions, that a record keeps
AT_ONCE = 250  # images through a network
HELD_OUT = 10  # one of so many training images, at most, where a dataset has no test split
MOST_CODES = 1_000  # that are held against draws


def perform_gan(settings, place):
    """Trains the networks of `gan.Settings`. Returns what the record says of it."""
    check_network(settings, place.network(settings.network), ("decoder", "discriminator"))
    unit = "_nats" if settings.loss == "non_saturating" else ""
    columns = {name: f"{name}{unit}" for name in ("discriminator_loss", "generator_loss")}
    columns |= {name: name for name in ("gradient_penalty", "representation_entropy")}
    return _perform(settings, place, _build_gan, columns, lambda model, *test: {})


def perform_aae(settings, place):
    """Trains and tests the networks of `aae.Settings`. Returns what the record says of it."""
    check_network(settings, place.network(settings.network), ("encoder", "decoder", "discriminator"))
    columns = {"distortion": "distortion_sse", "discriminator_loss": "discriminator_loss_nats"}
    columns["encoder_loss"] = "encoder_loss_nats"
    return _perform(settings, place, _build_aae, columns, lambda model, *test: _tested_aae(settings, place, model, *test))


def _perform(settings, place, build, columns, test):
    data, said = data_of(settings, place)
    used, held = _divided(settings, data)
    try:
        model, optimizers = build(settings, place.network(settings.network), data.image_shape)
    except ValueError as error:
        raise InputError(f"{settings.network} cannot be built for {settings.kind} on {settings.dataset}: {error}") from error
    check_range(settings, data, model)
    trained = fit(
        model,
        lambda rows: (data.floats("train", used[rows]),),
        len(used),
        settings,
        place,
        columns=columns,
        holders={"model": model, **optimizers},
        callbacks=lambda: [TensorBoardLog(place.folder / "tensorboard", np.zeros((0, 1)))],  # numbers alone
    )
    said |= {"train_images_used": len(used), **({} if held is None else {"held_out_images": len(held)})}
    payload = {"data": said, "parameters": model.count_params(), **trained.said()}
    if trained.diverged:
        return payload
    split, rows = ("test", slice(None)) if held is None else ("train", held)
    x, labels = data.floats(split, rows), (_labels(data, "train", used), _labels(data, split, rows))
    payload |= _samples(settings, data, used, x, labels, model, place)
    payload |= test(model, data, x, "test" if held is None else "held_out")
    place.keep(model)
    return payload


def _divided(settings, data):
    """The rows of the training images that are trained on, and those that are held out for the test (None: there is a test
    split): of what `train_images` leaves, or else a tenth, at random and always the same."""
    number, whole = num_training_images(settings, data), len(data.splits["train"])
    used, left = np.arange(number), np.arange(number, whole)
    if "test" in data.splits:
        return used, None
    random = np.random.default_rng(0)
    if len(left) < 2:
        left = np.sort(random.permutation(number)[: min(settings.samples, number // HELD_OUT)])
        used = np.setdiff1d(used, left)
    if len(left) < 2 or len(used) < settings.batch_size:
        raise InputError(
            f"{data.name} has no test split, so that up to a tenth of its {number} training images is held out: that leaves "
            f"{len(used)} for batches of {settings.batch_size} and {len(left)} for the test: take a smaller batch_size."
        )
    return used, np.sort(random.permutation(left)[: settings.samples])


def _build_gan(settings, network, image_shape):
    generator = builder_of(settings, network, "decoder", image_shape)(latent_dim=settings.latent_dim)
    discriminator = builder_of(settings, network, "discriminator", image_shape)()
    weights = settings.penalty_weight, settings.entropy_weight
    model = GenerativeAdversarialNetwork(generator, discriminator, settings.loss, *weights, seed=settings.seed)
    return _compiled(model, settings)


def _build_aae(settings, network, image_shape):
    heads = GaussianSample.head_activations
    encoder = builder_of(settings, network, "encoder", image_shape)(latent_dim=settings.latent_dim, head_activations=heads)
    if settings.encoder == "deterministic":
        encoder = keras.Model(encoder.inputs[0], encoder.outputs[0], name="encoder")
    decoder = builder_of(settings, network, "decoder", image_shape)(latent_dim=settings.latent_dim)
    discriminator = builder_of(settings, network, "discriminator", (settings.latent_dim,))()
    model = AdversarialAutoencoder(encoder, decoder, discriminator, seed=settings.seed)
    return _compiled(model, settings)


def _compiled(model, settings):
    """The compiled model, and its optimizers by name."""
    rates = {name: getattr(settings, name.replace("optimizer", "learning_rate")) for name in model.parts if name != "optimizer"}
    rates = {"optimizer": settings.learning_rate, **rates}
    betas = settings.beta_1, settings.beta_2
    model.compile(**{name: FusedAdam(rate or settings.learning_rate, *betas) for name, rate in rates.items()})
    return model, {name: getattr(model, name) for name in model.parts}


def _labels(data, split, rows):
    given = data.labels.get(split)
    return None if given is None else np.asarray(given)[rows]


def _samples(settings, data, used, test, labels, model, place):
    """What tells a collapse, and some samples to look at."""
    parts = []
    for first in range(0, settings.samples, AT_ONCE):
        place.check()
        parts.append(model.generate(min(AT_ONCE, settings.samples - first)))
    samples = np.concatenate(parts)
    found = indicators(samples, data.floats("train", used), test, *labels)
    shown = packed_images(data, samples[:SHOWN])
    return {"collapse": found, **({"examples": {"samples": shown}} if shown else {})}


def _tested_aae(settings, place, model, data, x, split):
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
