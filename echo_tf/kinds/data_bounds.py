"""Bounds of R(D) of a dataset under squared error: what any decoder's curve could at best be. No training, no network."""

from typing import ClassVar

import numpy as np
import pydantic

from echo_tf.errors import InputError
from echo_tf.runs.place import Place
from echo_tf.runs.records import number
from echo_tf.runs.settings import MOST, Positive
from echo_tf.runs.settings import Settings as Core

TABLES = ("rows",)
FIGURES = ()  # they stand in the figures of curves on the same data
LOWER = "lower_rate_plus_beta_distortion_nats"  # as `theory.lower_bound` calls it
COLUMNS_OF_LOWER = ("rate_plus_beta_distortion_nats", "choosing_rate_plus_beta_distortion_nats")  # of a record: value, choice
STAGES = ("codebook", "particles", "mixture", "population", "sample")


class Settings(Core):
    """The settings of one measurement.

    dataset: in its declared range; squared errors are summed over pixels.
    train_images: at random, that marginals are fitted to.
    lower_images: the first of these, for the population's lower bound: one half chooses a beta for each distortion, the other
        gives the value, below log (lower_images / 2); minutes a beta from 4,000.
    num_images: the first test images, on which the fitted marginals are tested and whose own R(D) has a lower bound, below
        log num_images: those of the curves beside which they stand.
    betas: slopes of the curves.
    points: of the codebook (training images) and of the particles, which start there.
    components: of the mixture of Gaussians. Of lower_images, points and components, none is above train_images.
    steps: the most steps of each fit.
    """

    folders: ClassVar = ("dataset",)

    kind: str = "data_bounds"
    dataset: str = pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")
    train_images: int = pydantic.Field(default=2000, ge=2, le=MOST)
    lower_images: int = pydantic.Field(default=1000, ge=4, le=MOST)
    num_images: int = pydantic.Field(default=50, ge=1, le=MOST)
    betas: tuple[Positive, ...] = pydantic.Field(min_length=1)
    points: int = pydantic.Field(default=500, ge=2, le=MOST)
    components: int = pydantic.Field(default=20, ge=1, le=1000)
    steps: int = pydantic.Field(default=50, ge=1, le=10_000)

    @pydantic.model_validator(mode="after")
    def _of_enough_images(self):
        for name in ("lower_images", "points", "components"):
            if getattr(self, name) > self.train_images:
                raise ValueError(f"setting {name!r} is {getattr(self, name)}, more than train_images, {self.train_images}")
        return self

    @property
    def amount(self) -> tuple[int, str]:
        return len(STAGES), "bounds"


def perform(settings: Settings, place: Place) -> dict:
    """Computes the bounds; see `echo_tf.theory.data_bounds`."""
    data = place.data(settings.dataset)
    split = "test" if "test" in data.splits else "train"
    first = settings.num_images if split == "train" else 0  # what is tested is never fitted to
    number = len(data.splits["train"]) - first
    limits = {"num_images": len(data.splits[split]) - 2 * (first > 0), "train_images": number}
    for name, there in limits.items():
        if getattr(settings, name) > there:
            raise InputError(f"setting {name!r} is {getattr(settings, name)}, but {data.name} has {there} images for it.")
    chosen = first + np.sort(np.random.default_rng(settings.seed).permutation(number)[: settings.train_images])
    train = data.floats("train", chosen).reshape(settings.train_images, -1).astype(np.float64)
    test = data.floats(split, slice(settings.num_images)).reshape(settings.num_images, -1).astype(np.float64)
    state = place.restore()
    tables = {} if state is None else dict(state.arrays)
    for done, stage in enumerate(STAGES):
        if stage not in tables:
            place.check()
            tables[stage] = _bound(stage, settings, train, test, place.check)
            place.save(done + 1, tables)
    bounds = [row for stage in STAGES for row in _rows(stage, settings, tables[stage])]
    return {"data": {"images_used": [0, settings.num_images], "split": split}, "bounds": bounds}


def _bound(stage, settings, train, test, check):
    """The numbers of one bound: (R, 5) beta, rate and distortion of training images, of test images; of lower bounds beta and
    rate + beta * distortion, (R, 2) of the test images and (R, 3) of both halves of the training images."""
    from echo_tf import theory

    betas, rng = np.array(settings.betas), np.random.default_rng(settings.seed)
    if stage == "population":
        halves = np.array_split(train[: settings.lower_images], 2)
        return np.stack([betas, *(theory.lower_bound(half, betas, check=check)[LOWER] for half in halves)], axis=1)
    if stage == "sample":
        return theory.lower_bound(test, betas, check=check)[["beta", LOWER]].to_numpy()
    if stage == "codebook":
        codebook = train[rng.permutation(len(train))[: settings.points]]
        found = theory.codebook_bound(train, codebook, betas, test, check=check)
    elif stage == "particles":
        found = theory.particle_bound(train, betas, settings.points, settings.steps, settings.seed, test, check=check)
    else:
        given = {"steps": settings.steps, "seed": settings.seed, "check": check}
        found = theory.fitted_mixture_bound(train, betas, settings.components, test, **given)
    return found[["beta", "rate_nats", "distortion_sse", "test_rate_nats", "test_distortion_sse"]].to_numpy()


def _rows(stage, settings, table):
    half = settings.lower_images // 2
    names = {
        "codebook": f"codebook of {settings.points} images",
        "particles": f"{settings.points} particles",
        "mixture": f"mixture of {settings.components} Gaussians",
        "population": f"lower bound in expectation, {half} + {half} images",
        "sample": f"lower bound for these {settings.num_images} images",
    }
    columns = {
        "population": ("beta", *reversed(COLUMNS_OF_LOWER)),
        "sample": ("beta", COLUMNS_OF_LOWER[0]),
    }.get(stage, ("beta", "train_rate_nats", "train_distortion_sse", "rate_nats", "distortion_sse"))
    return [{"bound": names[stage], **dict(zip(columns, row))} for row in table.tolist()]


def rows(record: dict) -> list[dict]:
    """A row a bound and beta: of upper bounds, rate and distortion of the test images and of the training images; of lower
    ones, for distortions between those of the upper ones, its rate, which bounds

    * "for these images": the R(D) of the test images as the source, always; so every curve of the same images is above it;
    * "in expectation": the population's R(D), in expectation over the images; it may be negative;
    * "lower bound, N images", of older records: the R(D) of N training images as the source, not the population's.
    """
    import pandas as pd

    from echo_tf.theory.data_lower_bound import lower_envelope

    for row in record["bounds"]:
        [number(value) for name, value in row.items() if name != "bound"], f"{row['bound']:s}"
    upper = [row for row in record["bounds"] if "rate_nats" in row]
    for row in upper:
        row["beta"], row["rate_nats"], row["train_rate_nats"]
    reached = [row[name] for row in upper for name in ("train_distortion_sse", "distortion_sse")]
    lines = pd.DataFrame([row for row in record["bounds"] if "rate_nats" not in row])
    found = []
    for name, of_one in lines.groupby("bound", sort=False):
        value, choosing = (of_one[["beta"]].assign(**{LOWER: of_one.get(column)}) for column in COLUMNS_OF_LOWER)
        has_choice = choosing[LOWER].notna().all()
        envelope = lower_envelope(value, np.linspace(min(reached), max(reached), 40), choosing if has_choice else None)
        found += [
            {"bound": name, "rate_nats": rate, "distortion_sse": d}
            for d, rate in envelope[["distortion_sse", "lower_rate_nats"]].to_numpy().tolist()
        ]
    return [*upper, *found]


def line(record: dict) -> str:
    upper = [row for row in record["bounds"] if "rate_nats" in row]
    lower = {row["bound"] for row in record["bounds"]} - {row["bound"] for row in upper}
    betas = len({row["beta"] for row in upper})
    return f"{len({row['bound'] for row in upper})} upper bounds and {len(lower)} lower at {betas} betas"
