"""Training batches whose order is a pure function of (seed, epoch), so that a resumed run sees what it would have seen."""

import keras
import numpy as np


def epoch_order(num_examples, seed, epoch):
    """The permutation of the training examples in one epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(num_examples)


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of float32 images in [0, 1], reshuffled every epoch; the remainder of an epoch is left out.

    Args:
        images: uint8 (n, H, W, C).
        maximum: the pixel value that stands for 1.0.
        batch_size: examples a batch.
        seed: of the order.
        epoch: the first epoch that will be asked for.
    """

    def __init__(self, images, maximum, batch_size, seed, epoch=0):
        super().__init__()
        self.images, self.maximum, self.batch_size, self.seed, self.epoch = images, maximum, batch_size, seed, epoch
        self._order = epoch_order(len(images), seed, epoch)

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return (self.images[rows].astype(np.float32) / np.float32(self.maximum),)

    def on_epoch_end(self):
        self.epoch += 1
        self._order = epoch_order(len(self.images), self.seed, self.epoch)
