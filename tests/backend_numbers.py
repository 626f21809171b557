"""Prints, as JSON, numbers that must not depend on the Keras backend. Run by test_backends.py under each backend."""

import json
from functools import partial

import keras
import numpy as np
from keras import ops

from echo_tf import BetaWarmup, EchoSample, MaximumMeanDiscrepancy, RateDistortionAutoencoder, echo_noise, make_method
from echo_tf.optimizers import adam_step
from echo_tf.standardization import Standardization
from models import alemi2018, kingma2014
from tests.small_models import autoencoder, bars

rng = np.random.default_rng(0)
loc, log_scale = np.tanh(rng.normal(size=(12, 4))).astype("float32"), -rng.random((12, 4)).astype("float32")
indices = rng.integers(0, 12, (12, 30))
x = (rng.random((12, 8, 8, 1)) > 0.6).astype("float32")
numbers = {
    "noise": ops.convert_to_numpy(echo_noise(loc, log_scale, indices=indices)).tolist(),
    "mmd": float(MaximumMeanDiscrepancy().discrepancy(ops.convert_to_tensor(loc), ops.convert_to_tensor(log_scale))),
    "echo_rate": ops.convert_to_numpy(EchoSample(num_terms=11).rate([loc, log_scale])).tolist(),
}
weight, moments = keras.Variable([1.0, -2.0]), [keras.Variable([0.0, 0.0]) for _ in range(2)]
for step, gradient in enumerate(([0.3, -4.0], [-0.1, 2.0], [0.5, 0.5]), 1):
    adam_step(weight, moments, ops.convert_to_tensor(gradient), step, 0.1, 0.8, 0.9, 1e-2)
numbers["adam"] = [ops.convert_to_numpy(variable).tolist() for variable in (weight, *moments)]
inputs = [keras.Input((4,)), keras.Input((4,))]
own = keras.Model(inputs, EchoSample(num_terms=11, beta=0.5)(inputs))
own.compile()
numbers["loss_of_a_model_of_one_s_own"] = own.evaluate([loc, log_scale], batch_size=12, verbose=0, return_dict=True)["loss"]
standardized = EchoSample(num_terms=11, standardize=True)
code = ops.convert_to_numpy(standardized([loc, log_scale], training=True))
numbers["standardized_moments"] = [float(code.mean()), float(code.std())]


class Standardized(keras.layers.Layer):
    """The map of `standardize` alone, which draws nothing."""

    def __init__(self):
        super().__init__()
        self.map = Standardization()

    def build(self, input_shape):
        self.map.build(input_shape)

    def call(self, x, training=False):
        if training:
            self.map.measure_once(x)
        return self.map(x)


dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.Constant(np.arange(12).reshape(4, 3) / 12))
mapped = keras.Sequential([keras.Input((4,)), dense, Standardized()])
mapped.compile(keras.optimizers.SGD(1.0), "mse")
mapped.fit(loc, loc[:, :3] ** 2, batch_size=12, verbose=0)
numbers["kernel_before_a_standardized_code"] = ops.convert_to_numpy(dense.kernel).tolist()


class SetBeta(keras.callbacks.Callback):
    """beta 0, 1, 2 in the epochs, and what part of the loss the rate then is."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.beta = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.model.beta = float(self.model.beta)  # read and set within an epoch

    def on_epoch_end(self, epoch, logs=None):
        numbers.setdefault("betas", []).append(float((logs["loss"] - logs["distortion"]) / logs["rate"]))


small = autoencoder(EchoSample(num_terms=9, standardize=True, seed=0))
small.fit(bars(), batch_size=10, epochs=3, verbose=0, callbacks=[SetBeta()])
numbers["measured_in_fit"] = [float(small.channel.standardization.measured.value), float(small.beta.value)]
small.fit(bars(), batch_size=10, epochs=2, verbose=0, callbacks=[BetaWarmup(2, beta=1.0)])
numbers["warmed_up"] = float(small.beta.value)
try:
    autoencoder().fit(bars(41), batch_size=10, verbose=0)
except ValueError as error:
    numbers["refused"] = str(error)
large = np.random.default_rng(0).normal(size=(6, 1500)).astype("float32")
numbers["large"] = ops.convert_to_numpy(echo_noise(large, -np.abs(large), indices=[[0, 1, 2], [3, 3, 5]])).ravel().tolist()
shared = {"image_shape": (8, 8, 1), "width": 0.1}
for name, network in {"echo": alemi2018, "vae": kingma2014, "info-vae": kingma2014, "vae-vamp": kingma2014}.items():
    model: RateDistortionAutoencoder = make_method(
        name,
        partial(network.encoder, **shared),
        partial(network.decoder, **shared),
        latent_dim=4,
        **({"pseudo_inputs": 5} if name == "vae-vamp" else {}),
    )
    model.build((None, 8, 8, 1))
    model.set_weights([0.3 * rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    numbers[f"{name}_encodings"] = [head.tolist() for head in model.encode(x)]
    if name == "vae-vamp":  # its rate is of one draw, and the backends draw other numbers
        numbers[f"{name}_density"] = ops.convert_to_numpy(model.marginal.given(model.encoder).log_prob(loc)).tolist()
    else:
        numbers[f"{name}_rate"] = model.rate(x).tolist()
    numbers[f"{name}_logits"] = ops.convert_to_numpy(model.decoder(loc)).ravel().tolist()
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(x, batch_size=6, epochs=20, verbose=0).history["loss"]
    numbers[f"{name}_trains"] = losses[-1] < losses[0]
try:
    make_method("iaf-prior", alemi2018.encoder, alemi2018.decoder)
    numbers["flow_refused"] = None
except ValueError as error:
    numbers["flow_refused"] = str(error)
print(json.dumps(numbers))
