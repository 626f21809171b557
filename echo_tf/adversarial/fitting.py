"""What `fit` of adversarial networks takes, looked at before the first step, and what their discriminators may end in."""

import keras
import numpy as np

from echo_tf import inputs
from echo_tf.distortions import NOT_LOGITS
from echo_tf.heads import activation_of


class Adversarial(keras.Model):
    """A Keras model that is trained on examples alone, by adversaries: nothing is there to validate or to evaluate."""

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """Trains on x (numbers that are finite), arguments as `keras.Model.fit` but for validation; y, if given, is ignored."""
        for name in ("sample_weight", "class_weight"):
            inputs.refuse_weights(kwargs.get(name), name)
        if kwargs.get("validation_data") is not None or kwargs.get("validation_split"):
            raise ValueError("adversaries have no loss to validate: leave validation_data and validation_split out.")
        first, x = inputs.first_batch(x, batch_size)
        if inputs.is_array(x):
            inputs.check(np.asarray(x), None)
            x = np.asarray(x, keras.config.floatx())
        else:
            inputs.check(first, None)
        return super().fit(x, y, batch_size, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        raise ValueError(f"{type(self).__name__} has no loss to evaluate: see `generate`, and echo_tf.ais for its decoder.")


def check_logits(discriminator):
    """Raises ValueError for a discriminator whose output is known to be no logit."""
    head = activation_of(discriminator.outputs[0])
    if head in NOT_LOGITS:
        raise ValueError(f"the discriminator must give logits, and ends in the activation {head!r}: take that away.")


def check_optimizers(optimizers):
    """Raises ValueError where one optimizer, which keeps the state of one part's variables, is given for two parts."""
    own = [id(one) for one in optimizers if not isinstance(one, str)]  # of a name, each part gets one of its own
    if len(set(own)) < len(own):
        raise ValueError("each part needs an optimizer of its own, got one object for two of them: make another.")
