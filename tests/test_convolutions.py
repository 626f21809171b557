import keras
import numpy as np
import pytest
import tensorflow as tf

from echo_tf import ConvFromPoint, ConvToImage, ConvToPoint, ConvTransposeToImage

CASES = [  # ours, Keras's, shape of the input, filters, kernel, stride, padding
    (ConvToPoint, keras.layers.Conv2D, (2, 4, 3, 6), 5, (4, 3), 1, "valid"),
    (ConvFromPoint, keras.layers.Conv2DTranspose, (2, 1, 1, 6), 5, (4, 3), 1, "valid"),
    (ConvToImage, keras.layers.Conv2D, (2, 5, 6, 4), 1, (4, 3), 1, "same"),
    (ConvToImage, keras.layers.Conv2D, (2, 5, 6, 4), 3, (1, 5), 1, "same"),
    (ConvToImage, keras.layers.Conv2D, (2, 2, 2, 4), 1, 7, 1, "same"),  # most of the kernel falls beside the image
    (ConvTransposeToImage, keras.layers.Conv2DTranspose, (2, 5, 6, 4), 1, 4, 2, "same"),
    (ConvTransposeToImage, keras.layers.Conv2DTranspose, (2, 5, 6, 4), 3, (5, 4), (2, 3), "same"),
    (ConvTransposeToImage, keras.layers.Conv2DTranspose, (2, 5, 6, 4), 2, (4, 3), 1, "same"),
]


@pytest.mark.parametrize("ours, keras_s, shape, filters, kernel, stride, padding", CASES)
def test_it_is_keras_s_convolution_to_the_initial_weights(ours, keras_s, shape, filters, kernel, stride, padding, tmp_path):
    x = tf.constant(np.random.default_rng(0).normal(size=shape), "float32")
    found = []
    for kind in (ours, keras_s):
        keras.utils.set_random_seed(0)
        layer = kind(filters, kernel, stride, padding=padding, activation="tanh", bias_initializer="normal")
        model = keras.Sequential([keras.Input(shape[1:]), layer])
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = model(x)
                loss = tf.reduce_sum(y**2)
            gradients = tape.gradient(loss, [x, layer.kernel.value])
        second = outer.gradient(gradients[0], [x, layer.kernel.value])  # as a gradient penalty takes it
        found.append([y, *gradients, *second])
        model.save(tmp_path / "model.keras")
        np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(x), y, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(*found):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [ConvToPoint, ConvFromPoint])
def test_another_size_is_refused(layer):
    with pytest.raises(ValueError, match="takes images of size"):
        layer(3, 4).build((None, 5, 2, 2))
