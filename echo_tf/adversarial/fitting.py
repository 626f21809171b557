"""What adversarial models have in common: what `fit` takes, looked at before the first step; the optimizer of each part, its
regularizers and its scaled loss; and what discriminators may end in."""

import keras
import numpy as np

from echo_tf import inputs
from echo_tf.distortions import NOT_LOGITS
from echo_tf.guards import by_keyword, jit_unless_on_cpu, plain_errors, refuse_half_weights
from echo_tf.heads import activation_of, outputs_of, range_of


class Adversarial(keras.Model):
    """A Keras model that is trained on examples alone, by adversaries: nothing is there to validate or to evaluate.

    A model of this kind names its `parts`: attribute of an optimizer -> () -> the variables that it moves.
    """

    parts = {}

    def __init__(self, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})  # in half precision x itself stays what it is

    def compile(self, optimizer="adam", *others, jit_compile=None, loss=None, **optimizers):
        """As `keras.Model.compile`, without a loss, with an optimizer for each part of a step, and all but the first by
        keyword. jit_compile None: no XLA on a CPU. Under "mixed_float16" each optimizer scales its loss, as Keras's does.

        Raises:
            ValueError: for a loss, one optimizer for two parts, weights of half precision, or another backend than TensorFlow.
            TypeError: for what is not given by keyword, or for no part.
        """
        if keras.backend.backend() != "tensorflow":
            name = type(self).__name__
            raise ValueError(f"{name} trains with KERAS_BACKEND=tensorflow alone, got {keras.backend.backend()}.")
        by_keyword(others, loss, "the losses are those of adversaries, set where the model is made")
        unknown = sorted(set(optimizers) - set(self.parts))
        if unknown:
            raise TypeError(f"compile takes {', '.join([*self.parts, 'jit_compile'])}, got {', '.join(unknown)}.")
        refuse_half_weights(self.dtype_policy)
        given = {name: optimizers.get(name, "adam") for name in self.parts} | {"optimizer": optimizer}
        _check_optimizers(given.values())
        super().compile(optimizer=optimizer, jit_compile=jit_unless_on_cpu(jit_compile))
        for name, one in given.items():
            if name != "optimizer":  # which Keras has wrapped by now
                setattr(self, name, self._scaling(keras.optimizers.get(one)))
            getattr(self, name).build(self.parts[name](self))

    def _scaling(self, optimizer):
        """The optimizer as `keras.Model.compile` takes it: in float16 with a scaled loss, or small gradients were 0."""
        plain = not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        wanted = self.dtype_policy.name == "mixed_float16" and plain
        return keras.optimizers.LossScaleOptimizer(optimizer) if wanted else optimizer

    def get_compile_config(self):
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.parts}

    def compile_from_config(self, config):
        self.compile(**{name: keras.saving.deserialize_keras_object(one) for name, one in config.items()})

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """Trains on x (finite numbers within the range of the decoder's output), arguments as `keras.Model.fit` but for
        validation; y, if given, is ignored."""
        for name in ("sample_weight", "class_weight"):
            inputs.refuse_weights(kwargs.get(name), name)
        if kwargs.get("validation_data") is not None or kwargs.get("validation_split"):
            raise ValueError("adversaries have no loss to validate: leave validation_data and validation_split out.")
        inputs.refuse_endless(x, kwargs.get("steps_per_epoch"), "steps_per_epoch")
        first, x = inputs.first_batch(x, batch_size)
        output = next(iter(outputs_of(self.decoder)), None)
        head = None if output is None else range_of(output)
        if inputs.is_array(x):
            inputs.check(np.asarray(x), None, head)
            x = np.asarray(x, keras.config.floatx())
        else:
            inputs.check(first, None, head)
        with plain_errors():
            return super().fit(x, y, batch_size, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        raise ValueError(f"{type(self).__name__} has no loss to evaluate: see `generate`, and echo_tf.ais for its decoder.")


def added_losses(*networks):
    """What networks add to the loss of the step that they are trained in: regularizers of their weights, and what their
    layers have added in the last call of each."""
    return sum((loss for network in networks for loss in network.losses), 0.0)


def added_in_call(network):
    """The second of the two alone: of a network that is called twice in a step."""
    return sum((loss for layer in network._flatten_layers() for loss in layer._get_own_losses()), 0.0)


def check_logits(discriminator):
    """Raises ValueError for a discriminator whose output is known to be no logit."""
    head = activation_of(discriminator.outputs[0])
    if head in NOT_LOGITS:
        raise ValueError(f"the discriminator must give logits, and ends in the activation {head!r}: take that away.")


def _check_optimizers(optimizers):
    """Raises ValueError where one optimizer, which keeps the state of one part's variables, is given for two parts."""
    own = [id(one) for one in optimizers if not isinstance(one, str)]  # of a name, each part gets one of its own
    if len(set(own)) < len(own):
        raise ValueError("each part needs an optimizer of its own, got one object for two of them: make another.")
