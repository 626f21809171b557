"""TensorBoard log of a run: scalars and a grid of reconstructions, every epoch."""

import keras
import numpy as np
from keras import ops

COLUMNS = 10


class TensorBoardLog(keras.callbacks.Callback):
    """Writes rate, distortion, -ELBO, loss, learning rate, and test images over their reconstructions.

    Looking does not change the run: the random generators are put back as they were. Without
    TensorFlow (another Keras backend on a machine of its own) nothing is written.

    Args:
        folder: where the log goes.
        images: a batch of test images (n, H, W, C), n >= 10; of other examples no picture is logged.
    """

    def __init__(self, folder, images):
        super().__init__()
        self.images = images
        try:
            import tensorflow as tf
        except ImportError:
            self._summary = self._writer = None
            return
        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch, logs=None):
        if self._writer is None:
            return
        with self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                self._summary.scalar(name, value)
            if self.images.ndim == 4 and self.images.shape[3] in (1, 3):
                self._summary.image("reconstructions", self._grid()[None])
        self._writer.flush()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()

    def _grid(self):
        variables = [v for v in self.model.variables if not v.trainable]  # the generators' states among them
        before = [ops.convert_to_numpy(v.value) for v in variables]
        reconstructions = self.model.predict_on_batch(self.images)["reconstruction"]
        for variable, value in zip(variables, before):
            variable.assign(value)
        rows = [np.concatenate(list(x[:COLUMNS]), axis=1) for x in (self.images, reconstructions)]
        return np.concatenate(rows, axis=0)
