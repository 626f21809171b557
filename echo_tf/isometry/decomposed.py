"""The autoencoder whose distortion is split in two: what the code's mean loses, and what the noise adds."""

import keras
from keras import ops

from echo_tf.autoencoder import RateDistortionAutoencoder
from echo_tf.guards import num_replicas

SEED_STATE = "seed_generator_state"  # what Keras calls the variable of a layer that draws


@keras.saving.register_keras_serializable(package="echo_tf")
class DecomposedAutoencoder(RateDistortionAutoencoder):
    """`RateDistortionAutoencoder` trained on D(x, xbar) + D(xbar, xhat) + beta * rate, xbar the decoding of the code's mean.

    Reference: isometric VAE paper, section 4.2 and appendix D.2: transform loss plus coding loss. "distortion" and the other
    metrics that `fit` and `evaluate` report are those of D(x, xhat), as in any other model; their "loss" is the decomposed one.
    An example is encoded once and decoded twice, with the same dropout: an activity regularizer of the decoder counts both.

    Args: as of `RateDistortionAutoencoder`. A likelihood is refused: D(xbar, xbar) would have to be 0.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.measure_of_distortion.is_likelihood:
            name = type(self.measure_of_distortion).__name__
            raise ValueError(f"the decomposed loss needs a distortion that is 0 between equals, got the likelihood {name}.")

    def _terms(self, x, encodings, training):
        draws = [variable for variable in self.decoder.variables if variable.name == SEED_STATE]
        before = [ops.copy(variable) for variable in draws]  # read now: a tensor of it would follow it
        terms = super()._terms(x, encodings, training)
        for variable, state in zip(draws, before):  # dropout leaves out the same units in both decodings
            variable.assign(state)
        measure = self.measure_of_distortion
        mean = self.decoder(self.channel.mean(encodings), training=training)
        return {**terms, "decomposed": measure(x, mean) + measure(measure.reconstruct(mean), terms["reconstruction"])}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + ops.mean(y_pred["decomposed"] - y_pred["distortion"]) / num_replicas()
