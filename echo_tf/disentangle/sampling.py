"""What all scores draw: examples at random, some that share a factor, and their codes.

A factor dataset is anything with `factor_sizes`, the number of values of each factor, and `images(factors)`: integers (n, F) to
images (n, ...). Where it has not all combinations it says in `factors["train"]`, (n, F), which it has, as `echo_tf.data` does,
and examples are drawn from these. A representation is a function from images (n, ...) to codes (n, d).

In place of both, codes (n, d) and the factors (n, F) of their examples may be given: examples are then drawn from these.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from echo_tf import arguments
from echo_tf.disentangle.population import Grid, Table, table_of

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
    """Draws examples and encodes their images.

    Args:
        represent: images (n, ...) -> codes (n, d). It may have a method `of_groups`, images (G, B, ...) -> codes (G, B, d),
            for groups of images that are encoded apart from each other. Or codes (n, d).
        dataset: a factor dataset; or the factors of the codes, integers (n, F).
        seed: of the draws.

    Raises:
        ValueError: for a dataset without `factor_sizes` and `images`, or without a factor of more than one value, codes and
            factors of different numbers; and later for images or codes of another number than their factors, codes that are no
            matrix, NaN.
    """

    def __init__(self, represent, dataset, seed=0):
        self.represent, self.dataset, self.known = represent, dataset, None
        if not callable(represent) and not hasattr(dataset, "factor_sizes") and np.ndim(represent):
            self.known, self.population = _codes(represent), table_of(dataset)
            if len(self.known) != self.population.number:
                raise ValueError(f"{len(self.known)} codes need as many rows of factors, got {self.population.number}.")
            sizes = self.population.sizes
        else:
            sizes = _sizes(represent, dataset)
            existing = _existing(dataset, sizes)
            self.population = Grid(sizes) if existing is None else Table(existing)
        self.sizes = self.population.sizes
        if not (self.sizes > 1).any():
            raise ValueError(f"there must be a factor of two values or more, got factor_sizes {tuple(sizes.tolist())}.")
        self.varying = np.flatnonzero(self.sizes > 1)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.image_shape = None

    def settings(self, **others) -> Settings:
        return Settings(self.seed, tuple(self.varying.tolist()), others)

    def with_one_fixed(self, groups: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Groups (G, B) of examples that share the value of one factor, drawn from those that vary: it and the groups."""
        fixed = self.rng.choice(self.varying, groups)
        examples = self.population.draw(self.rng, (groups, size))
        return fixed, self.population.sharing(self.rng, fixed, examples[:, :1], examples)

    def pairs(self, groups: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """A factor of each group, and examples (G, 2 B), of which the first B share its values with the others, one by one."""
        shared = self.rng.choice(self.varying, groups)
        examples = self.population.draw(self.rng, (groups, 2 * size))
        others = examples[:, size:]
        return shared, np.concatenate([self.population.sharing(self.rng, shared, others, examples[:, :size]), others], axis=1)

    def codes(self, number: int | None, group: int = 64, most: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
        """The factors (n, F) and the codes (n, d) of random examples, encoded in groups of so many; see `sets`."""
        [found] = self.sets([number], [most], group)
        return found

    def sets(self, numbers: Sequence[int | None], most: Sequence[int], group: int = 64) -> list[tuple[np.ndarray, np.ndarray]]:
        """The factors and codes of several sets of random examples.

        Args:
            numbers: how many of each; None: `most`, of examples that are few all, in these proportions.
            most: see there.
            group: examples that are encoded together.

        Of a table no example is in two sets, or in one twice.
        """
        arguments.integer("batch_size", group)
        if isinstance(self.population, Grid):
            return [self._encoded(self._groups(n or m, group), n or m) for n, m in zip(numbers, most)]
        parts = self.population.parts(self.rng, numbers, most)
        return [self._encoded(_in_groups(rows, group), len(rows)) for rows in parts]

    def _groups(self, number, group):
        return self.population.draw(self.rng, (-(-number // group), group))

    def _encoded(self, examples, number):
        codes = np.concatenate(list(self.codes_of_groups(examples)))
        factors = self.population.factors(examples)
        return factors.reshape(-1, factors.shape[-1])[:number], codes.reshape(-1, codes.shape[-1])[:number]

    def codes_of_groups(self, examples: np.ndarray):
        """Yields the codes (g, B, d) of groups (G, B) of examples, some groups at a time; each group is encoded by itself."""
        groups, size = examples.shape[:2]
        step = max(1, AT_ONCE // size)
        for start in range(0, groups, step):
            part = examples[start : start + step]
            if self.known is not None:
                yield self.known[part]
                continue
            factors = self.population.factors(part)
            images = self._images(factors.reshape(-1, factors.shape[-1]))
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


def _codes(codes):
    found = arguments.numeric("codes", codes)
    if found.ndim != 2 or not found.size:
        raise ValueError(f"codes must be (n, d), a row an example, got the shape {found.shape}.")
    return arguments.array("codes", found, -np.inf, "finite numbers", finite=True)


def _sizes(represent, dataset):
    for name in ("factor_sizes", "images"):
        if not hasattr(dataset, name):
            raise ValueError(
                f"a factor dataset has factor_sizes and images(factors), got {type(dataset).__name__}; codes (n, d) go with "
                "their factors (n, F)."
            )
    if not callable(represent):
        raise ValueError(f"represent must be a function from images to codes, got {type(represent).__name__}.")
    sizes = np.asarray(dataset.factor_sizes, np.int64).ravel()
    if not sizes.size or (sizes < 1).any():
        raise ValueError(f"there must be a factor of two values or more, got factor_sizes {tuple(dataset.factor_sizes)}.")
    return sizes


def _existing(dataset, sizes):
    """The factors (n, F) of the examples of a dataset that has not all combinations, else None."""
    given = getattr(dataset, "factors", None)
    found = given.get("train") if isinstance(given, Mapping) else None
    if found is None:
        return None
    found, all_of_them = np.asarray(found, np.int64), np.prod(sizes, dtype=float)
    if len(found) >= all_of_them == len(np.unique(np.ravel_multi_index(tuple(found.T), tuple(sizes)))):
        return None
    return found


def _in_groups(rows, group):
    """Rows (n,) in groups of so many; the last is filled up from the beginning."""
    return np.resize(rows, (-(-len(rows) // group), group))
