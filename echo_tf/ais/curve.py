"""Rate-distortion curves of any decoder by annealed importance sampling, in two rounds; one call each.

Reference: "Evaluating Lossy Compression Rates of Deep Generative Models", sections 4 and 5, appendices B and C.
"""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from echo_tf.ais.annealing import Annealed, Annealing
from echo_tf.ais.averages import standard_error
from echo_tf.ais.plan import Plan, plan
from echo_tf.ais.step_sizes import HIGHEST, StepSizes
from echo_tf.ais.target import Target
from echo_tf.carried import Carried

PRIOR_DRAWS = 100  # of each image, for where the preliminary round begins
RANGE = 0.15  # acceptance this far from its goal is reported
REFUSED = 0.25  # so is that of an image that refuses less than this share of what it is meant to


def rate_distortion_curve(
    decoder,
    images,
    prior=None,
    distortion="squared_error",
    preset="short",
    seed=0,
    num_temperatures=None,
    num_betas=None,
    max_beta=None,
    num_chains=None,
    leapfrog_steps=None,
    latent_dim=None,
    precision="float32",
    progress=False,
    **settings,
) -> pd.DataFrame:
    """The variational rate-distortion curve R_p(D) of a decoder under a prior, over the mean of some images.

    At each beta, -log Z = R + beta D is an upper bound in expectation, and the pair (R, D) one that some encoder reaches; how
    tight it is, `bidirectional_gap` tells. Two rounds are run: a preliminary one tunes step sizes, a formal one with another
    seed and these step sizes gives the numbers.

    Args:
        decoder, images, prior, distortion, latent_dim, precision: as of `Target`. The decoder's output is f(z) itself.
        preset: "paper", "short", "quick" or "smoke" (`PRESETS`), or a `Plan`; the settings that follow replace its own.
        seed: of the preliminary round; the formal one takes seed + 1.
        num_temperatures: N, of the formal round. num_betas: R, points of the curve. max_beta: the highest inverse temperature.
        num_chains: M, of each image. leapfrog_steps: of each transition.
        progress: whether to show a bar with beta, acceptance, effective sample size and the time left.
        **settings: others of `Plan` and `Sampler`.

    Returns:
        A DataFrame, a row a beta: beta, rate_nats, rate_standard_error_nats, distortion, distortion_standard_error,
        neg_log_z_nats, neg_log_z_standard_error_nats (over images), ess (mean over images; of M), acceptance. Its `attrs` hold
        "annealed", an `Annealed` with all of it image by image, and "step_sizes"; a file of the table leaves them out.

    Raises:
        ValueError: for images of another shape than the decoder's output or outside its range, and for settings that cannot be.
    """
    chosen = plan(
        preset,
        num_temperatures=num_temperatures,
        num_betas=num_betas,
        max_beta=max_beta,
        num_chains=num_chains,
        leapfrog_steps=leapfrog_steps,
        **settings,
    )
    target = Target(decoder, images, prior, distortion, latent_dim, precision)
    table = finish(preliminary_round(target, chosen, seed), progress=progress).tuned(chosen.tuned_for)
    round_ = finish(formal_round(target, chosen, seed + 1, table), progress=progress)
    found = round_.result()
    warn_of_acceptance(found, chosen, round_.scale)
    frame = summary(found)
    frame.attrs = {"annealed": Carried(found), "step_sizes": Carried(table)}
    return frame


def preliminary_round(target: Target, chosen: Plan, seed: int) -> Annealing:
    """The round that tunes step sizes: its `tuned(plan.tuned_for)` is their table."""
    way = chosen.preliminary(_spread_at_the_prior(target))
    return Annealing(target, way, chosen.tuning_sampler, chosen.num_chains, seed)


def _spread_at_the_prior(target):
    """The standard deviation of the distortion over draws of the prior, root mean square over images."""
    z = target.sample_prior(PRIOR_DRAWS * target.num_images, (20_170, 1))
    found = np.asarray(target.distortion(z, target.tiled(PRIOR_DRAWS)), np.float64).reshape(PRIOR_DRAWS, -1)
    if not np.isfinite(found).any(axis=0).all():
        raise ValueError("the decoder must give finite images, got none at 100 draws of the prior.")
    variances = np.nanvar(np.where(np.isfinite(found), found, np.nan), axis=0)
    return max(float(np.nanmean(variances) ** 0.5), 1e-12)


def formal_round(target: Target, chosen: Plan, seed: int, table: StepSizes) -> Annealing:
    """The round that counts. Raises ValueError for a table of another target or plan, or of the same seed."""
    table.check(target.digest, chosen.tuned_for, seed)
    return Annealing(target, chosen.formal(table), chosen.sampler, chosen.num_chains, seed, table)


def finish(round_: Annealing, between: Callable[[], None] = lambda: None, progress=False, after=lambda: None) -> Annealing:
    """Does what is left of a round. between: called every few steps; after: called at every recorded beta."""
    from tqdm import tqdm

    total = int(round_.schedule.ends[-1])
    first = int(round_.schedule.ends[round_.done - 1]) if round_.done else 0
    with tqdm(total=total, initial=first, unit="step", disable=not progress, leave=False) as bar:
        while not round_.finished:
            round_.advance(between)
            rows = round_.rows
            bar.set_postfix_str(
                f"beta {round_.schedule.recorded[round_.done - 1]:.3g}, acceptance {rows['acceptance'][-1].mean():.2f}, "
                f"ESS {rows['ess'][-1].mean():.1f}",
                refresh=False,
            )
            bar.update(int(round_.schedule.ends[round_.done - 1]) - bar.n)
            after()
    return round_


def summary(found: Annealed) -> pd.DataFrame:
    """Means over images with their standard errors; the columns are those of `rate_distortion_curve`."""
    values = {"rate_nats": found.rate, "distortion": found.distortion, "neg_log_z_nats": -found.log_z}
    columns = {"beta": found.betas}
    for name, of_images in values.items():
        stem, nats, _ = name.partition("_nats")
        columns[name] = of_images.mean(axis=1)
        columns[f"{stem}_standard_error{nats}"] = standard_error(of_images)
    return pd.DataFrame({**columns, "ess": found.ess.mean(axis=1), "acceptance": found.acceptance.mean(axis=1)})


def acceptance_range(goal: float) -> tuple[float, float]:
    """Between which shares acceptance is well tuned: (0.5, 0.8) of the paper's goal 0.65, (0.75, 0.975) of 0.9."""
    return goal - RANGE, min(goal + RANGE, 1 - REFUSED * (1 - goal))


def out_of_range(found: Annealed, goal: float, scale: float) -> np.ndarray:
    """At which betas the acceptance of which images is too far from its goal, (R, B) of booleans.

    Where the step sizes of an image are at their upper limit in units of the prior's scale, at small beta, they are as long as
    the prior is wide, and acceptance above the range costs nothing.
    """
    low, high = acceptance_range(goal)
    records, images = found.acceptance.shape
    steps = found.step_sizes.reshape(records, -1, images).mean(axis=1)
    return (found.acceptance < low) | ((found.acceptance > high) & (steps < 0.9 * HIGHEST * scale))


def warn_of_acceptance(found: Annealed, chosen: Plan, scale: float) -> None:
    """Warns of betas at which too few or too many proposals of an image were taken, and of proposals that were not finite.

    scale: of the prior, as of `out_of_range`.
    """
    bad = out_of_range(found, chosen.sampler.acceptance, scale)
    betas = found.betas[bad.any(axis=1)]
    if len(betas):
        low, high = acceptance_range(chosen.sampler.acceptance)
        warnings.warn(
            f"acceptance was outside {low:.2f}..{high:.3g} at {len(betas)} of {len(bad)} betas ({betas.min():.3g} to "
            f"{betas.max():.3g}), of {bad.any(axis=0).sum()} of {bad.shape[1]} images: log Z is a looser bound there; "
            "more temperatures in the preliminary round help.",
            stacklevel=3,
        )
    if found.failed.sum():
        warnings.warn(f"{found.failed.sum()} proposals had an energy that is not finite and were rejected.", stacklevel=3)
