"""Tiny models for tests."""

import keras
import numpy as np

import echo_tf

D, WIDTH = 3, 12


def bars(n=40):
    """Bars of random length, (n, 12), zeros and ones: something to learn, unlike noise."""
    return (np.arange(WIDTH) < np.random.default_rng(0).integers(1, WIDTH, (n, 1))).astype("float32")


def encoder(loc="tanh16", scale="log_sigmoid", width=WIDTH):
    activations = [{"tanh16": echo_tf.tanh16}.get(name, name) for name in (loc, scale)]
    x = keras.Input((width,))
    h = keras.layers.Dense(16, activation="relu")(x)
    return keras.Model(x, [keras.layers.Dense(D, activation=activation)(h) for activation in activations])


def decoder(activation=None, width=WIDTH):
    z = keras.Input((D,))
    return keras.Model(z, keras.layers.Dense(width, activation=activation)(keras.layers.Dense(16, activation="relu")(z)))


def autoencoder(channel=None, seed=0, compiled=True, **settings):
    """An autoencoder of bars, with Echo noise of nine terms unless another channel is given."""
    keras.utils.set_random_seed(seed)
    channel = channel or echo_tf.EchoSample(num_terms=9, seed=seed)
    heads = ("tanh16", "log_sigmoid") if isinstance(channel, echo_tf.EchoSample) else ("linear", "linear")
    model = echo_tf.RateDistortionAutoencoder(encoder(*heads), channel, decoder(), **settings)
    if compiled:
        model.compile(keras.optimizers.Adam(1e-2))
    return model
