"""The work of the kinds `ais` and `bidirectional`: rounds of annealing with checkpoints, on the decoder of a trained model."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np

from echo_tf.ais.annealing import Annealing
from echo_tf.ais.averages import weighed
from echo_tf.ais.bidirectional import Bounds, bound_of, rounds_of_bounds, row, simulated
from echo_tf.ais.curve import finish, formal_round, out_of_range, preliminary_round, summary
from echo_tf.ais.decoders import blurred, in_features, of_means
from echo_tf.ais.plan import Plan
from echo_tf.ais.priors import ScaleMixture, prior_of
from echo_tf.ais.references import grid, linear
from echo_tf.ais.sampler import Sampler
from echo_tf.ais.step_sizes import StepSizes
from echo_tf.ais.target import Target
from echo_tf.errors import InputError
from echo_tf.kinds._training import data_of, packed_images, tested
from echo_tf.precision import in_precision, without_tensor_float_32

SECONDS_BETWEEN_SAVES = 30
ENCODED = 1_000  # test images
DRAWS = 10  # codes of each
RECONSTRUCTED = 10  # images of a round
UNITS = {"nats": "nats", "squared error": "sse"}


def perform(settings, place):
    """One round of `ais.Settings`. Returns what the record says of it."""
    plan = plan_of(settings)
    model = place.model(settings.model)
    images, split = images_of(settings, place)
    target = target_of(settings, model, images, place)
    seed = settings.seed_of_round
    try:
        if settings.round == "preliminary":
            annealing = preliminary_round(target, plan, seed)
        else:
            annealing = formal_round(target, plan, seed, table_of(settings, place))
            # before the first step, so that what has no exact curve is refused here
            exact = exact_curve(settings, target, annealing.schedule.recorded, place)
    except ValueError as error:
        raise InputError(f"{settings.run_path}: {error}") from error
    annealing, _ = run_rounds(place, [Job(lambda found: annealing)], lambda rounds, present: present.done)
    found = annealing.result()
    unit = unit_of(settings, target)
    curve = summary(found).rename(
        columns={
            "distortion": f"distortion_{unit}",
            "distortion_standard_error": f"distortion_standard_error_{unit}",
            "ess": "effective_chains",
            "acceptance": "acceptance_share",
        }
    )
    steps = int(annealing.schedule.ends[-1])
    payload = {
        "data": {"images_used": [settings.first_image, settings.first_image + len(images)], "split": split},
        "images": len(images),
        "chains": plan.num_chains,
        "gradients": steps * plan.sampler.gradients,
        "acceptance_out_of_range": int(out_of_range(found, plan.sampler.acceptance, annealing.scale).any(axis=1).sum()),
        "not_finite": int(found.failed.sum()),
        "target": target.digest,
        "tensor_float_32": False,  # see `Target`
        "neg_log_z_is_bound": target.is_bound,
    }
    if settings.round == "preliminary":
        place.attach("step_sizes", annealing.tuned(plan.tuned_for).arrays())
    else:
        of_images = {name: getattr(found, name) for name in ("betas", "log_z", "distortion", "ess", "acceptance")}
        payload["encoder"] = encoder_point(settings, model, unit, place)
        payload |= reconstructions(settings, annealing, images, image_decoder(settings, model), place)
        if exact is not None:
            columns = [f"exact_{name}" for name in ("rate_nats", f"distortion_{unit}", "neg_log_z_nats")]
            curve[columns] = exact.curve(found.betas)
            of_images |= {"exact_log_z": exact.log_z, "exact_distortion": exact.distortion}
            if exact.error is not None:
                payload["reference"] = {"codes_within": exact.reach, "error_nats": _short(exact.error.max())}
        place.attach("images", of_images)
    return {**payload, "curve": {name: [_short(value) for value in values] for name, values in curve.items()}}


def exact_curve(settings, target, betas, place):
    """The `Exact` that the settings ask for, or None. Raises ValueError where there is none."""
    if settings.reference == "grid":
        return grid(target, betas, place.check, place.progress)
    return linear(target, betas) if settings.reference == "linear_vae" else None


def plan_of(settings):
    """The `Plan` of `ais.Settings`. Raises InputError for one that cannot be."""
    sampler = Sampler(*(getattr(settings, name) for name in Sampler._fields))
    given = {name: getattr(settings, name) for name in Plan._fields if name != "sampler"}
    plan = Plan(**given, sampler=sampler)
    try:
        plan.check()
    except ValueError as error:
        raise InputError(f"{settings.run_path}: {error}") from error
    return plan


def table_of(settings, place):
    """The `StepSizes` of a formal round's preliminary one. Raises InputError for what no round can have found."""
    needed = place.needed(settings.tuning)
    try:
        table = StepSizes.of_arrays(needed.arrays("step_sizes"))
        table.check_numbers()
    except (TypeError, ValueError) as error:
        raise InputError(f"{needed.path}: {error}") from error
    return table


def _short(value):
    return float(f"{value:.9g}")


def unit_of(settings, target):
    """The unit of the distortion that is annealed, as it stands in the names of columns."""
    return "feature_sse" if settings.features else UNITS.get(target.measure.unit, "units")


def images_of(settings, place):
    """The test images of a round, (num_images, ...), and the split that they are of; see `tested`.

    Raises InputError if there are not so many.
    """
    images, split = tested(settings.model, place)
    last = settings.first_image + settings.num_images
    if last > len(images):
        raise InputError(
            f"settings 'first_image' and 'num_images' ask for the test images up to {last}, but there are {len(images)}."
        )
    return images[settings.first_image : last], split


def image_decoder(settings, model):
    """z -> images: what the model's decoder gives stands for them; blurred where that is asked for."""
    decoder = of_means(model.decoder, model.measure_of_distortion)
    return decoder if settings.blur is None else blurred(decoder, settings.blur)


def features_of(classifier):
    """x -> the features of a model that kind `classifier` has trained."""
    return keras.Model(classifier.inputs[0], classifier.get_layer("features").output, name="features")


@without_tensor_float_32()
def target_of(settings, model, images, place):
    """What is annealed: the model's decoder, prior and distortion. Raises InputError for what does not fit."""
    own, size = settings.distortion == "own", settings.model.latent_dim
    distortion = model.measure_of_distortion if own else "squared_error"
    try:
        decoder = image_decoder(settings, model)
        if own and settings.blur is None:
            decoder = model.decoder
        elif own and of_means(model.decoder, distortion) is not model.decoder:
            raise ValueError(
                "of a model whose decoder gives no images (logits), a blur goes with distortion=squared_error alone."
            )
        prior = prior_of(model, seed=settings.model.seed)
        if settings.wide_weight is not None:
            if prior is not None:
                raise ValueError("setting 'wide_weight' is of models whose prior is N(0, I).")
            prior = ScaleMixture(size, settings.wide_weight, settings.wide_scale, settings.mixture)
        if settings.features is not None:
            _check_scale(settings, place)
            features = in_precision(features_of(place.model(settings.features)), settings.precision)
            target = Target(in_features(decoder, features), None, prior, distortion, size, settings.precision)
            return target if images is None else target.of(np.asarray(features(images)))
        return Target(decoder, images, prior, distortion, size, settings.precision)
    except ValueError as error:
        raise InputError(f"{settings.run_path}: {error}") from error


def _check_scale(settings, place):
    """Raises ValueError where images of the decoder have another range than those that the features were trained on."""
    theirs, mine = (data_of(trained, place)[0].limits for trained in (settings.features, settings.model))
    if tuple(theirs) != tuple(mine):
        said = "the features are of images within {:g}..{:g}, but the decoder's lie within {:g}..{:g}"
        raise ValueError(f"{said.format(*theirs, *mine)}: take a classifier of images in that range.")


def reconstructions(settings, annealing, images, decoder, place):
    """{"reconstructions": some images, what chains make of them at the end (one of each image's, drawn by its weights), and at
    beta 0 (draws of the prior)}, as figures 11 and 12 of the AIS paper show them; {} for data that are no images."""
    data, _ = data_of(settings.model, place)
    target, count = annealing.target, len(images)
    chosen = np.arange(min(count, RECONSTRUCTED))
    _, weights, _ = weighed(annealing.log_weights.numpy().reshape(annealing.num_chains, count))
    rng = np.random.default_rng([settings.seed_of_round, 2])
    chains = [np.searchsorted(np.cumsum(weights[:, j]), rng.random() * weights[:, j].sum()) for j in chosen]
    chains = np.minimum(chains, annealing.num_chains - 1)
    codes = {
        "low_rate": target.sample_prior(count * annealing.num_chains, annealing.seed_at_start).numpy()[chosen],
        "high_rate": annealing.point.z.numpy().reshape(annealing.num_chains, count, -1)[chains, chosen],
    }
    shown = {name: packed_images(data, decoder(z.astype(np.float32), training=False)) for name, z in codes.items()}
    if shown["low_rate"] is None:
        return {}
    beta = float(annealing.schedule.recorded[-1])
    return {"reconstructions": {"images": packed_images(data, images[chosen]), **shown, "high_rate_beta": beta}}


def encoder_point(settings, model, unit, place):
    """Rate and distortion (in its unit) of the model's own encoder on the same images; None where distortion, decoder or prior
    that are annealed are not the model's own.

    Echo's noise is made of other images, so that more of them are encoded than are asked for.
    """
    if settings.distortion != "own" or settings.is_changed or not hasattr(model, "rate"):
        return None
    mine = slice(settings.first_image, settings.first_image + settings.num_images)
    images = tested(settings.model, place)[0][: max(mine.stop, ENCODED)]
    batch = settings.model.batch_size
    rate = np.asarray(model.rate(images, batch), np.float64)[mine]
    distortion = np.mean([model.distortion(images, batch)[mine] for _ in range(DRAWS)], axis=0)
    return {"rate_nats": float(rate.mean()), f"distortion_{unit}": float(distortion.mean()), "samples_per_image": DRAWS}


class Job(NamedTuple):
    """A round of annealing among several.

    make: from what the rounds before have given, name -> array, the round.
    harvest: from the finished round, name -> array; None: nothing.
    """

    make: Callable[[dict], Annealing]
    harvest: Callable[[Annealing], dict] | None = None


def run_rounds(place, jobs: Sequence[Job], count: Callable[[int, Annealing], int]):
    """Does rounds of annealing one after another, with checkpoints, and continues what was stopped.

    Args:
        place: of the run.
        jobs: the rounds.
        count: from (rounds done, the present round), how much of the run is done.

    Returns:
        (the last round, what all have given).
    """
    state, found, annealing, first = place.restore(), {}, None, 0
    if state is not None:
        first = state.notes["round"]
        found = {name.removeprefix("found_"): a for name, a in state.arrays.items() if name.startswith("found_")}
    for number, job in enumerate(jobs[first:], first):
        annealing = job.make(found)
        if state is not None:
            _continue(place, annealing, state)
            state = None
        keeper = _Keeper(place, annealing, number, count, {f"found_{name}": array for name, array in found.items()})
        finish(annealing, place.check, place.progress, keeper.look)
        found |= job.harvest(annealing) if job.harvest else {}
    return annealing, found


class _Keeper:
    """Saves a round every half minute and at its end."""

    def __init__(self, place, annealing, number, count, found):
        self.place, self.annealing, self.number, self.count, self.found = place, annealing, number, count, found
        self.saved = time.monotonic()

    def look(self):
        if time.monotonic() - self.saved > SECONDS_BETWEEN_SAVES or self.annealing.finished:
            notes = {"round": self.number, "done": self.annealing.done}
            arrays = {**self.annealing.arrays(), **self.found}
            self.place.save(self.count(self.number, self.annealing), arrays, notes)
            self.saved = time.monotonic()
        self.place.check()


def _continue(place, annealing, state):
    try:
        annealing.restore(state.notes["done"], state.arrays)
    except (ValueError, KeyError) as error:
        raise InputError(f"{place.folder}: {error}") from error


def perform_bounds(settings, place):
    """The bounds of `bidirectional.Settings`. Returns what the record says of them."""
    curve = settings.model
    plan = plan_of(curve)
    model = place.model(curve.model)
    schedule = plan.formal(table_of(curve, place))
    bare, jobs = target_of(curve, model, None, place), []
    for number, beta in enumerate(settings.betas):
        jobs += _jobs(settings, bare, plan, schedule.until(beta), number)
    _, found = run_rounds(place, jobs, lambda rounds, present: rounds)
    bounds = [Bounds(found[f"lower_{number}"], found[f"upper_{number}"]) for number in range(len(settings.betas))]
    place.attach("bounds", {"lower": np.array([one.lower for one in bounds]), "upper": np.array([one.upper for one in bounds])})
    return {
        "images": settings.num_images,
        "chains": plan.num_chains,
        "tensor_float_32": False,  # see `Target`
        "bounds": [row(*one) for one in zip(settings.betas, bounds)],
    }


def _jobs(settings, bare, plan, way, number):
    """The three rounds of both bounds at one beta."""

    def rounds():
        try:
            images, codes = simulated(bare, settings.betas[number], settings.num_images, [settings.seed, number])
        except ValueError as error:
            raise InputError(f"{settings.run_path}: {error}") from error
        return rounds_of_bounds(bare.of(images), plan, way, [settings.seed, number], codes)

    def tuned(annealing):
        return {f"table_{number}_{key}": value for key, value in annealing.tuned().arrays().items()}

    def table(found):
        return StepSizes.of_arrays({key: found[f"table_{number}_{key}"] for key in StepSizes._fields})

    return [
        Job(lambda found: rounds().tuning(), tuned),
        Job(lambda found: rounds().lower(table(found)), lambda annealing: {f"lower_{number}": bound_of(annealing)}),
        Job(lambda found: rounds().upper(table(found)), lambda annealing: {f"upper_{number}": bound_of(annealing, upper=True)}),
    ]
