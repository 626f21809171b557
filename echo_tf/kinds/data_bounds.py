"""Bounds of R(D) of a dataset under squared error: what any decoder's curve could at best be. No training, no network."""

from typing import Annotated, ClassVar

import numpy as np
import pydantic

from echo_tf.errors import InputError
from echo_tf.runs.place import Place
from echo_tf.runs.settings import MOST
from echo_tf.runs.settings import Settings as Core

TABLES = ("rows",)
FIGURES = ()  # they stand in the figures of curves on the same data
STAGES = ("codebook", "particles", "mixture", "lower")


class Settings(Core):
    """The settings of one measurement.

    dataset: in its declared range; squared errors are summed over pixels.
    train_images: at random, that marginals are fitted to.
    lower_images: the first of these, the source of the lower bound, which is below log lower_images; minutes a beta from 2,000.
    num_images: the first test images, on which the fitted marginals are tested: those of the curves beside which they stand.
    betas: slopes of the curves.
    points: of the codebook (training images) and of the particles, which start there.
    components: of the mixture of Gaussians.
    steps: the most steps of each fit.
    """

    folders: ClassVar = ("dataset",)

    kind: str = "data_bounds"
    dataset: str = pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")
    train_images: int = pydantic.Field(default=2000, ge=2, le=MOST)
    lower_images: int = pydantic.Field(default=1000, ge=2, le=MOST)
    num_images: int = pydantic.Field(default=50, ge=1, le=MOST)
    betas: tuple[Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)], ...] = pydantic.Field(min_length=1)
    points: int = pydantic.Field(default=500, ge=2, le=MOST)
    components: int = pydantic.Field(default=20, ge=1, le=1000)
    steps: int = pydantic.Field(default=50, ge=1, le=10_000)

    @property
    def amount(self) -> tuple[int, str]:
        return len(STAGES), "bounds"


def perform(settings: Settings, place: Place) -> dict:
    """Computes the bounds; see `echo_tf.theory.data_bounds`."""
    data = place.data(settings.dataset)
    split = "test" if "test" in data.splits else "train"
    number = len(data.splits["train"])
    limits = {"train_images": number, "num_images": len(data.splits[split])}
    for name, there in limits.items():
        if getattr(settings, name) > there:
            raise InputError(f"setting {name!r} is {getattr(settings, name)}, but {data.name} has {there} images there.")
    if settings.points > settings.train_images:
        raise InputError(f"setting 'points' is {settings.points}, more than train_images, {settings.train_images}.")
    chosen = np.sort(np.random.default_rng(settings.seed).permutation(number)[: settings.train_images])
    train = data.floats("train", chosen).reshape(settings.train_images, -1).astype(np.float64)
    test = data.floats(split, slice(settings.num_images)).reshape(settings.num_images, -1).astype(np.float64)
    state = place.restore()
    tables = {} if state is None else dict(state.arrays)
    for done, stage in enumerate(STAGES):
        if stage not in tables:
            place.check()
            tables[stage] = _bound(stage, settings, train, test)
            place.save(done + 1, tables)
    bounds = [row for stage in STAGES for row in _rows(stage, settings, tables[stage])]
    return {"data": {"images_used": [0, settings.num_images], "split": split}, "bounds": bounds}


def _bound(stage, settings, train, test):
    """The numbers of one bound: (R, 5) beta, rate and distortion of training images, of test images; (R, 2) of "lower"."""
    from echo_tf import theory

    betas, rng = np.array(settings.betas), np.random.default_rng(settings.seed)
    if stage == "lower":
        found = theory.lower_bound(train[: settings.lower_images], betas)
        return found[["beta", "lower_rate_plus_beta_distortion_nats"]].to_numpy()
    if stage == "codebook":
        codebook = train[rng.permutation(len(train))[: settings.points]]
        found = theory.codebook_bound(train, codebook, betas, test)
    elif stage == "particles":
        found = theory.particle_bound(train, betas, settings.points, settings.steps, settings.seed, test)
    else:
        found = theory.fitted_mixture_bound(train, betas, settings.components, test, settings.steps, seed=settings.seed)
    return found[["beta", "rate_nats", "distortion_sse", "test_rate_nats", "test_distortion_sse"]].to_numpy()


def _rows(stage, settings, table):
    names = {
        "codebook": f"codebook of {settings.points} images",
        "particles": f"{settings.points} particles",
        "mixture": f"mixture of {settings.components} Gaussians",
        "lower": f"lower bound, {min(settings.lower_images, settings.train_images)} images",
    }
    if stage == "lower":
        return [{"bound": names[stage], "beta": beta, "rate_plus_beta_distortion_nats": f} for beta, f in table.tolist()]
    columns = ("beta", "train_rate_nats", "train_distortion_sse", "rate_nats", "distortion_sse")
    return [{"bound": names[stage], **dict(zip(columns, row))} for row in table.tolist()]


def rows(record: dict) -> list[dict]:
    """A row a bound and beta: of upper bounds, rate and distortion of the test images and of the training images; of the lower
    one, for distortions between those of the mixture, its rate."""
    import pandas as pd

    from echo_tf.theory.data_lower_bound import lower_envelope

    upper = [row for row in record["bounds"] if "rate_nats" in row]
    lines = pd.DataFrame([row for row in record["bounds"] if "rate_nats" not in row])
    lines = lines.rename(columns={"rate_plus_beta_distortion_nats": "lower_rate_plus_beta_distortion_nats"})
    reached = [row["train_distortion_sse"] for row in upper]
    envelope = lower_envelope(lines, np.linspace(min(reached), max(reached), 40))
    lower = [
        {"bound": lines["bound"][0], "rate_nats": rate, "distortion_sse": d}
        for d, rate in envelope[["distortion_sse", "lower_rate_nats"]].to_numpy().tolist()
    ]
    return [*upper, *lower]


def line(record: dict) -> str:
    upper = [row for row in record["bounds"] if "rate_nats" in row]
    return f"{len({row['bound'] for row in upper})} upper bounds and a lower one at {len({row['beta'] for row in upper})} betas"
