"""A group of stacked autoencoders as one Keras model, which is saved and loaded whole and gives each of them by itself."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from echo_tf.autoencoder import RateDistortionAutoencoder
from echo_tf.channels import GaussianSample
from echo_tf.isometry.losses import WeightedSquaredError
from echo_tf.isometry.stacked import Member, State, network_of

KEPT = ("averages", "weights")


@keras.saving.register_keras_serializable(package="echo_tf")
class StackedAutoencoders(keras.Model):
    """R autoencoders of one architecture, their weights stacked along a leading axis; see `stacked`.

    Args:
        encoder, decoder: Keras models of dense layers, whose own weights do not matter.
        members: the R runs, `Member`s or lists of their values.
        reduction: of the distortion, "sum" or "mean".
    """

    def __init__(self, encoder, decoder, members, reduction="sum", **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.reduction = encoder, decoder, reduction
        self.runs = tuple(Member(*member) for member in members)
        shapes = []
        for units_in, units_out, _ in network_of(encoder, decoder).layers:
            shapes += [(len(self.runs), units_in, units_out), (len(self.runs), units_out)]
        self._stacked = {
            kept: [self.add_weight(shape, "zeros", trainable=False, name=f"{kept}_{i}") for i, shape in enumerate(shapes)]
            for kept in KEPT
        }
        self.built = True

    def take(self, state: State) -> None:
        """Takes over the weights that a training has come to, and their averages."""
        for kept in KEPT:
            for variable, value in zip(self._stacked[kept], getattr(state, kept)):
                variable.assign(value)

    def autoencoder(self, number: int, averaged: bool = True) -> RateDistortionAutoencoder:
        """One of the R by itself, with beta 1 / lambda and the distortion that lambda multiplies.

        Args:
            number: which, from 0.
            averaged: with the averages of its weights, or those of the last step.
        """
        member = self.runs[number]
        parts = [keras.models.clone_model(part) for part in (self.encoder, self.decoder)]
        values = [ops.convert_to_numpy(v)[number] for v in self._stacked[KEPT[not averaged]]]
        for part in parts:
            number_of = len(part.weights)
            part.set_weights(values[:number_of])
            values = values[number_of:]
        distortion = WeightedSquaredError(member.loss, self.reduction)
        channel = GaussianSample(seed=member.seed)
        return RateDistortionAutoencoder(parts[0], channel, parts[1], distortion=distortion, beta=1 / member.multiplier)

    def call(self, x):
        """The outputs of all R at the mean of each code, (R, B, m)."""
        found = [self.autoencoder(number) for number in range(len(self.runs))]
        return ops.stack([one.decoder(one.encoder(x)[0]) for one in found])

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "members": [list(member) for member in self.runs],
            "reduction": self.reduction,
        }

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "decoder")}
        return cls(**{**config, **parts})


def state_of(arrays: dict, members: Sequence[Member]) -> State:
    """A `State` from the arrays that `arrays_of` made of it."""
    parts = []
    for field in State._fields:
        names = sorted(name for name in arrays if name.startswith(f"{field}/"))
        parts.append([arrays[name] for name in names])
    if not parts[0] or any(len(a) != len(members) for part in parts for a in part):
        raise ValueError(f"the arrays are not those of {len(members)} stacked runs.")
    return State(*parts)


def arrays_of(state: State) -> dict[str, np.ndarray]:
    """A `State` as arrays by name, for a checkpoint."""
    return {f"{field}/{i:04d}": a for field, part in zip(State._fields, state) for i, a in enumerate(part)}
