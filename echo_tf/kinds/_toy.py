"""The work of the kind `toy`: stacked training with checkpoints."""

import math
import time
from functools import partial

import numpy as np

from echo_tf.channels import GaussianSample
from echo_tf.errors import InputError
from echo_tf.isometry.group import StackedAutoencoders, arrays_of, state_of
from echo_tf.isometry.sources import DIMENSIONS, VARIANCES, source_of
from echo_tf.isometry.stacked import Member, Recipe, first_state, network_of
from echo_tf.isometry.workers import shares, training

EPOCHS_AT_ONCE = 5  # between looks at whether to stop
SECONDS_BETWEEN_SAVES = 30
LEAST_SHARED = 5_000_000  # examples trained on in all, below which a process of its own takes longer to start than to train


def perform(settings, place):
    """Trains the group of `toy.Settings` and keeps it as one model. Returns what the record says of it."""
    members = [Member(multiplier, settings.loss, settings.seed) for multiplier in settings.multipliers]
    encoder, decoder = networks(settings, place)
    network = network_of(encoder, decoder)
    recipe = Recipe(settings.reduction, settings.batch_size, settings.learning_rate, settings.averaging)
    source, _, points = points_of(settings)
    saved = place.restore()
    if saved is None:
        state, history, done = first_state(network, members), [], 0
    else:
        state, history, done = state_of(saved.arrays, members), saved.notes, saved.done
    parts, started, last = _parts(settings), time.perf_counter(), time.monotonic()
    progress = _bar(settings, place, done)
    with training(members, parts) as advance:
        while done < settings.epochs:
            place.check()
            epochs = min(EPOCHS_AT_ONCE, settings.epochs - done)
            state, means = advance(network, recipe, points, state, done, epochs)
            done += epochs
            history.append(_entry(done, means[-1], time.perf_counter() - started))
            started = time.perf_counter()
            progress.update(epochs)
            if not np.isfinite(means).all():
                lost = [m for m, found in zip(settings.multipliers, means[-1]) if not np.isfinite(found).all()]
                return {"status": "diverged", "reason": f"diverged at lambda {lost} within {done} epochs", "history": history}
            if time.monotonic() - last > SECONDS_BETWEEN_SAVES or done == settings.epochs:
                place.save(done, arrays_of(state), history)
                last = time.monotonic()
    progress.close()
    place.check()
    group = StackedAutoencoders(encoder, decoder, members, settings.reduction)
    group.take(state)
    place.keep(group)
    return {
        "data": {"variant": settings.source, "points": settings.points, "basis": np.round(source.basis, 9).tolist()},
        "parameters": encoder.count_params() + decoder.count_params(),
        "steps": settings.epochs * math.ceil(settings.points / settings.batch_size),
        "processes": len(parts),
        "train_seconds": round(sum(entry["seconds"] for entry in history), 1),
        "history": history,
    }


def points_of(settings):
    """The source of `toy.Settings` and its points: (`Source`, s (n, 3), x (n, 16) float32)."""
    source = source_of(settings.source, settings.seed)
    s = source.sample(settings.points, settings.seed)
    return source, s, source.embed(s).astype(np.float32)


def _parts(settings):
    number = len(settings.multipliers)
    return shares(number, 1 if number * settings.points * settings.epochs < LEAST_SHARED else None)


def networks(settings, place):
    """The encoder and decoder of `toy.Settings`. Raises InputError for what the network cannot be."""
    module = place.network(settings.network)
    build = {"latent_dim": len(VARIANCES), "image_shape": (DIMENSIONS,), "width": settings.width, "form": settings.form}
    try:
        encoder = partial(module.encoder, head_activations=GaussianSample.head_activations)
        return encoder(**build), module.decoder(**build)
    except (TypeError, ValueError) as error:
        raise InputError(f"{settings.network} cannot be built for the toy sources: {error}") from error


def _entry(done, means, seconds):
    distortion, rate = (np.round(column.astype(float), 6).tolist() for column in means.T)
    return {"epoch": done, "distortion_times_multiplier_nats": distortion, "rate_nats": rate, "seconds": round(seconds, 3)}


def _bar(settings, place, done):
    from tqdm import tqdm

    return tqdm(total=settings.epochs, initial=done, desc=settings.run_name, unit="epoch", disable=not place.progress)
