"""Schedules: the learning rate's as functions of the epoch, and the warm-up of beta as a callback.

Two of the learning rate keep the base rate over the first half of training and differ in the second (Echo paper, appendix E:
200 epochs, 3e-4, "decaying linearly to 0 over the last 100").
"""

import keras

from echo_tf import arguments


def paper(epoch, epochs, base):
    """Linear from `base` to 0 over the second half of `epochs`."""
    return base * min(1.0, (epochs - epoch) / (epochs / 2))


def released(epoch, epochs, base):
    """What the released Echo code does: after the first half it drops to near 0 and *rises* again to `base`."""
    if epoch <= epochs / 2:
        return base
    return base * (1.0 - (epochs - epoch) / (epochs / 2))


def constant(epoch, epochs, base):
    """`base` throughout."""
    return base


SCHEDULES = {"paper": paper, "released": released, "constant": constant}


class BetaWarmup(keras.callbacks.Callback):
    """Raises a model's beta linearly from 0 over the first epochs, batch by batch; a pure function of where training is.

    Reference: Bowman et al., "Generating Sentences from a Continuous Space", CoNLL 2016, section 3.1; Sonderby et al., "Ladder
    Variational Autoencoders", NeurIPS 2016, section 2.3.

    Args:
        epochs: how long it takes, in epochs (a fraction will do); 0: beta is full at once.
        beta: where it ends. None: the model's at the start of training, so give it where a training is continued.

    Raises:
        ValueError: for arguments below 0.
    """

    def __init__(self, epochs, beta=None):
        super().__init__()
        self.epochs = arguments.number("epochs", epochs)
        self.beta = None if beta is None else arguments.number("beta", beta)
        self._epoch = -1

    def on_train_begin(self, logs=None):
        if self.beta is None:
            self.beta = float(self.model.beta)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        steps = self.params.get("steps")
        if steps and self._epoch <= self.epochs:  # where the length of an epoch is not known, it rises by epochs
            self._set(self._epoch + batch / steps)

    def on_train_end(self, logs=None):
        if self._epoch + 1 >= self.epochs:
            self._set(self._epoch + 1)

    def _set(self, time):
        self.model.beta = self.beta * (min(1.0, time / self.epochs) if self.epochs else 1.0)
