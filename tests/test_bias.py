import keras
import numpy as np
import pytest

from echo_tf import Bias, make_method
from models import alemi2018

SIZES = {"latent_dim": 8, "image_shape": (28, 28, 1), "width": 0.25}


def test_it_equals_the_bias_of_a_convolution():
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    whole = keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="normal")
    expected = whole(x)
    convolution, bias = keras.layers.Conv2D(4, 3, use_bias=False), Bias("relu")
    bias(convolution(x))
    convolution.set_weights([whole.kernel])
    bias.set_weights([whole.bias])
    np.testing.assert_array_equal(bias(convolution(x)), expected)
    again = Bias.from_config(bias.get_config())
    assert again.activation is keras.activations.relu


@pytest.fixture
def restored_policy():
    yield
    keras.config.set_dtype_policy("float32")


def test_every_gradient_in_bfloat16_is_that_of_float32(restored_policy):
    tf = pytest.importorskip("tensorflow")
    x = (np.random.default_rng(0).random((20, 28, 28, 1)) > 0.7).astype("float32")

    def build(policy):
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(0)
        settings = {key: value for key, value in SIZES.items() if key != "latent_dim"}
        networks = [lambda f=f, **kw: f(**settings, **kw) for f in (alemi2018.encoder, alemi2018.decoder)]
        model = make_method("vae", *networks, latent_dim=8, seed=0)
        model.build(x.shape)
        return model

    def gradients(model):
        with tf.GradientTape() as tape:
            terms = model(x, training=True)
            loss = tf.reduce_mean(terms["rate"] + terms["distortion"])
        return [np.array(g, "float64").ravel() for g in tape.gradient(loss, model.trainable_variables)]

    exact, rounded = build("float32"), build("mixed_bfloat16")
    rounded.set_weights(exact.get_weights())
    for variable, a, b in zip(exact.trainable_variables, gradients(exact), gradients(rounded)):
        # 8 bits are 0.4 %; a first layer's gradient has passed through a dozen roundings
        assert np.linalg.norm(b) == pytest.approx(np.linalg.norm(a), rel=0.05), variable.path
        assert a @ b > 0.95 * np.linalg.norm(a) * np.linalg.norm(b), variable.path
