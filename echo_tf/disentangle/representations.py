"""What of a trained autoencoder the scores are of: the mean of a code, or a sample of it and whose noise it has."""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from echo_tf import arguments
from echo_tf.echo_sample import EchoSample
from echo_tf.noise import draw_donors, echo_noise, exact_clip
from echo_tf.precision import in_float32

REPRESENTATIONS = ("mean", "sampled", "released")


def representation(model, kind="mean", encode=None, donors=None, seed=0):
    """The representation of a trained autoencoder, as the scores take it.

    "mean": the encoder's loc, Echo's f(x) and a Gaussian's mu: the usual choice (Locatello et al., ICML 2019).
    "sampled": a code z of each image. Echo's noise is made of images drawn at random, apart from those that are encoded.
    "released": a code z as the released Echo code has it: Echo's noise is made of the very group of images that shares the
        fixed factor. What a dimension tells of that factor alone is then the same for all of the group, noise
        included, and its variance within the group is exactly 0: the protocol leaks the answer.

    For other channels than Echo the last two are alike, as their noise is of nobody.

    Args:
        model: a `RateDistortionAutoencoder`.
        kind: of `REPRESENTATIONS`.
        encode: images (n, ...) -> [loc, log_scale] in place of the model's own, for images that are encoded already.
        donors: for Echo's "sampled", encodings [loc, log_sigmoid] (P, d) of images at random, P of a thousand or more.
        seed: of the noise.

    Returns:
        A function from images (n, ...) to codes (n, d), with `of_groups` for many groups at once; see `Sampler`.

    Raises:
        ValueError: for another kind, or "sampled" of Echo without donors.
    """
    arguments.choice("kind", kind, REPRESENTATIONS)
    is_echo = isinstance(model.channel, EchoSample)
    if kind == "sampled" and is_echo and donors is None:
        raise ValueError('"sampled" of an Echo model makes its noise of images at random: give donors, their encodings.')
    encode = encode or in_float32(model).encode
    if kind == "mean":
        return Representation(encode, lambda loc, log_scale: loc)
    if not is_echo:
        return Representation(encode, _Channel(model.channel, seed))
    donors = None if kind == "released" else [np.asarray(head) for head in donors]
    return Representation(encode, _Echo(model.channel, donors, keras.random.SeedGenerator(seed)))


class Representation:
    """Images (n, ...) -> codes (n, d), by an encoder and what is made of its heads (G, B, d)."""

    def __init__(self, encode, code_of):
        self.encode, self.code_of = encode, code_of

    def __call__(self, images):
        return self.of_groups(np.asarray(images)[None])[0]

    def of_groups(self, images):
        """Images (G, B, ...) -> codes (G, B, d), each group by itself."""
        groups, size = images.shape[:2]
        heads = self.encode(images.reshape(groups * size, *images.shape[2:]))
        return np.asarray(self.code_of(*(np.asarray(head).reshape(groups, size, -1) for head in heads)))


class _Channel:
    """Codes drawn by a copy of a channel with a seed of its own."""

    def __init__(self, channel, seed):
        self.channel = type(channel).from_config({**channel.get_config(), "seed": seed})
        self.original = channel

    def __call__(self, loc, log_scale):
        heads = [head.reshape(-1, head.shape[-1]) for head in (loc, log_scale)]
        if not self.channel.built:
            self.channel.build([(None, *head.shape[1:]) for head in heads])
            if self.channel.get_weights():
                self.channel.set_weights(self.original.get_weights())
        return ops.convert_to_numpy(self.channel.draw(heads).code).reshape(loc.shape)


class _Echo(NamedTuple):
    """Echo codes of groups, the noise of each image made of the others of its group (donors None), or of donors."""

    channel: EchoSample
    donors: list | None
    seeds: keras.random.SeedGenerator

    def __call__(self, loc, log_sigmoid):
        heads = [head.swapaxes(0, 1) for head in (loc, log_sigmoid)]  # groups side by side: their donors have the same places
        groups_last = heads[0].shape[:2]
        num_terms = self.channel.num_terms or max(groups_last[0] - 1, 1)
        log_clip = np.float32(np.log(self.channel.clip or exact_clip(num_terms, self.channel.max_magnitude)))
        if self.donors is None:
            noise = echo_noise(heads[0], log_clip + heads[1], num_terms, self.channel.scheme, seed=self.seeds)
        else:  # each image from its own place on one ring of them: no donor repeats, however small the groups are
            places = draw_donors(math.prod(groups_last), num_terms, len(self.donors[0]), "ring", self.seeds)
            noise = echo_noise(self.donors[0], log_clip + self.donors[1], indices=places)
        code = heads[0] + np.exp(log_clip + heads[1]) * ops.convert_to_numpy(noise).reshape(heads[0].shape)
        if self.channel.multiplicative:
            code = np.exp(code)
        if self.channel.standardization is not None:
            code = ops.convert_to_numpy(self.channel.standardization(code))
        return code.swapaxes(0, 1)
