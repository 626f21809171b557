"""Prints, as JSON, losses and steps on one device and on two replicas. Run by test_replicas.py in a process of its own."""

import json

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import echo_tf
from tests.small_models import autoencoder, bars, encoder

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
x = np.tile(bars(10), (8, 1))


def numbers(strategy):
    found = {}
    with strategy.scope():
        vae = autoencoder(echo_tf.GaussianSample(seed=0), compiled=False, beta=0.5)
        vae.encoder.layers[-1].set_weights([np.zeros((16, 3)), np.full(3, -20.0)])  # hardly any noise: the draws do not matter
        vae.compile(echo_tf.FusedAdam(1e-3))
        found["loss"] = vae.evaluate(x, batch_size=40, verbose=0, return_dict=True)["loss"]
        found["fit_loss"] = vae.fit(x, batch_size=80, verbose=0, shuffle=False).history["loss"][0]
        found["kernel"] = ops.convert_to_numpy(vae.decoder.layers[-1].kernel).tolist()
        inner = encoder()
        code = echo_tf.EchoSample(num_terms=19, beta=0.5)(inner.outputs)
        own = keras.Model(inner.inputs, code)
        own.set_weights([np.full(w.shape, 0.1) for w in own.get_weights()])
        own.compile(keras.optimizers.SGD(1e-3))
        found["own"] = own.fit(x, batch_size=80, verbose=0).history
        found["own_bias"] = ops.convert_to_numpy(own.layers[-2].bias).tolist()
        echo = autoencoder(echo_tf.EchoSample(num_terms=19, seed=0, standardize=True))
        echo.fit(x, batch_size=80, verbose=0)
    for name in ("mean", "deviation"):
        variable = getattr(echo.channel.standardization, name).value
        values = getattr(variable, "values", [variable])
        found[name] = [np.array(v).tolist() for v in values]
    return found


print(json.dumps([numbers(tf.distribute.get_strategy()), numbers(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))]))
