"""Exact curves, where there are any: what the estimates are held against."""

from collections.abc import Callable

import keras
import numpy as np

from echo_tf.ais import plane
from echo_tf.ais.averages import Exact
from echo_tf.ais.decoders import GaussianBlur
from echo_tf.ais.target import Target
from echo_tf.distortions import Gaussian, SquaredError
from echo_tf.precision import without_tensor_float_32

LINEAR = keras.layers.InputLayer, keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute, GaussianBlur
NORMALIZED = 0.01  # nats that a prior's density may be from adding up to 1
DRAWS = 1_000  # of the prior, for its width
NUMBERS = 2_000_000  # of decoded images at once
IMAGES = 100  # whose distortions are held at once


def linear(target: Target, betas: np.ndarray) -> Exact:
    """The curve of a linear decoder under N(0, I) in closed form; see `echo_tf.theory.linear_vae`.

    Raises:
        ValueError: as `check_linear`.
    """
    from echo_tf.theory.linear_vae import linear_vae_per_image, linear_vae_squared_error_per_image

    check_linear(target)
    target = target.in_double()
    # what it makes of no code and of the unit codes tells all of a linear decoder
    outputs = np.asarray(target.decoded(np.eye(target.latent_dim + 1, target.latent_dim, -1)))
    bias, *columns = outputs.reshape(len(outputs), -1)
    weights = (np.array(columns) - bias).T
    images = np.asarray(target.images, np.float64).reshape(target.num_images, -1)
    if isinstance(target.measure, SquaredError):
        found = linear_vae_squared_error_per_image(weights, bias, images, betas)
    else:
        variance = float(np.exp(np.asarray(target.measure.log_variance)))
        found = linear_vae_per_image(weights, bias, images, betas, variance)
    return Exact(found.distortion, found.log_z_nats)


def check_linear(target: Target) -> None:
    """Raises ValueError unless there is a closed form: a linear decoder, N(0, I), a quadratic distortion.

    Linear is a decoder made of nothing but dense layers without activation, layers that change the shape, and blurs. Values at
    some codes would not tell: a decoder can be linear at all of them and bend elsewhere.
    """
    bends = _not_linear(target.decoder)
    if bends or target.prior is not None or type(target.measure) not in (Gaussian, SquaredError):
        prior = "N(0, I)" if target.prior is None else type(target.prior).__name__
        raise ValueError(
            "the closed form needs a linear decoder (dense layers without activation), N(0, I) and a quadratic distortion, got "
            f"{bends or 'a linear decoder'}, {prior} and {type(target.measure).__name__}."
        )


def _not_linear(part):
    """What of a decoder is not known to be linear, None if all is."""
    if type(part) in LINEAR:
        return None
    if type(part) is keras.layers.Dense:
        bent = part.activation is not keras.activations.linear
        return f"a dense layer with the activation {getattr(part.activation, '__name__', part.activation)!r}" if bent else None
    inner = part.layers if type(part) is keras.Sequential else getattr(part, "operations", ())
    if type(part).__module__.startswith("keras.") and inner:  # a subclass may do otherwise than its layers
        return next(filter(None, map(_not_linear, inner)), None)
    return f"{type(part).__name__} {getattr(part, 'name', '')!r}"


def grid(target: Target, betas: np.ndarray, between: Callable[[], None] = lambda: None, progress: bool = False) -> Exact:
    """The curve of a decoder of two-dimensional codes, by integration over the plane; see `echo_tf.ais.plane`.

    Covered are the codes of a square that is 16 times as wide as the prior's draws, -64 to 64 for N(0, I), in cells that are
    split where they count. All is computed in float64, with the normalized density of the prior. The result says how far off
    log Z is, as two rules of integration tell, and how far the square reaches.

    What no point of the first cells shows is not found: a decoder that is better only in a spot narrower than a tenth
    of the prior's width, or of the distance from 0 farther out.

    Args:
        target: of codes of two dimensions.
        betas: inverse temperatures, in any order.
        between: called every few thousand codes.
        progress: whether to show a bar.

    Raises:
        ValueError: as `check_grid`; for a prior whose density does not add up to 1 there; where codes at the square's edge
            count; where more cells are needed than `plane.MOST`.
    """
    from tqdm import tqdm

    check_grid(target)
    evaluated = _Evaluation(target.in_double(), between)
    start, order = evaluated.start(), np.argsort(betas)
    points = plane.points_of(start.centers, start.sides)
    found = np.empty((3, len(betas), target.num_images))
    for j in tqdm(range(target.num_images), desc="grid", unit="image", disable=not progress, leave=False):
        if j % IMAGES == 0:
            distortions = evaluated.distortions(points, range(j, min(j + IMAGES, target.num_images)))
        cells = start._replace(distortion=distortions[j % IMAGES])
        for i in order:
            cells, integral = plane.integrate(cells, float(betas[i]), evaluated.of_image(j))
            if integral.edge > integral.log_z - plane.NEGLIGIBLE:
                raise ValueError(_too_far(f"of image {j} at beta {betas[i]:g}", evaluated.reach))
            found[:, i, j] = integral.distortion, integral.log_z, integral.error + evaluated.missing
    return Exact(*found, evaluated.reach)


def check_grid(target: Target) -> None:
    """Raises ValueError for codes of another size than two, or a decoder that cannot compute in float64."""
    if target.latent_dim != 2:
        raise ValueError(f"a grid needs codes of two dimensions, got {target.latent_dim}.")
    target.in_double()


def _too_far(what, reach):
    return f"codes beyond the grid, which covers -{reach:g}..{reach:g}, may count for the posterior {what}: take no grid there."


class _Evaluation:
    """Log prior densities and distortions of codes (n, 25, 2)."""

    def __init__(self, target, between):
        import tensorflow as tf

        self.target, self.between = target, between
        self.decoded = tf.function(target.decoded, input_signature=[tf.TensorSpec((None, 2), target.precision)])
        self.constant = np.log(2 * np.pi) if target.prior is None else 0.0  # of the density, which `Target` leaves out
        draws = np.abs(target.sample_prior(DRAWS, (20_170, 2)))
        self.half = float(2.0 ** np.ceil(np.log2(draws.max())))
        self.reach, self.missing = self.half * 2**plane.RINGS, 0.0

    def start(self) -> plane.Cells:
        """The cells that tell the prior, without distortions."""
        centers, sides = plane.tiles(self.half)
        points = plane.points_of(centers, sides)
        cells = plane.Cells(centers, sides, self.log_prior(points), np.zeros(points.shape[:2]))
        cells, whole = plane.integrate(cells, 0.0, lambda codes: (self.log_prior(codes), np.zeros(codes.shape[:2])))
        if not abs(whole.log_z) < NORMALIZED:
            raise ValueError(
                f"the prior's density must be normalized and lie within -{self.reach:g}..{self.reach:g}, as far as the grid "
                f"reaches: there it adds up to {np.exp(whole.log_z):.4g}."
            )
        self.missing = abs(whole.log_z)
        return cells

    def of_image(self, j):
        """As `plane.integrate` takes it."""
        return lambda codes: (self.log_prior(codes), self.distortions(codes, [j])[0])

    def log_prior(self, codes):
        return self.target.log_prior(codes.reshape(-1, 2)).numpy().reshape(codes.shape[:2]) - self.constant

    @without_tensor_float_32()
    def distortions(self, codes, images):
        """(number of images, n, 25)."""
        import tensorflow as tf

        flat = codes.reshape(-1, 2)
        found = np.empty((len(images), len(flat)))
        step = max(1, NUMBERS // int(np.prod(self.target.images.shape[1:])))
        for first in range(0, len(flat), step):
            self.between()
            output = self.decoded(tf.constant(flat[first : first + step]))
            for row, j in zip(found, images):
                image = tf.repeat(self.target.images[j : j + 1], len(output), axis=0)
                row[first : first + step] = self.target.measure(image, output)
        if not np.isfinite(found).all():
            raise ValueError(f"a grid needs a distortion that is finite for codes within -{self.reach:g}..{self.reach:g}.")
        return found.reshape(len(images), *codes.shape[:2])
