"""Bidirectional Monte Carlo: how far the estimate of log Z can be from the truth, on images drawn from the model itself.

Where x is drawn from the joint density p(z) p_beta(x|z), z is an exact draw of the posterior at beta. Chains from it back to
the prior bound log Z from above in expectation, chains from the prior to beta from below. What moves the chains back may depend
on x, but not on z: both ways take the step sizes of one preliminary round up, which knows nothing of z.

References: Grosse, Ghahramani and Adams, "Sandwiching the marginal likelihood using bidirectional Monte Carlo" (2015);
"Evaluating Lossy Compression Rates of Deep Generative Models", appendix B.2.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from echo_tf.ais.annealing import Annealing
from echo_tf.ais.averages import standard_error
from echo_tf.ais.curve import finish
from echo_tf.ais.plan import Plan, plan
from echo_tf.ais.schedule import Schedule
from echo_tf.ais.step_sizes import StepSizes
from echo_tf.ais.target import Target
from echo_tf.distortions import Bernoulli, Gaussian, SquaredError


class Bounds(NamedTuple):
    """Bounds of log Z in expectation, of each simulated image, nats: (B,) each."""

    lower: np.ndarray
    upper: np.ndarray


def bidirectional_gap(
    decoder,
    betas: Sequence[float],
    prior=None,
    distortion="squared_error",
    num_images=10,
    seed=0,
    preset="short",
    schedule: Schedule | None = None,
    latent_dim=None,
    precision="float32",
    simulate: Callable | None = None,
    progress=False,
    **settings,
) -> pd.DataFrame:
    """The gap between upper and lower bound of log Z at some betas, on images simulated at each of them.

    Args:
        decoder, prior, distortion, latent_dim, precision: as of `Target`.
        betas: inverse temperatures, none above the plan's max_beta.
        num_images: simulated at each beta.
        seed: of the simulations, and of all rounds, which have seeds of their own that are made of it.
        preset, **settings: as of `rate_distortion_curve`.
        schedule: the temperatures of a curve, whose way up to beta is then taken; None: the plan's, not adapted.
        simulate: (f(z), beta, generator) -> images, for a distortion of one's own: draws from the density that is proportional
            to exp(-beta d(x, f(z))), whose constant must not depend on z.
        progress: whether to show bars.

    Returns:
        A DataFrame, a row a beta: beta, lower_nats, upper_nats, gap_nats (means over images), gap_standard_error_nats.

    Raises:
        ValueError: for a beta that is not in (0, max_beta], or a distortion that cannot be simulated; and as `Target`.
    """
    chosen = plan(preset, **settings)
    check_betas(betas, chosen.max_beta)
    schedule = schedule or chosen.unadapted()
    bare, rows = Target(decoder, None, prior, distortion, latent_dim, precision), []
    for number, beta in enumerate(betas):
        images, codes = simulated(bare, beta, num_images, [seed, number], simulate)
        rounds = rounds_of_bounds(bare.of(images), chosen, schedule.until(beta), [seed, number], codes)
        table = finish(rounds.tuning(), progress=progress).tuned()
        lower, upper = (finish(make(table), progress=progress) for make in (rounds.lower, rounds.upper))
        rows.append(row(beta, Bounds(bound_of(lower), bound_of(upper, upper=True))))
    return pd.DataFrame(rows)


def check_betas(betas: Sequence[float], max_beta: float) -> None:
    """Raises ValueError for a beta that is not in (0, max_beta], or none."""
    if not len(betas) or not all(0 < beta <= max_beta * (1 + 1e-9) for beta in betas):
        raise ValueError(f"betas must be one or more in (0, {max_beta:g}], got {list(betas)}.")


def row(beta: float, found: Bounds) -> dict:
    """Means over images, in the columns of `bidirectional_gap`."""
    gap = found.upper - found.lower
    return {
        "beta": float(beta),
        "lower_nats": found.lower.mean(),
        "upper_nats": found.upper.mean(),
        "gap_nats": gap.mean(),
        "gap_standard_error_nats": standard_error(gap[None])[0],
    }


class Rounds(NamedTuple):
    """The rounds of both bounds of log Z at one beta: each is made when it is called.

    tuning: () -> the preliminary one, from the prior up. lower, upper: its `StepSizes` -> the formal ones, up and back.
    """

    tuning: Callable[[], Annealing]
    lower: Callable[[StepSizes], Annealing]
    upper: Callable[[StepSizes], Annealing]


def rounds_of_bounds(target: Target, chosen: Plan, way: Schedule, seed: Sequence[int], codes) -> Rounds:
    """The rounds of both bounds of log Z at the last beta of a way.

    Args:
        target: of images simulated at that beta. codes: (B, k) exact draws of their posteriors.
        way: from 0 to that beta.
        seed: integers, of which each round gets a seed of its own.
    """
    coarse = way.thinned(max(1, chosen.num_temperatures // (chosen.tuning_temperatures or chosen.num_temperatures)))
    tuning, lower, upper = (np.random.SeedSequence([*seed, 1]).generate_state(3) // 2).tolist()  # below 2^31
    return Rounds(
        lambda: Annealing(target, coarse, chosen.tuning_sampler, chosen.num_chains, tuning),
        lambda table: Annealing(target, way, chosen.sampler, chosen.num_chains, lower, table),
        lambda table: Annealing(target, way.reversed(), chosen.sampler, chosen.num_chains, upper, table, codes),
    )


def bound_of(formal: Annealing, upper: bool = False) -> np.ndarray:
    """The bound of log Z of each image that a finished formal round gives, (B,)."""
    log_z = formal.result().log_z[-1]
    return -log_z if upper else log_z


def simulated(target: Target, beta: float, number: int, seed, simulate: Callable | None = None):
    """Images and codes of the joint density p(z) p_beta(x|z), with p_beta(x|z) proportional to exp(-beta d(x, f(z))).

    Args:
        target: made without images.
        beta, simulate: as of `bidirectional_gap`. number: of images. seed: of numpy.

    Returns:
        (images (number, ...), codes (number, k)). Images are not clipped to the range of the decoder's output.

    Raises:
        ValueError: for a distortion whose constant depends on z, or whose density is not known; for a prior whose draws are not
            of its density.
    """
    if not target.is_bound:
        raise ValueError('the prior\'s draws are not of its density (a mixture "product"): neither round bounds log Z.')
    rng = np.random.default_rng(seed)
    codes = target.sample_prior(number, rng.integers(2**31, size=2))
    f = np.asarray(target.decoded(codes), np.float64)
    images = (simulate or _simulation(target.measure, beta))(f, beta, rng)
    return np.asarray(images, target.precision), np.asarray(codes)


def _simulation(measure, beta):
    if isinstance(measure, SquaredError):
        return lambda f, beta, rng: f + rng.normal(0, (2 * beta) ** -0.5, f.shape)
    if isinstance(measure, Gaussian):
        variance = float(np.exp(np.asarray(measure.log_variance)))
        return lambda f, beta, rng: f + rng.normal(0, (variance / beta) ** 0.5, f.shape)
    if isinstance(measure, Bernoulli) and beta == 1:
        return lambda f, beta, rng: 1.0 * (rng.random(f.shape) < np.asarray(measure.reconstruct(f)))
    if isinstance(measure, Bernoulli):
        raise ValueError(f"images of the distortion bernoulli can be simulated at beta 1 alone, got {beta:g}.")
    raise ValueError(f"how images are drawn of the distortion {type(measure).__name__} is not known: give simulate.")
