"""The toy sources of the isometric VAE paper: three independent variables of variance 1/6, 2/3, 8/3, laid into 16 dimensions.

Reference: "Quantitative Understanding of VAE as a Non-linearly Scaled Isometric Embedding", section 4.1, figures 2 and 9. The
paper prints the densities as curves; their axes and its Table 1 leave no other reading than the closed forms here.
"""

import math
from typing import NamedTuple

import numpy as np

from echo_tf.errors import nearest

DIMENSIONS = 16
VARIANCES = (1 / 6, 2 / 3, 8 / 3)
SHAPES = {  # of s1, s2, s3
    "mix": ("triangle", "uniform", "ramp"),
    "ramp": ("ramp", "ramp", "ramp"),
    "norm": ("normal", "normal", "normal"),
}


class Density(NamedTuple):
    """A density of mean 0 on the line.

    shape: "triangle", "uniform", "ramp" (it falls from its left end to 0 at its right) or "normal".
    variance: its variance.
    """

    shape: str
    variance: float

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of its support."""
        if self.shape == "ramp":  # width w, variance w^2 / 18
            width = math.sqrt(18 * self.variance)
            return -width / 3, 2 * width / 3
        half = {"triangle": math.sqrt(6 * self.variance), "uniform": math.sqrt(3 * self.variance), "normal": math.inf}
        return -half[self.shape], half[self.shape]

    def log_prob(self, s) -> np.ndarray:
        """log p(s) in nats, of the shape of s; -inf outside of the support."""
        s = np.asarray(s, np.float64)
        low, high = self.limits
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.shape == "normal":
                return -0.5 * (s**2 / self.variance + math.log(2 * math.pi * self.variance))
            if self.shape == "uniform":
                found = np.full(s.shape, -math.log(high - low))
            elif self.shape == "triangle":
                found = np.log((high - np.abs(s)) / high**2)
            else:
                found = np.log(2 * (high - s) / (high - low) ** 2)
        return np.where((s >= low) & (s <= high), found, -np.inf)

    def quantile(self, u) -> np.ndarray:
        """The s below which a share u of the probability lies, for u in (0, 1): the sampler by the inverse of the CDF."""
        u = np.asarray(u, np.float64)
        low, high = self.limits
        if self.shape == "normal":
            from scipy.special import ndtri

            return math.sqrt(self.variance) * ndtri(u)
        if self.shape == "uniform":
            return low + (high - low) * u
        if self.shape == "triangle":
            return high * np.where(u < 0.5, np.sqrt(2 * np.minimum(u, 0.5)) - 1, 1 - np.sqrt(2 * (1 - np.maximum(u, 0.5))))
        return low + (high - low) * (1 - np.sqrt(1 - u))


class Source(NamedTuple):
    """A source of points x = s V in R^16.

    densities: of s1, s2, s3.
    basis: V, (3, 16), its rows orthonormal: distances are those of s.
    """

    densities: tuple
    basis: np.ndarray

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """n points s, (n, 3) float64; `embed` makes x of them."""
        uniform = np.random.default_rng([seed, 2]).uniform(size=(n, len(self.densities)))
        uniform = np.clip(uniform, np.finfo(np.float64).tiny, None)
        return np.stack([density.quantile(u) for density, u in zip(self.densities, uniform.T)], axis=1)

    def embed(self, s) -> np.ndarray:
        """s (n, 3) -> x (n, 16)."""
        return np.asarray(s) @ self.basis

    def log_prob(self, x) -> np.ndarray:
        """log p(x) in nats, (n,), of points in the plane of V, as a density over that plane."""
        s = np.asarray(x, np.float64) @ self.basis.T
        return sum(density.log_prob(column) for density, column in zip(self.densities, s.T))


def source_of(name: str, seed: int = 0) -> Source:
    """The source "mix", "ramp" or "norm", its basis drawn from a seed.

    Raises:
        ValueError: for another name.
    """
    if name not in SHAPES:
        raise ValueError(f"a source is one of {', '.join(SHAPES)}, got {name!r}{nearest(str(name), SHAPES)}.")
    basis, _ = np.linalg.qr(np.random.default_rng([seed, 1]).normal(size=(DIMENSIONS, len(VARIANCES))))
    return Source(tuple(Density(shape, variance) for shape, variance in zip(SHAPES[name], VARIANCES)), basis.T)
