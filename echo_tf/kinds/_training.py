"""The training and the test of a rate-distortion autoencoder: the work of the kind `autoencoder`."""

import time
from functools import partial

import keras
import numpy as np

from echo_tf import inputs
from echo_tf.disentangle.selection import dependent, thinned
from echo_tf.distortions import Gaussian
from echo_tf.errors import InputError
from echo_tf.evaluation import evaluate, unit_of
from echo_tf.guards import forget_compiled
from echo_tf.isometry.decomposed import DecomposedAutoencoder
from echo_tf.kinds._networks import builder_of, check_network
from echo_tf.methods import make_method
from echo_tf.optimizers import FusedAdam
from echo_tf.penalties import TotalCorrelation
from echo_tf.runs import records
from echo_tf.runs.fitting import fit
from echo_tf.runs.tensorboard_log import TensorBoardLog
from echo_tf.schedules import SCHEDULES, BetaWarmup

NUM_EXAMPLES = 10  # test images whose reconstructions a record keeps
EXAMPLE_SAMPLES = 10  # encodings averaged in each (Echo paper, section 5.2)
NUM_GENERATED = 20  # images from the model's own marginal that a record keeps
MOST_TESTED = 10_000  # images tested of a dataset that has no test split


def perform(settings, place):
    """Trains, tests and saves the model of `autoencoder.Settings`. Returns what the record says of it."""
    network = place.network(settings.network)
    check_network(settings, network)
    data, said = data_of(settings, place)
    number = num_training_images(settings, data)
    model = build(settings, network, data.image_shape)
    check_range(settings, data, model)
    if hasattr(model.marginal, "start_from"):
        if number < settings.pseudo_inputs:
            raise InputError(f"setting 'pseudo_inputs' is {settings.pseudo_inputs}, but {data.name} has {number} images.")
        model.marginal.start_from(data.floats("train", slice(number)))
    unit = unit_of(model)
    columns = {"learning_rate": "learning_rate", "rate": "rate_nats", "distortion": f"distortion_{unit}"}
    columns |= {
        "total_correlation": "total_correlation_nats",
        "neg_elbo": "neg_elbo_nats",
        "loss": "loss_nats" if unit == "nats" else "loss",
    }
    trained = fit(
        model,
        lambda rows: (data.floats("train", rows),),
        number,
        settings,
        place,
        columns=columns,
        callbacks=lambda: _callbacks(settings, place, data),
    )
    payload = {"data": {"train_images_used": number, **said}, "parameters": model.count_params(), **trained.said()}
    if trained.diverged:
        return payload
    payload |= measure(settings, data, model, place)
    place.keep(model)
    return payload


def data_of(settings, place):
    """The dataset of a training as its network has it, and what its record says of that beside the whole dataset: which of the
    images by their factors, padded and scaled."""
    data, said = place.data(settings.dataset), {}
    if getattr(settings, "factor_strides", None):
        data = thinned(data, settings.factor_strides)
        said["factor_sizes"] = dict(zip(data.factor_names, data.factor_sizes))
    if getattr(settings, "ground_truth", "independent") == "dependent":
        of_all = len(data.splits["train"])
        data, kept = dependent(data, settings.blocks, settings.remove_probability, settings.subset_seed)
        number = len(data.splits["train"])
        said |= {"kept_share": number / of_all, "factor_total_correlation_nats": kept.total_correlation}
    padded = data.padded(getattr(place.network(settings.network), "MULTIPLE", 1))
    if padded is not data:
        said["padded_to"] = list(padded.image_shape)
    wanted = getattr(settings, "pixel_range", None)
    if wanted is None:
        return padded, said
    return padded.scaled(*wanted), said | {"scaled_to": list(wanted)}


def build(settings, network, image_shape):
    """The compiled autoencoder of `autoencoder.Settings`, its weights drawn from Keras's global seed."""
    encoder, decoder = (builder_of(settings, network, name, image_shape) for name in ("encoder", "decoder"))
    try:
        model = make_method(
            settings.method,
            encoder,
            decoder if settings.decoder_input == "code" else partial(_mapping_first, decoder, settings.decoder_input),
            beta=settings.beta,
            distortion=settings.distortion if settings.variance is None else Gaussian(variance=settings.variance),
            latent_dim=settings.latent_dim,
            penalties=_penalties(settings),
            **settings.method_settings,
        )
        if settings.objective == "decomposed":
            parts = (model.encoder, model.channel, model.decoder, model.marginal, model.measure_of_distortion)
            model = DecomposedAutoencoder(*parts, model.beta, model.penalties)
        model.build((None, *image_shape))
        model.check_batches(settings.batch_size)
    except ValueError as error:  # a size that the network cannot take, a flow on another backend
        raise InputError(f"{settings.network} cannot be built for {settings.method} on {settings.dataset}: {error}") from error
    model.compile(FusedAdam(settings.learning_rate, epsilon=settings.adam_epsilon))
    model.optimizer.build(model.trainable_variables)
    return model


def _penalties(settings):
    if not settings.gamma:
        return ()
    given = {"units": settings.discriminator_units, "beta_2": settings.discriminator_beta_2, "permuted": settings.permuted}
    return [TotalCorrelation(settings.gamma, **given)]


def _mapping_first(decoder, name, latent_dim):
    """A decoder that maps the code before it does anything else; see `autoencoder.Settings`."""
    layer = {
        "times_16": lambda: keras.layers.Rescaling(16.0),
        "batch_normalized": lambda: keras.layers.BatchNormalization(center=False, scale=False),
    }[name]()
    return keras.Sequential([keras.Input((latent_dim,)), layer, decoder(latent_dim=latent_dim)], name="decoder")


def num_training_images(settings, data):
    there = len(data.splits["train"])
    number = settings.train_images or there
    if number > there:
        raise InputError(f"setting 'train_images' is {number}, but {data.name} has {there} training images.")
    if number < settings.batch_size:
        raise InputError(f"setting 'batch_size' is {settings.batch_size}, but {data.name} has {number} training images.")
    return number


def check_range(settings, data, model):
    """Refuses data whose range the distortion does not take, or the decoder's output cannot meet."""
    measure = model.measure_of_distortion
    head = measure.range_of(model.decoder.outputs[0])
    try:
        inputs.check_range(*data.limits, measure.limits, head)
    except ValueError as error:
        wanted = f"[{head[0]:g}, {head[1]:g}]" if head else "[0, 1]"
        way_out = f"pixel_range={wanted}" if hasattr(settings, "pixel_range") else "distortion=gaussian"
        raise InputError(
            f"{data.name} does not fit {settings.network} and its distortion: {error} Take {way_out}, or another network."
        ) from error


def _callbacks(settings, place, data):
    (total, _), stride = settings.amount, settings.stride
    schedule = SCHEDULES[settings.schedule]
    rate = keras.callbacks.LearningRateScheduler(lambda done, _: schedule(done * stride, total, settings.learning_rate))
    warmup = [BetaWarmup(settings.beta_warmup_epochs, settings.beta)] if settings.beta_warmup_epochs else []
    return [rate, *warmup, TensorBoardLog(place.folder / "tensorboard", _some_test_images(data, settings.batch_size))]


def _test_split(data):
    return "test" if "test" in data.splits else "train"


def _some_test_images(data, batch_size):
    """A batch of test images at random, always the same: a whole batch, so that Echo has its donors."""
    split = _test_split(data)
    return data.floats(split, np.random.default_rng(0).permutation(len(data.splits[split]))[:batch_size])


def tested(settings, place):
    """The images on which the model of a training is tested, and the split that they are of: for what measures it later.

    Returns:
        (floats (n, ...), "test", or "train" where a dataset has no other: then at most 10,000 at random).
    """
    return _tested(data_of(settings, place)[0])


def _tested(data):
    split = _test_split(data)
    number = len(data.splits[split])
    if split == "test" or number <= MOST_TESTED:
        return data.floats(split), split
    return data.floats(split, np.sort(np.random.default_rng(0).permutation(number)[:MOST_TESTED])), split


def measure(settings, data, model, place):
    """The test metrics and the example reconstructions of a trained model."""
    started = time.perf_counter()
    forget_compiled(model)  # or the last digits depend on whether this process has trained it, too
    x, split = _tested(data)
    is_echo = model.marginal is None
    if is_echo:
        pool = np.random.default_rng(settings.seed).permutation(len(data.splits["train"]))[: settings.pool_size]
        model.adapt(data.floats("train", pool), settings.batch_size)
        model.channel.noise_source = settings.eval_noise
    metrics = evaluate(model, x, settings.eval_samples, settings.batch_size, place.check, place.progress)
    shown = _some_test_images(data, settings.batch_size)
    reconstructions = model.reconstruct(shown, EXAMPLE_SAMPLES, settings.batch_size)
    return {
        "test": {
            "metrics": metrics,
            "split": split,
            "images": len(x),
            "samples_per_image": settings.eval_samples,
            "echo_noise_from": settings.eval_noise if is_echo else None,
            "rate_floor_nats": model.channel.rate_floor if is_echo else None,
            "seconds": round(time.perf_counter() - started, 1),
        },
        **_examples(data, shown, reconstructions, model),
    }


def _examples(data, shown, reconstructions, model):
    """Some images, their reconstructions and samples; nothing for data that are no images."""
    images = packed_images(data, shown[:NUM_EXAMPLES])
    if images is None:
        return {}
    return {
        "examples": {
            "images": images,
            "reconstructions": packed_images(data, reconstructions[:NUM_EXAMPLES]),
            "encodings_averaged": EXAMPLE_SAMPLES,
            "samples": packed_images(data, model.generate(NUM_GENERATED)),
        }
    }


def packed_images(data, images):
    """Images as a record keeps them, the data's range mapped onto [0, 1]; None of data that are no images."""
    if len(data.image_shape) != 3 or data.image_shape[2] not in (1, 3):
        return None
    low, high = data.limits
    return records.pack_images(np.clip((np.asarray(images) - low) / (high - low), 0, 1))
