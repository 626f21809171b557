"""What the Echo paper's Table 3 and Figures 6 and 7 need of a trained Echo model, computed once and stored.

The channel is z_j = f_j(x) + s_j(x) noise_j. All is drawn from the encodings f, log s of the test images alone: their
noise is made of each other, so no draw passes through the network (but log p(x|z), which needs the decoder).
"""

import numpy as np
import tqdm

from echo_tf.echo_sample import EchoSample
from echo_tf.errors import InputError
from echo_tf.gaussianity import binned_density, covariance_of, dimensions_shown, gaussianity_of, total_correlation
from echo_tf.noise import draw_donors, echo_noise
from echo_tf.precision import in_float32

MOST_IMAGES = 10_000  # of more test images a random choice
NOISE_BATCHES = 2_000  # batches of noise for the total correlation: 200,000 draws at batch size 100
GROUPS = 20  # groups of batches for its standard error
SAMPLES_PER_IMAGE = 2_000  # codes an image in the marginals (appendix D.2)
LIKELIHOOD_SAMPLES = 10  # codes an image in log p(x|z)
SMALL_SAMPLE = 200  # codes of the second, weaker Anderson-Darling test
BINS, HALF_WIDTH = 4096, 10.0  # of a histogram, in standard deviations either side of the mean; codes beyond go to its ends
GRID, GRID_HALF_WIDTH = 241, 4.5  # points of a stored density, and their range in standard deviations
CHUNK = 500


def analyse(
    model,
    x,
    samples_per_image=SAMPLES_PER_IMAGE,
    noise_batches=NOISE_BATCHES,
    batch_size=100,
    seed=0,
    check=lambda: None,
    progress=False,
):
    """Total correlation, marginals and pointwise rates of a trained Echo model.

    Source: Echo paper, appendix C (Table 3), appendix D.2 (Figure 6) and D.3 (Figure 7).

    Args:
        model: a built `RateDistortionAutoencoder` with an `EchoSample` channel whose num_terms is given.
        x: test images (n, ...); of more than 10,000 a random 10,000.
        samples_per_image: codes drawn for each image in the marginals.
        noise_batches: batches of noise drawn for the total correlation, at least 20.
        batch_size: images in a batch; an image's noise is made of the others.
        seed: of all draws but those of log p(x|z).
        check: called again and again; may raise to interrupt.
        progress: whether to show a progress bar.

    Returns:
        A dict of numpy arrays; results/COLUMNS.md defines them. Informations and total correlations in nats.

    Raises:
        InputError: if the channel is not Echo's, or has no fixed number of terms.
    """
    channel = model.channel
    if not isinstance(channel, EchoSample) or channel.num_terms is None or channel.multiplicative:
        raise InputError("the analysis is of additive Echo noise with a given num_terms: leave `analysis` out for this model.")
    model, rng = in_float32(model), np.random.default_rng(seed)
    if len(x) > MOST_IMAGES:
        x = x[np.sort(rng.permutation(len(x))[:MOST_IMAGES])]
    loc, log_scale = _encodings(model, x, batch_size)
    with tqdm.tqdm(total=noise_batches + samples_per_image, desc="analysis", disable=not progress, leave=False) as bar:

        def step():
            bar.update()
            check()

        found = _total_correlations(loc, log_scale, channel, noise_batches, batch_size, rng, step)
        found |= _marginals(loc, log_scale, channel.rate_floor / loc.shape[1], channel.num_terms, samples_per_image, rng, step)
    found |= _gaussian_tests(loc, log_scale, channel.num_terms, rng, check)
    return found | _pointwise(model, x, loc, log_scale, batch_size, check)


def key_numbers(found):
    """What a run's record says of its analysis: the numbers of Table 3, and how many marginals pass for Gaussian."""
    names = ("noise", "code", "code_minus_noise")
    correlation = {
        f"{name}{error}_nats": float(found[f"total_correlation_{name}{error}_nats"])
        for name in names
        for error in ("", "_standard_error")
    }
    statistic = found["anderson_darling_statistic"]
    return {
        "total_correlation": {**correlation, "draws": int(found["total_correlation_draws"])},
        "anderson_darling": {
            "dimensions": len(statistic),
            "codes": int(found["anderson_darling_codes"]),
            "rejected": int((statistic > found["anderson_darling_critical"]).sum()),
            "codes_small": int(found["anderson_darling_codes_small"]),
            "rejected_small": int((found["anderson_darling_statistic_small"] > found["anderson_darling_critical_small"]).sum()),
        },
    }


def _encodings(model, x, batch_size):
    """f and the final log s (clipped) of each image, flattened to (n, d)."""
    loc, log_sigmoid = (head.reshape(len(x), -1) for head in model.encode(x, batch_size))
    # the rate of a code of one dimension is -log of its scale
    rate = model.channel.rate([loc.reshape(-1, 1), log_sigmoid.reshape(-1, 1)])
    return loc.astype(np.float32), -np.asarray(rate, np.float32).reshape(loc.shape)


def _seed(rng):
    return int(rng.integers(2**31))


def _total_correlations(loc, log_scale, channel, noise_batches, batch_size, rng, step):
    """Of the noise, of the code, and their difference, from the same draws; standard errors by the jackknife over groups."""
    n, d = loc.shape
    moments = {name: np.zeros((GROUPS, d + 1, d + 1)) for name in ("noise", "code")}
    middle = loc.mean(axis=0, dtype=np.float64)  # any point near the data: keeps the second moments small
    for i in range(noise_batches):
        rows = rng.permutation(n)[:batch_size]
        f, log_s = loc[rows], log_scale[rows]
        noise = np.asarray(echo_noise(f, log_s, channel.num_terms, channel.scheme, seed=_seed(rng)))
        for name, draws in (("noise", noise), ("code", f + np.exp(log_s) * noise)):
            with_one = np.concatenate([np.ones((len(rows), 1)), draws - middle], axis=1)
            moments[name][i % GROUPS] += with_one.T @ with_one
        step()

    def of(kept):
        noise, code = (total_correlation(covariance_of(moments[name][kept].sum(axis=0))) for name in ("noise", "code"))
        return np.array([noise, code, code - noise])

    values = of(np.ones(GROUPS, bool))
    without_one = np.array([of(np.arange(GROUPS) != g) for g in range(GROUPS)])
    errors = np.sqrt((GROUPS - 1) * without_one.var(axis=0))
    found = {"total_correlation_draws": np.array(int(moments["noise"][:, 0, 0].sum()))}
    for name, value, error in zip(("noise", "code", "code_minus_noise"), values, errors):
        found[f"total_correlation_{name}_nats"] = value
        found[f"total_correlation_{name}_standard_error_nats"] = error
    return found


def _marginals(loc, log_scale, floor, num_terms, samples_per_image, rng, step):
    """The densities q(z_j) of Figure 6: histograms of all draws, fine beside the bandwidth, then a kernel of Scott's width.

    One ring of the whole test set a draw gives every image noise made of `num_terms` others at the cost of a few passes.
    Each image's noise has the law that it has in a random batch; codes of one ring depend on each other, which a
    density, an average over draws, does not see.
    """
    rates = -log_scale.mean(axis=0, dtype=np.float64)
    shown = dimensions_shown(rates, floor)
    f, log_s = loc[:, shown], log_scale[:, shown]
    s = np.exp(log_s)

    def draw():
        return f + s * np.asarray(echo_noise(f, log_s, num_terms, "ring", seed=_seed(rng)))

    pilot = draw().astype(np.float64)
    low = pilot.mean(axis=0) - HALF_WIDTH * pilot.std(axis=0)
    width = np.maximum(2 * HALF_WIDTH * pilot.std(axis=0) / BINS, 1e-12)
    counts, first, second = np.zeros(BINS * len(shown)), 0.0, 0.0
    for _ in range(samples_per_image):
        z = draw().astype(np.float64) - low
        first, second = first + z.sum(axis=0), second + np.square(z).sum(axis=0)
        bins = np.clip(z / width, 0, BINS - 1).astype(np.int64) + BINS * np.arange(len(shown))
        counts += np.bincount(bins.ravel(), minlength=len(counts))
        step()
    n = samples_per_image * len(loc)
    mean = first / n
    std = np.sqrt((second / n - mean**2) * n / (n - 1))
    bandwidth = std * n**-0.2  # Scott (1992) in one dimension, as scipy.stats.gaussian_kde has it
    grid = mean + std * np.linspace(-GRID_HALF_WIDTH, GRID_HALF_WIDTH, GRID)[:, None]
    density = [
        binned_density(c, 0.0, w, h, g) if h > 0 else np.full(GRID, np.nan)
        for c, w, h, g in zip(counts.reshape(len(shown), BINS), width, bandwidth, grid.T)
    ]
    return {
        "dimension_rate_nats": rates.astype(np.float32),
        "shown_dimension": shown.astype(np.int32),
        "shown_mean": (low + mean).astype(np.float32),
        "shown_std": std.astype(np.float32),
        "shown_bandwidth": bandwidth.astype(np.float32),
        "density_at": (low + grid).T.astype(np.float32),
        "density": np.array(density, np.float32),
        "density_codes": np.array(n),
    }


def _gaussian_tests(loc, log_scale, num_terms, rng, check):
    """Tests on one code an image, in random order; its donors are drawn afresh out of the whole test set."""
    n, d = loc.shape
    order = rng.permutation(n)
    z = np.empty((n, d), np.float32)
    for start in range(0, n, CHUNK):
        rows = order[start : start + CHUNK]
        donors = draw_donors(len(rows), num_terms, n, "replacement", _seed(rng))
        z[start : start + CHUNK] = loc[rows] + np.exp(log_scale[rows]) * np.asarray(echo_noise(loc, log_scale, indices=donors))
        check()
    return gaussianity_of(z, min(SMALL_SAMPLE, n))


def _pointwise(model, x, loc, log_scale, batch_size, check):
    """Of each image, by rising log-likelihood: log p(x|z), -sum_j log s_j(x), the sum of its pixels and ||f(x)||."""
    distortion = 0.0
    for _ in range(LIKELIHOOD_SAMPLES):
        measured = model.measure(x, ["distortion"], batch_size, lambda _: check())["distortion"]
        distortion = distortion + measured.astype(np.float64) / LIKELIHOOD_SAMPLES
    order = np.argsort(-distortion, kind="stable")
    return {
        "image": order.astype(np.int32),
        "log_likelihood_nats": -distortion[order].astype(np.float32),
        "pointwise_rate_nats": -log_scale.sum(axis=1, dtype=np.float64)[order].astype(np.float32),
        "total_intensity": x.reshape(len(x), -1).sum(axis=1, dtype=np.float64)[order].astype(np.float32),
        "loc_norm": np.linalg.norm(loc, axis=1)[order].astype(np.float32),
    }
