"""A trained VAE as a scaled isometric embedding: what each latent dimension is worth, and what the model says of p(x).

Reference: "Quantitative Understanding of VAE as a Non-linearly Scaled Isometric Embedding", equations 10-23; that the norm is
1 - sigma^2 rather than 1, for every dimension, follows from the same stationarity and is ours.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from keras import ops

from echo_tf import arguments, inputs
from echo_tf.alive import alive
from echo_tf.isometry.encoding import Encoded, encoded, encoded_by_echo, normal_log_density
from echo_tf.isometry.losses import WeightedSquaredError, weight
from echo_tf.isometry.metric import bilinear, excess, second_derivative, tangent
from echo_tf.precision import in_float32, without_tensor_float_32

STEP = 1e-2  # of the finite difference
MOST_ROWS, MOST_ELEMENTS = 16_384, 8_000_000  # codes and elements of their outputs that the decoder is given at once
DRAWS = 10  # codes of each image, for the means over the noise
ORTHOGONALITY_IMAGES = 200


class Analysis(NamedTuple):
    """What `examine` finds.

    table: a row a latent dimension, by falling importance E[sigma^-2]; see `analyse`.
    losses: name -> mean over images: rate_nats, distortion, coding_loss, transform_loss (each in units of the distortion),
        objective_nats (distortion / beta + rate), theoretical_coding_loss (alive dimensions x beta / 2), and mean_abs_cosine
        of the columns of the scaled Jacobian G^{1/2} dx/dz at some images, None where the metric has no closed form.
    estimates: log of what is proportional to p(x), name -> (n,), in nats: "prior" p(mu), "bound" exp(-L / beta),
        "posterior" a^{n/2} p(mu) prod sigma and "objective" a^{n/2} exp(-L / beta); the last two with
        "posterior_unweighted" and "bound" as they are without a.
    log_density: log p(x) of the images, if it was given.
    idle_nats: the rate of a dimension that carries nothing: 0, or Echo's -log clip.
    """

    table: pd.DataFrame
    losses: dict
    estimates: dict
    log_density: np.ndarray | None = None
    idle_nats: float = 0.0

    def correlations(self) -> dict[str, float]:
        """Pearson's R of p(x) and each estimate, on a linear scale.

        Raises:
            ValueError: if the density of the images is not known.
        """
        p = self._density()
        return {name: float(np.corrcoef(p, _linear(log))[0, 1]) for name, log in self.estimates.items()}

    def slopes(self, beta: float, dimensions_of_data: int = 1) -> dict[str, float]:
        """The slope through the origin of p(x) over the calibrated estimates "posterior" and "objective": 1 at the optimum.

        dimensions_of_data: the m that a distortion which is a mean over elements has divided by; 1 for a sum.
        """
        p, n = self._density(), int(self.table["alive"].sum())
        constants = {"posterior": 0.5 * n * math.log(2 / beta), "objective": -0.5 * n * math.log(math.pi * beta)}
        found = {}
        for name, constant in constants.items():
            q = np.exp(self.estimates[name] + constant - 0.5 * n * math.log(dimensions_of_data))
            found[name] = float((p * q).sum() / (q * q).sum())
        return found

    def _density(self):
        if self.log_density is None:
            raise ValueError("a correlation with p(x) needs the density of the source: give log_prob, x -> log p(x).")
        return np.exp(self.log_density)


def analyse(model, images, beta=None, seed=0) -> pd.DataFrame:
    """What each latent dimension of a VAE is worth.

    Args:
        model: a trained `RateDistortionAutoencoder` with a Gaussian channel and a standard normal marginal.
        images: (n, ...), 2 or more.
        beta: that it was trained with, in units of its distortion (the paper's 1 / lambda); None: the model's.
        seed: of the codes that the losses are means over.

    Returns:
        A row a dimension, by falling importance, means over images:
            latent: its index in the code.
            kl_nats: KL from the prior.
            inverse_variance: E[sigma^-2], the importance; times beta / 2 the variance of the dimension's isometric coordinate.
            derivative: D'(mu) = D(Dec(mu), Dec(mu + e)) / e^2 along the dimension, e = 0.01, in units of the distortion.
            derivative_jvp: the same exactly, x_z' G x_z by forward-mode differentiation.
            norm: (2 / beta) sigma^2 D', 1 for a dimension that is used (equation 20).
            norm_plus_variance: norm + sigma^2, 1 for every dimension at the optimum, dead ones included.
            norm_sd, derivative_sd: standard deviations over images. alive: whether kl_nats is above 0.05 (`echo_tf.alive`).
        Its `attrs["losses"]` are those of `Analysis`.

    Raises:
        ValueError: for another channel or marginal, a beta that is not positive, fewer than 2 images, images outside the
            range of the distortion.
    """
    return _with_losses(examine(model, images, beta, seed))


def analyse_echo(model, images, beta=None, seed=0) -> pd.DataFrame:
    """As `analyse`, for an Echo channel: ours, no paper has it.

    Echo noise has the law of the code, so sigma_j(x) = s_j(x) times the standard deviation of z_j over the images. A scale
    that is larger for all images makes the code itself wider, by 1 / (1 - s_j^2): at the optimum of independent dimensions of
    constant scale the norm is 1 - s_j^2, where a VAE's is 1 - sigma_j^2. Where dimensions are correlated, as they are in
    practice, and scales differ among images, single norms stray far from that. In the columns, kl_nats is -log s_j,
    inverse_variance E[s_j^-2], norm_plus_variance norm + s_j^2, and "alive" a rate 0.05 nats above the channel's floor. Codes
    are drawn by the model's own layer, whatever the seed.
    """
    return _with_losses(examine_echo(model, images, beta, seed))


def _with_losses(analysis):
    analysis.table.attrs["losses"] = analysis.losses
    return analysis.table


def examine(model, images, beta=None, seed=0, log_prob=None, check=None) -> Analysis:
    """All that `analyse` finds, and what the model says of the density of the images.

    Args:
        model, images, beta, seed: as of `analyse`.
        log_prob: (n, ...) -> log p(x) (n,), if it is known.
        check: called after each batch, to stop in between.
    """
    return _examine(encoded, model, images, beta, seed, log_prob, check)


def examine_echo(model, images, beta=None, seed=0, log_prob=None, check=None) -> Analysis:
    """As `examine`, for an Echo channel; see `analyse_echo`."""
    return _examine(encoded_by_echo, model, images, beta, seed, log_prob, check)


@without_tensor_float_32()
def _examine(encode, model, images, beta, seed, log_prob, check):
    if not hasattr(model, "measure_of_distortion") or not hasattr(model, "beta"):
        raise ValueError(f"the analysis needs a RateDistortionAutoencoder, got {type(model).__name__}.")
    beta = arguments.number("beta (1 / lambda)", float(model.beta) if beta is None else beta, "(0, inf)")
    images = inputs.as_array(images, model.measure_of_distortion.limits)
    if len(images) < 2:
        raise ValueError(f"statistics over images need 2 or more, got {len(images)}.")
    model = in_float32(model)  # a step of 0.01 is lost in half precision
    rows = _rows_at_once(images)
    codes = encode(model, images, min(len(images), rows))
    check = check or (lambda: None)
    derivatives = _derivatives(model, codes, rows, check)
    losses = _losses(model, images, codes, beta, rows, seed, check)
    table = _table(codes, derivatives, beta)
    cosine = _mean_abs_cosine(model, codes, table.loc[table["alive"], "latent"].to_numpy())
    per_image = losses.pop("per_image")
    losses |= {"theoretical_coding_loss": int(table["alive"].sum()) * beta / 2, "mean_abs_cosine": cosine}
    estimates = _estimates(model, images, codes, table, per_image)
    log_density = None if log_prob is None else np.asarray(log_prob(images), np.float64)
    return Analysis(table, losses, estimates, log_density, codes.idle_nats)


def _table(codes: Encoded, derivatives, beta):
    """The rows of `analyse`."""
    share = codes.share.astype(np.float64) ** 2
    difference, exact = derivatives
    norm = 2 / beta * codes.scale.astype(np.float64) ** 2 * difference
    rate = codes.rate_nats.mean(axis=0)
    columns = {
        "latent": np.arange(share.shape[1]),
        "kl_nats": rate,
        "inverse_variance": (1 / share).mean(axis=0),
        "derivative": difference.mean(axis=0),
        "derivative_jvp": exact.mean(axis=0),
        "norm": norm.mean(axis=0),
        "norm_plus_variance": (norm + share).mean(axis=0),
        "norm_sd": norm.std(axis=0),
        "derivative_sd": difference.std(axis=0),
        "alive": alive(rate, codes.idle_nats),
    }
    return pd.DataFrame(columns).sort_values("inverse_variance", ascending=False, kind="stable", ignore_index=True)


def _rows_at_once(images):
    return min(MOST_ROWS, max(64, MOST_ELEMENTS // math.prod(images.shape[1:])))


def _batches(number, size):
    return [slice(start, min(start + size, number)) for start in range(0, number, size)]


def _derivatives(model, codes, rows_at_once, check):
    """D' of every image and dimension, by finite difference and exactly, both (n, d)."""
    number, latents = codes.mean.shape
    found = np.empty((2, number, latents))
    directions = np.eye(latents, dtype=np.float32)
    for rows in _batches(number, max(1, rows_at_once // latents)):
        z = codes.mean[rows]
        many = ops.convert_to_tensor(np.repeat(z, latents, axis=0))
        along = ops.convert_to_tensor(np.tile(directions, (len(z), 1)))
        for kind, values in enumerate(_along(model, many, along)):
            found[kind, rows] = ops.convert_to_numpy(values).reshape(len(z), latents)
        check()
    return found


def _along(model, z, direction):
    """(finite difference, exact) D' of each row of z along its direction, (B,)."""
    measure, decode = model.measure_of_distortion, _decoder(model)
    base, slope = tangent(decode, z, direction)
    difference = excess(measure, base, decode(z + STEP * direction)) / STEP**2
    exact = bilinear(measure, base, slope, slope)
    return difference, second_derivative(measure, decode, z, direction) if exact is None else exact


def _decoder(model):
    return lambda z: model.decoder(z, training=False)


def _losses(model, images, codes, beta, rows_at_once, seed, check):
    """Mean losses, and "per_image": D(x, xhat) by the two decodings at mu + sigma and mu - sigma (appendix C.2)."""
    measure, decode = model.measure_of_distortion, _decoder(model)
    random, sums, pairs = np.random.default_rng(seed), np.zeros(3), []
    draws = [codes.draw(random) for _ in range(DRAWS)]
    for rows in _batches(len(images), rows_at_once):
        x, mean, scale = images[rows], codes.mean[rows], codes.scale[rows]
        x = ops.convert_to_tensor(x, dtype=measure.compute_dtype)
        base = decode(ops.convert_to_tensor(mean))
        sums[1] += float(ops.sum(measure(x, base)))
        for z in draws:
            output = decode(ops.convert_to_tensor(z[rows]))
            sums[0] += float(ops.sum(measure(x, output))) / DRAWS
            sums[2] += float(ops.sum(excess(measure, base, output))) / DRAWS
        both = [measure(x, decode(ops.convert_to_tensor(mean + sign * scale))) for sign in (1, -1)]
        pairs.append(0.5 * np.asarray(ops.convert_to_numpy(both[0] + both[1]), np.float64))
        check()
    distortion, transform, coding = (float(total) / len(images) for total in sums)
    rate = float(codes.rate_nats.sum(axis=1).mean())
    return {
        "rate_nats": rate,
        "distortion": distortion,
        "coding_loss": coding,
        "transform_loss": transform,
        "objective_nats": distortion / beta + rate,
        "per_image": np.concatenate(pairs) / beta,
    }


def _estimates(model, images, codes, table, distortion_over_beta):
    """The logs of the four estimates of p(x), and of one of them without a(x); in nats, up to a constant."""
    used = table.loc[table["alive"], "latent"].to_numpy()
    prior = normal_log_density(codes.mean[:, used]).sum(axis=1)
    bound = -(distortion_over_beta + codes.rate_nats.sum(axis=1))
    posterior = prior + np.log(codes.scale[:, used].astype(np.float64)).sum(axis=1)
    log_a = np.zeros(len(images))
    if isinstance(model.measure_of_distortion, WeightedSquaredError):
        flat = np.asarray(images, np.float64).reshape(len(images), -1)
        log_a = 0.5 * len(used) * np.log(weight(model.measure_of_distortion.loss, flat))
    return {
        "prior": prior,
        "bound": bound,
        "posterior_unweighted": posterior,
        "posterior": posterior + log_a,
        "objective": bound + log_a,
    }


def _linear(log):
    """Proportional to exp(log), scaled so that it neither overflows nor vanishes."""
    return np.exp(log - np.max(log))


def _mean_abs_cosine(model, codes, used):
    """The mean |cosine| between columns of the scaled Jacobian at some images, over pairs of alive dimensions."""
    if len(used) < 2:
        return None
    z = ops.convert_to_tensor(codes.mean[np.linspace(0, len(codes.mean) - 1, ORTHOGONALITY_IMAGES).astype(int)])
    decode, columns = _decoder(model), []
    for j in used[:32]:
        direction = np.zeros(z.shape, np.float32)
        direction[:, j] = 1
        base, column = tangent(decode, z, ops.convert_to_tensor(direction))
        columns.append(column)
    products = np.ones((len(columns), len(columns), z.shape[0]))
    for j, u in enumerate(columns):
        for k, v in enumerate(columns[: j + 1]):
            found = bilinear(model.measure_of_distortion, base, u, v)
            if found is None:
                return None
            products[j, k] = products[k, j] = ops.convert_to_numpy(found)
    lengths = np.sqrt(np.maximum(np.einsum("jji->ji", products), 1e-30))
    cosines = np.abs(products / (lengths[:, None] * lengths[None]))
    return float(cosines[np.tril_indices(len(columns), -1)].mean())
