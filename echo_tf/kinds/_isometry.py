"""The work of the kind `isometry`."""

import math

import numpy as np

from echo_tf.errors import InputError
from echo_tf.isometry import examine, examine_echo
from echo_tf.isometry.traversal import traversals
from echo_tf.kinds._toy import points_of
from echo_tf.kinds._training import tested

SCATTERED, SCATTERED_AT = 4_000, 100.0  # points of a toy source that a record keeps for scatter plots, and of which lambda
WIDEST = 2.0  # of a traversal, in standard deviations of the prior (figures 6 and 23)
TRAVERSAL_STEPS = 9


def perform(settings, place):
    """Analyses the model of `isometry.Settings`. Returns what the record says of it."""
    try:
        return (_toy if settings.model.kind == "toy" else _images)(settings, place)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{settings.run_path}: {error}") from error


def _defined(numbers):
    """Those that are not finite as None: no estimate varies where a model has collapsed, so that it correlates with nothing."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _toy(settings, place):
    group, model = place.model(settings.model), settings.model
    source, _, points = points_of(model)
    shown = min(model.multipliers, key=lambda multiplier: abs(math.log(multiplier / SCATTERED_AT)))
    trainings, kept = [], {}
    for number, multiplier in enumerate(model.multipliers):
        for weights in ("averaged", "last"):
            one = group.autoencoder(number, weights == "averaged")
            found = examine(one, points, seed=settings.seed, log_prob=source.log_prob, check=place.check)
            dimensions = points.shape[1] if model.reduction == "mean" else 1
            more = {
                "correlations": _defined(found.correlations()),
                "slopes": _defined(found.slopes(1 / multiplier, dimensions)),
            }
            aligned = _aligned(one, points, source)
            trainings.append({"multiplier": multiplier, "weights": weights, "aligned": aligned, **_entry(found), **more})
            if weights == "averaged" and multiplier == shown:
                logs = [found.log_density, *found.estimates.values()]
                kept[f"{multiplier:g}"] = np.array(logs)[:, :SCATTERED].astype(np.float32)
    place.attach("scatter", kept)
    return {"data": {"variant": model.source, "points": len(points)}, "trainings": trainings}


def _aligned(model, points, source):
    """|correlation| of each code's mean with the source variable that it follows most closely, in the order of the code."""
    loc = model.encode(points, len(points))[0]
    found = np.corrcoef(loc.T, (points @ source.basis.T).T)[: loc.shape[1], loc.shape[1] :]
    return [round(float(value), 4) for value in np.abs(found).max(axis=1)]


def _images(settings, place):
    model = place.model(settings.model)
    images, split = tested(settings.model, place)
    images = images[: settings.num_images]
    look = examine_echo if settings.model.method == "echo" else examine
    found = look(model, images, seed=settings.seed, check=place.check)
    order = found.table["latent"].to_numpy()
    place.attach("traversals", {"images": traversals(model, images, order, WIDEST, TRAVERSAL_STEPS)})
    return {"data": {"images_used": [0, len(images)], "split": split}, "images": len(images), "trainings": [_entry(found)]}


def _entry(found):
    table = {name: [_short(value) for value in column] for name, column in found.table.items()}
    losses = {name: _short(value) for name, value in found.losses.items()}
    return {"table": table, "losses": losses, "idle_nats": _short(found.idle_nats)}


def _short(value):
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.7g}")
    return value.item() if hasattr(value, "item") else value
