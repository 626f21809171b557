"""A factor dataset whose images are encoded once: every score then looks codes up."""

from collections.abc import Callable

import numpy as np


class Encoded:
    """A factor dataset that gives, for an image, its place in the grid of factors, and the encodings that stand there.

    Scores ask for an image again and again: FactorVAE's alone for 960,000, of 737,280 that dSprites has. Each is
    encoded when it is first asked for. It takes the dataset's place, and `encode` that of the encoder:
    `representation(model, "mean", encode=encoded.encode)` on `encoded`.

    Args:
        dataset: a factor dataset, whose images depend on their factors alone.
        encode: images (n, ...) -> [loc, log_scale], as `RateDistortionAutoencoder.encode`.
        batch_size: images encoded at once.
        check: called after each batch.
    """

    def __init__(self, dataset, encode: Callable, batch_size: int = 512, check: Callable = lambda: None):
        self.dataset, self._encode, self.batch_size, self.check = dataset, encode, batch_size, check
        self.factor_sizes = tuple(dataset.factor_sizes)
        self.factors = getattr(dataset, "factors", None)
        self._known = np.zeros(int(np.prod(self.factor_sizes)), bool)
        self._heads = None

    def images(self, factors: np.ndarray) -> np.ndarray:
        """The places (n,) of factors (n, F) in the grid."""
        return np.ravel_multi_index(tuple(np.asarray(factors).T), self.factor_sizes)

    def encode(self, places: np.ndarray) -> list[np.ndarray]:
        """[loc, log_scale], both (n, d), of the images at these places (n,)."""
        new = np.unique(places[~self._known[places]])
        for start in range(0, len(new), self.batch_size):
            part = new[start : start + self.batch_size]
            factors = np.stack(np.unravel_index(part, self.factor_sizes), axis=1)
            heads = [np.asarray(head) for head in self._encode(self.dataset.images(factors))]
            if self._heads is None:
                self._heads = [np.zeros((len(self._known), *head.shape[1:]), head.dtype) for head in heads]
            for kept, head in zip(self._heads, heads):
                kept[part] = head
            self._known[part] = True
            self.check()
        return [kept[places] for kept in self._heads]

    def grid(self) -> list[np.ndarray]:
        """[loc, log_scale] of every image, an axis a factor and the last the code's."""
        return [head.reshape(*self.factor_sizes, -1) for head in self.encode(np.arange(len(self._known)))]
