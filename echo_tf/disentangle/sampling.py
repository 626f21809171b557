"""What all scores draw: factors at random, some of them fixed, and the codes of the images that have them.

A factor dataset is anything with `factor_sizes`, the number of values of each factor, and `images(factors)`: integers (n, F) to
images (n, ...). A representation is a function from images (n, ...) to codes (n, d).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from echo_tf import arguments

AT_ONCE = 4096  # images encoded together


class Settings(NamedTuple):
    """What a score was made with.

    seed: of all draws.
    factors: the factors that it is of, by their place; those of a single value are left out, as nothing can be told of them.
    others: its further settings.
    """

    seed: int
    factors: tuple
    others: dict


class Sampler:
    """Draws factors and encodes their images.

    Args:
        represent: images (n, ...) -> codes (n, d). It may have a method `of_groups`, images (G, B, ...) -> codes (G, B, d),
            for groups of images that are encoded apart from each other.
        dataset: a factor dataset.
        seed: of the factors.

    Raises:
        ValueError: for a dataset without `factor_sizes` and `images`, or without a factor of more than one value; and later
            for images or codes of another number than their factors, codes that are no matrix, NaN.
    """

    def __init__(self, represent, dataset, seed=0):
        for name in ("factor_sizes", "images"):
            if not hasattr(dataset, name):
                raise ValueError(f"a factor dataset has factor_sizes and images(factors), got {type(dataset).__name__}.")
        if not callable(represent):
            raise ValueError(f"represent must be a function from images to codes, got {type(represent).__name__}.")
        self.represent, self.dataset = represent, dataset
        self.sizes = np.asarray(dataset.factor_sizes, np.int64).ravel()
        if not self.sizes.size or (self.sizes < 1).any() or not (self.sizes > 1).any():
            raise ValueError(f"there must be a factor of two values or more, got factor_sizes {tuple(dataset.factor_sizes)}.")
        self.varying = np.flatnonzero(self.sizes > 1)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.image_shape = None

    def settings(self, **others) -> Settings:
        return Settings(self.seed, tuple(self.varying.tolist()), others)

    def factors(self, shape: Sequence[int]) -> np.ndarray:
        """Uniform factors, integers (*shape, F)."""
        return self.rng.integers(0, self.sizes, (*shape, len(self.sizes)))

    def factors_with_one_fixed(self, groups: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Groups (G, B, F) of factors, in each of which one, drawn from those that vary, has one value: it and the groups."""
        fixed = self.rng.choice(self.varying, groups)
        factors = self.factors((groups, size))
        rows = np.arange(groups)
        factors[rows, :, fixed] = factors[rows, :1, fixed]
        return fixed, factors

    def codes(self, number: int, group: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Random factors (n, F) and the codes (n, d) of their images, encoded in groups of so many."""
        groups = -(-number // arguments.integer("batch_size", group))
        factors = self.factors((groups, group))
        codes = np.concatenate(list(self.codes_of_groups(factors)))
        return factors.reshape(-1, factors.shape[-1])[:number], codes.reshape(-1, codes.shape[-1])[:number]

    def codes_of_groups(self, factors: np.ndarray):
        """Yields the codes (g, B, d) of groups (G, B, F) of factors, some groups at a time; each group is encoded by itself."""
        groups, size = factors.shape[:2]
        step = max(1, AT_ONCE // size)
        for start in range(0, groups, step):
            part = factors[start : start + step]
            images = self._images(part.reshape(-1, part.shape[-1]))
            images = images.reshape(*part.shape[:2], *images.shape[1:])
            if hasattr(self.represent, "of_groups"):
                codes = self.represent.of_groups(images)
            else:
                codes = np.stack([np.asarray(self.represent(group)) for group in images])
            yield self._checked(np.asarray(codes, np.float64), part.shape[:2])

    def _images(self, factors):
        images = np.asarray(self.dataset.images(factors))
        if len(images) != len(factors):
            raise ValueError(f"images(factors) gave {len(images)} images for {len(factors)} rows of factors.")
        if self.image_shape not in (None, images.shape[1:]):
            raise ValueError(f"images(factors) gave images of {images.shape[1:]}, and before of {self.image_shape}.")
        self.image_shape = images.shape[1:]
        return images

    def _checked(self, codes, shape):
        if codes.ndim != 3 or codes.shape[:2] != shape or not codes.shape[2]:
            raise ValueError(f"represent must give a code (n, d) for n images, got {codes.shape[1:]} for {shape[1]} images.")
        if not np.isfinite(codes).all():
            raise ValueError("the codes must be finite, got NaN or infinity among them.")
        return codes
