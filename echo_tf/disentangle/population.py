"""What examples are drawn from: all combinations of a dataset's factors, or a table of the examples that there are."""

from collections.abc import Sequence

import numpy as np

from echo_tf import arguments


class Grid:
    """All combinations of factors, uniformly. An example is its factors (F,).

    sizes: the number of values of each factor.
    """

    def __init__(self, sizes: np.ndarray):
        self.sizes = sizes

    def draw(self, rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        """Examples at random, integers (*shape, F)."""
        return rng.integers(0, self.sizes, (*shape, len(self.sizes)))

    def sharing(self, rng, fixed, others, examples) -> np.ndarray:
        """The examples (G, B, F) with the value that `others` (G, B or 1, F) have of the factor `fixed` (G,)."""
        rows, found = np.arange(len(fixed)), examples.copy()
        found[rows, :, fixed] = others[rows, :, fixed]
        return found

    def factors(self, examples) -> np.ndarray:
        return examples


class Table:
    """The examples that there are, uniformly. An example is its row.

    factors: integers (n, F) from 0.
    """

    def __init__(self, factors: np.ndarray):
        self.table, self.number = factors, len(factors)
        self.sizes = factors.max(axis=0) + 1
        self._order = np.argsort(factors, axis=0, kind="stable")
        self._counts = [np.bincount(column, minlength=size) for column, size in zip(factors.T, self.sizes)]

    def draw(self, rng, shape):
        """Rows at random, integers (*shape,), with replacement."""
        return rng.integers(0, self.number, tuple(shape))

    def sharing(self, rng, fixed, others, examples):
        """Rows (G, B) at random of those that have the value of the factor `fixed` (G,) that `others` (G, B or 1) have.

        Raises:
            ValueError: for a value that one example alone has: groups that share it would be of copies.
        """
        found, place = np.empty_like(examples), rng.random(examples.shape)
        for factor in np.unique(fixed):
            counts = self._counts[factor]
            if (counts == 1).any():
                value = int(np.flatnonzero(counts == 1)[0])
                raise ValueError(
                    f"groups of examples that share the value of a factor need two examples or more of each, got one of the "
                    f"{value + 1}. value of factor {factor}: leave it out."
                )
            groups = fixed == factor
            values = self.table[others[groups], factor]
            start = np.cumsum(counts) - counts
            found[groups] = self._order[start[values] + (place[groups] * counts[values]).astype(np.int64), factor]
        return found

    def parts(self, rng, numbers: Sequence[int | None], most: Sequence[int]) -> list[np.ndarray]:
        """Rows of several sets that have none in common: so many of each; where None, `most`, or its share of all if these are
        fewer."""
        share = min(1.0, self.number / sum(most))
        numbers = [int(share * m) if given is None else given for given, m in zip(numbers, most)]
        if sum(numbers) > self.number:
            asked = " and ".join(f"{number:,}" for number in numbers)
            raise ValueError(f"{asked} examples are asked for, of {self.number:,} that there are: ask for fewer.")
        return np.split(rng.permutation(self.number)[: sum(numbers)], np.cumsum(numbers)[:-1])

    def factors(self, examples):
        return self.table[examples]


def table_of(factors) -> Table:
    """A `Table` of factors (n, F), whatever integers stand for their values.

    Raises:
        ValueError: for what is no matrix of integers.
    """
    found = arguments.numeric("factors", factors, "integers (n, F), the number of each factor's value")
    if found.ndim != 2 or not found.size:
        raise ValueError(f"factors must be integers (n, F), a row an example, got the shape {found.shape}.")
    if not (found == np.round(found)).all():
        raise ValueError(
            f"factors must be integers, got {found[found != np.round(found)][0]:g} among them: number their values."
        )
    return Table(np.stack([np.unique(column, return_inverse=True)[1].ravel() for column in found.T], axis=1))
