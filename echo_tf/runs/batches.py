"""Training batches that are a pure function of (seed, step), so that a resumed run sees what it would have seen."""

from collections.abc import Callable

import keras
import numpy as np


def epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of the training examples in one epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(num_examples)


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of examples, reshuffled every epoch; the remainder of an epoch is left out.

    Args:
        take: rows (B,) -> the batch, as `fit` takes it.
        number: of examples.
        batch_size: examples a batch.
        seed: of the order.
        steps: batches until `fit` calls it an epoch and the run saves a checkpoint; None: those of an epoch of the examples.
        first: the step, counted from 0 over the whole run, that will be asked for first.
    """

    def __init__(self, take: Callable, number: int, batch_size: int, seed: int, steps: int | None = None, first: int = 0):
        super().__init__()
        self.take, self.number, self.batch_size, self.seed = take, number, batch_size, seed
        self.an_epoch = number // batch_size
        self.steps, self.first = steps or self.an_epoch, first
        self._orders = {}

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        epoch, place = divmod(self.first + index, self.an_epoch)
        if epoch not in self._orders:
            self._orders = {epoch: epoch_order(self.number, self.seed, epoch)}
        return self.take(self._orders[epoch][place * self.batch_size : (place + 1) * self.batch_size])

    def on_epoch_end(self):
        self.first += self.steps
