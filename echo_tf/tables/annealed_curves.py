"""Curves from the records of annealing: their parts merged, with gaps, encoders and exact values beside them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from echo_tf.ais.averages import Exact, between, standard_error
from echo_tf.kinds import ais
from echo_tf.methods import METHODS
from echo_tf.runs.records import Result, told_apart

TITLES = {"vae": "VAE", "linear": "linear VAE", "gan": "GAN", "aae": "AAE", "dcgan": "DCGAN"}
OF_PARTS = ("first_image", "num_images")  # settings of a part of a curve
TITLES |= {"gp": "GP-DCGAN", "sn": "SN-DCGAN", "bre": "BRE-DCGAN", "shallow_gan": "shallow GAN"}


class Curve(NamedTuple):
    """One curve.

    name: to call it by. settings: of its first part. images: how many it is the mean of. which: their numbers.
    points: its rows, `ais.rows`, by rising beta.
    gaps: rows of kind `bidirectional`.
    encoder: rate and distortion of the model's own encoder on the same images, or None.
    baseline: rows of kind `variational`, encoders trained per beta for the same decoder, on the same images, or None.
    """

    name: str
    settings: ais.Settings
    images: int
    which: frozenset
    points: pd.DataFrame
    gaps: list
    encoder: dict | None
    baseline: pd.DataFrame | None = None


def curves(own: Sequence[Result], every: Iterable[Result]) -> list[Curve]:
    """The curves of formal rounds that are finished, in the order of their names."""
    gaps = [result for result in every if result.settings.kind == "bidirectional" and result.finished]
    baselines = [result for result in every if result.settings.kind == "variational" and result.finished]
    return [_curve(name, parts, gaps, baselines) for name, parts in parts_of_curves(own)]


def parts_of_curves(own: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """(name, the records of its parts in the order of their images) of each curve, by name, "from 200" before "from 1600"; see
    `curves`. No image counts twice."""
    groups = {}
    for result in own:
        if result.settings.kind == "ais" and result.settings.round == "formal" and result.finished:
            key = result.settings.model_copy(update={"first_image": 0, "num_images": 1}).work(), result.settings.preset
            groups.setdefault(key, []).append(result)
    parts = [_apart(group) for group in groups.values()]
    return sorted(zip(_names([group[0].settings for group in parts]), parts), key=lambda pair: _by_numbers(pair[0]))


def _by_numbers(name):
    """A key that sorts numbers within names by their value."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _apart(group):
    """The parts of a curve that have no image in common, larger ones and those without a name of their own first."""
    parts, end = [], 0
    for result in sorted(group, key=lambda r: (r.settings.first_image, -r.settings.num_images, r.settings.name or "")):
        if result.settings.first_image >= end:
            parts.append(result)
            end = result.settings.first_image + result.settings.num_images
    return parts


def plain(every: Iterable[Result], study: str) -> list[Result]:
    """The records of one curve of each model of a study's folder: its own decoder and prior, squared errors, no label."""
    room = Path(study).parent
    chosen = {}
    for result in every:
        settings = result.settings
        if settings.kind != "ais" or Path(settings.study).parent != room or settings.round != "formal":
            continue
        if settings.distortion == "squared_error" and not (settings.is_changed or settings.label):
            of_model = settings.model.work(), settings.preset
            chosen.setdefault(of_model, (settings.study, settings.formal_seed, []))
            if chosen[of_model][:2] == (settings.study, settings.formal_seed):
                chosen[of_model][2].append(result)
    return [result for *_, found in chosen.values() for result in found]


def _curve(name, parts, gaps, baselines):
    settings = parts[0].settings
    points = pd.DataFrame(parts[0].rows()) if len(parts) == 1 else merged(parts)
    names = ("rate_nats", f"distortion_{ais.unit_of(points.iloc[0])}")
    encoders = [(part.record.get("encoder") or {}, part.record["images"]) for part in parts]
    number = sum(part.record["images"] for part in parts)
    encoder = None
    # older records have a point of the model as it is beside the curve of a changed one, or call an SSE nats
    if not settings.is_changed and all(name in one for one, _ in encoders for name in names):
        encoder = {key: sum(one[key] * images for one, images in encoders) / number for key in names}
    gaps = [gap for gap in gaps if gap.settings.model.work() == settings.work() and weights_of(gap) == weights_of(parts[0])]
    mine = [row for gap in gaps for row in gap.rows()]
    mine = sorted(mine, key=lambda row: row["beta"])
    which = frozenset().union(*map(images_of, parts))
    baselines = [result for result in baselines if weights_of(result) == weights_of(parts[0])]
    return Curve(name, settings, number, which, points, mine, encoder, _baseline(settings, which, baselines))


def weights_of(result: Result) -> dict:
    """Which weights a record measured, {run: hash}; {} of records that don't say. Another training is another decoder."""
    return result.record.get("models") or {}


def images_of(result: Result) -> frozenset:
    """The numbers of the images that a record is of: (split, number) each."""
    split, first = (result.record.get("data") or {}).get("split"), getattr(result.settings, "first_image", 0)
    return frozenset((split, number) for number in range(first, first + result.settings.num_images))


def _baseline(settings, which, baselines):
    """The rows of the baseline of a curve whose decoder, prior and distortion are its model's own, on the same images."""
    if settings.distortion != "squared_error" or settings.is_changed:
        return None
    for result in baselines:
        of_model = result.settings.preset == settings.preset and result.settings.model.work() == settings.model.work()
        if of_model and images_of(result) == which:
            return pd.DataFrame(result.rows())
    return None


def merged(parts: Sequence[Result]) -> pd.DataFrame:
    """The points of a curve whose images were annealed in parts, at the inverse temperatures of the first.

    Those of the others lie elsewhere: log Z and D are taken between them as `between` says; effective chains and acceptance,
    which only say how far to trust them, are linear there.
    """
    rows = pd.DataFrame(parts[0].rows())
    unit = ais.unit_of(rows.iloc[0])
    every = [part.arrays("images") for part in parts]
    betas = every[0]["betas"]

    def joined(log_z, distortion):
        found = [between(betas, one["betas"], one[log_z], one[distortion]) for one in every]
        return (np.concatenate(values, axis=1) for values in zip(*found))

    log_z, distortion = joined("log_z", "distortion")
    ess, acceptance = (
        np.array([np.interp(betas, one["betas"], column) for one in every for column in one[name].T]).T
        for name in ("ess", "acceptance")
    )
    rate = -log_z - betas[:, None] * distortion
    points = pd.DataFrame(
        {
            "beta": betas,
            "rate_nats": rate.mean(1),
            "rate_standard_error_nats": standard_error(rate),
            f"distortion_{unit}": distortion.mean(1),
            f"distortion_standard_error_{unit}": standard_error(distortion),
            "neg_log_z_nats": -log_z.mean(1),
            "neg_log_z_standard_error_nats": standard_error(log_z),
            "effective_chains": ess.mean(1),
            "acceptance_share": acceptance.mean(1),
        }
    )
    if all("exact_log_z" in one for one in every):
        exact_log_z, exact_distortion = joined("exact_log_z", "exact_distortion")
        columns = [f"exact_{name}" for name in ("rate_nats", f"distortion_{unit}", "neg_log_z_nats")]
        points[columns] = Exact(exact_distortion, exact_log_z).curve(betas)
    return points


def _names(every):
    found = [_name(settings) for settings in every]
    seeds = {settings.formal_seed for settings in every}
    many = len(seeds) > 1
    found = [f"{name}, seed {settings.formal_seed}" if many else name for name, settings in zip(found, every)]
    names = {(one.work(), one.preset): name for one, name in zip(every, found)}
    words = told_apart(every, lambda one: (names[one.work(), one.preset], one.preset), ("label", *OF_PARTS))
    return [", ".join(filter(None, [name, apart])) for name, apart in zip(found, words)]


def _name(settings):
    model = settings.model
    own = METHODS[model.method].title if hasattr(model, "method") else model.kind.upper()
    stem = (model.variant or "").rstrip("0123456789")
    size = (model.variant or "")[len(stem) :]
    base = TITLES[stem] + size if stem in TITLES else ", ".join(filter(None, [own, model.variant]))
    bound = None if settings.is_bound else "no bound"
    return ", ".join(filter(None, [base, settings.label and settings.label.replace("_", " "), bound]))
