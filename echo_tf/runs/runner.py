"""One training run, from a resolved configuration to its record: checkpointed, resumable, never done twice."""

import json
import math
import time
from functools import partial
from pathlib import Path

import filelock
import keras
import numpy as np

from echo_tf import analysis, checkpoints, records, reuse
from echo_tf.config import difference
from echo_tf.data.batches import ShuffledBatches
from echo_tf.errors import InputError, InUse
from echo_tf.evaluation import evaluate, log_likelihood
from echo_tf.files import check_writable, write_atomically
from echo_tf.interrupts import StopRequest
from echo_tf.marginals import VampPrior
from echo_tf.methods import make_method
from echo_tf.optimizers import FusedAdam
from echo_tf.schedules import SCHEDULES, BetaWarmup
from echo_tf.tensorboard_log import TensorBoardLog

NUM_EXAMPLES = 10  # test images whose reconstructions a record keeps
EXAMPLE_SAMPLES = 10  # encodings averaged in each (Echo paper, section 5.2)
NUM_GENERATED = 20  # images from the model's own marginal that a record keeps


def train(config, network, load_data, results="results", work="work", verbose=1, patience=0):
    """Trains, evaluates and records one run; continues what is unfinished and skips what is done, in this study or another.

    Args:
        config: a `RunConfig`.
        network: module with `encoder` and `decoder` builders, as in `models/`.
        load_data: () -> `ImageData`; not called where the run is done.
        results, work: folders for the record, and for checkpoints, logs and the trained model.
        verbose: 1 for progress bars, 2 for a line an epoch, 0 for silence.
        patience: seconds to wait for another process that is at work on this run.

    Returns:
        (record, whether it was there already). The record's status is "finished" or "diverged".

    Raises:
        InputError: for another configuration under the run's name, or a place that cannot be written.
        InUse: for a run that another process is at work on.
        Interrupted: on SIGTERM or SIGINT.
    """
    record = find_record(config, results)
    if record is not None:
        return record, True
    record_path, folder = records.path_of(config, results), Path(work, config.run_path)
    check_writable(record_path.parent)
    check_writable(folder)
    try:
        with filelock.FileLock(folder / "lock", timeout=patience), StopRequest() as stop:
            record = find_record(config, results)  # again: the process that had the lock may have finished the run
            if record is not None:
                return record, True
            data = load_data()
            record = reuse.take_over(config, data, results)
            if record is not None:
                return record, True
            return _train_locked(config, network, data, record_path, folder, verbose, stop), False
    except filelock.Timeout:
        raise InUse(f"another process is at work in {folder}: wait for it, or give this run another name.") from None


def find_record(config, results):
    """The record of a run that is done, else None. Raises InputError if it is another configuration's."""
    path = records.path_of(config, results)
    if not path.exists():
        return None
    record = records.read(path)
    _refuse_another(record["config"], config, path)
    return record


def build(config, network, image_shape):
    """The compiled autoencoder of a configuration, its weights drawn from the configuration's seed."""
    keras.config.set_dtype_policy(config.dtype_policy)
    if config.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.seed)
    shared = {"image_shape": tuple(image_shape), "width": config.width}
    decoder = partial(network.decoder, output_kernel=config.output_kernel, **shared)
    model = make_method(
        config.method,
        partial(network.encoder, **shared),
        decoder if config.decoder_input == "code" else partial(_mapping_first, decoder, config.decoder_input),
        beta=config.beta,
        distortion=config.distortion,
        latent_dim=config.latent_dim,
        **config.method_settings,
    )
    model.build((None, *image_shape))
    # epsilon 1e-7 is that of the released code (Keras's default, unlike the 1e-8 of Adam's paper)
    model.compile(FusedAdam(config.learning_rate, epsilon=1e-7))
    model.optimizer.build(model.trainable_variables)
    return model


def _mapping_first(decoder, name, latent_dim):
    """A decoder that maps the code before it does anything else; see `RunConfig`."""
    layer = {
        "times_16": lambda: keras.layers.Rescaling(16.0),
        "batch_normalized": lambda: keras.layers.BatchNormalization(center=False, scale=False),
    }[name]()
    return keras.Sequential([keras.Input((latent_dim,)), layer, decoder(latent_dim=latent_dim)], name="decoder")


def _refuse_another(old, config, place):
    changes = difference(old, config.model_dump())
    if changes:
        raise InputError(
            f"{place} belongs to another configuration ({'; '.join(changes)}): "
            "go back to it, give this run a name of its own (name=...), or remove that file or folder."
        )


def _train_locked(config, network, data, record_path, folder, verbose, stop):
    config_path = folder / "config.json"
    if config_path.exists():
        _refuse_another(_read_settings(config_path), config, folder)
    train_images = data.splits["train"]
    if config.dataset == "fashion_mnist":
        train_images = train_images[: config.fashion_mnist_train_images]
    if len(train_images) < config.batch_size:
        raise InputError(
            f"setting 'batch_size' is {config.batch_size}, but {data.name} has {len(train_images)} training images."
        )
    model = build(config, network, data.image_shape)
    if isinstance(model.marginal, VampPrior):
        if len(train_images) < config.pseudo_inputs:
            raise InputError(
                f"setting 'pseudo_inputs' is {config.pseudo_inputs}, but {data.name} has {len(train_images)} images."
            )
        model.marginal.start_from(data.floats("train", slice(len(train_images))))
    write_atomically(config_path, json.dumps(config.model_dump(), indent=1))  # only now: what is refused must not stay
    history = checkpoints.restore(folder, model)
    progress = _Progress(folder, history, stop)
    if len(history) < config.epochs:
        schedule = SCHEDULES[config.schedule]
        model.fit(
            ShuffledBatches(train_images, data.maximum, config.batch_size, config.seed, epoch=len(history)),
            shuffle=False,
            epochs=config.epochs,
            initial_epoch=len(history),
            verbose=verbose,
            callbacks=[
                keras.callbacks.LearningRateScheduler(lambda epoch, _: schedule(epoch, config.epochs, config.learning_rate)),
                *([BetaWarmup(config.beta_warmup_epochs, config.beta)] if config.beta_warmup_epochs else []),
                progress,
                TensorBoardLog(folder / "tensorboard", _some_test_images(data, config.batch_size)),
            ],
        )
    record = _describe(config, data, model, history, len(train_images))
    record["status"] = "diverged" if progress.diverged else "finished"
    if not progress.diverged:
        record.update(_measure(config, data, model, verbose, stop))
        if config.analysis:
            record["analysis"] = _analyse(config, data, model, record_path, verbose, stop)
        model.save(folder / "saving.keras")
        (folder / "saving.keras").replace(folder / "model.keras")
    records.write(record_path, record)
    if not progress.diverged:
        checkpoints.remove(folder)  # only now: until the record is there, they are all that a further attempt has
    return record


def _read_settings(path):
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}), so that nobody can tell whose checkpoints stand beside it: remove {path.parent}."
        ) from error


class _Progress(keras.callbacks.Callback):
    """Keeps the history and a checkpoint of every epoch; stops on NaN and on request."""

    def __init__(self, folder, history, stop):
        super().__init__()
        self.folder, self.history, self.stop, self.diverged = folder, history, stop, False

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.stop.check()
        if not math.isfinite(logs["loss"]):
            self.diverged = self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if self.diverged:
            return
        names = {"rate": "rate_nats", "distortion": "distortion_nats", "neg_elbo": "neg_elbo_nats", "loss": "loss_nats"}
        entry = {"epoch": epoch + 1, "learning_rate": float(logs["learning_rate"])}
        entry.update({name: float(logs[key]) for key, name in names.items()})
        self.history.append({**entry, "seconds": round(time.perf_counter() - self._started, 3)})
        checkpoints.save(self.folder, self.model, self.history)


def _describe(config, data, model, history, num_train_images):
    return {
        "config": config.model_dump(),
        "fidelity": {"word": config.fidelity, "switches": config.switches},
        "data": {**records.describe_data(data), "train_images_used": num_train_images},
        "parameters": model.count_params(),
        "history": history,
        "train_seconds": round(sum(entry["seconds"] for entry in history), 1),
        **records.describe_surroundings(),
    }


def _some_test_images(data, batch_size):
    """A batch of test images at random, always the same: a whole batch, so that Echo has its donors."""
    return data.floats("test", np.random.default_rng(0).permutation(len(data.splits["test"]))[:batch_size])


def _measure(config, data, model, verbose, stop):
    """The test metrics and the example reconstructions of a trained model."""
    started = time.perf_counter()
    x = data.floats("test")
    is_echo = model.marginal is None
    if is_echo:
        pool = np.random.default_rng(config.seed).permutation(len(data.splits["train"]))[: config.pool_size]
        model.adapt(data.floats("train", pool), config.batch_size)
        model.channel.noise_source = config.eval_noise
    metrics = evaluate(model, x, config.eval_samples, config.batch_size, stop.check, verbose == 1)
    shown = _some_test_images(data, config.batch_size)
    reconstructions = model.reconstruct(shown, EXAMPLE_SAMPLES, config.batch_size)
    return {
        "test": {
            "metrics": metrics,
            "images": len(x),
            "samples_per_image": config.eval_samples,
            "log_likelihood": _likelihood(config, model, x, stop, verbose),
            "echo_noise_from": config.eval_noise if is_echo else None,
            "rate_floor_nats": model.channel.rate_floor if is_echo else None,
            "seconds": round(time.perf_counter() - started, 1),
        },
        "examples": {
            "images": records.pack_images(shown[:NUM_EXAMPLES]),
            "reconstructions": records.pack_images(reconstructions[:NUM_EXAMPLES]),
            "encodings_averaged": EXAMPLE_SAMPLES,
            "samples": records.pack_images(model.generate(NUM_GENERATED)),
        },
    }


def _likelihood(config, model, x, stop, verbose):
    """The importance-sampled log-likelihood, or why there is none."""
    if model.marginal is None:
        return {"none": "the density q(z|x) of an Echo channel is not known, so there are no importance weights"}
    if not config.likelihood_samples:
        return reuse.NOT_ASKED_FOR
    return log_likelihood(model, x, config.likelihood_samples, config.batch_size, stop.check, verbose == 1)


def _analyse(config, data, model, record_path, verbose, stop):
    """Stores the analysis of a trained Echo model beside its record-to-be, and returns what the record says of it."""
    path = record_path.with_name(f"{config.run_name}{analysis.ENDING}")
    found = analysis.analyse(
        model,
        data.floats("test"),
        batch_size=config.batch_size,
        seed=config.seed,
        check=stop.check,
        progress=verbose == 1,
    )
    analysis.write(path, found)
    return {"file": path.name, **analysis.key_numbers(found)}
