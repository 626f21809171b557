import keras
import numpy as np
import pytest

from echo_tf import ConvFromPoint, ConvToPoint

CASES = [
    (ConvToPoint, keras.layers.Conv2D, (2, 4, 3, 6)),
    (ConvFromPoint, keras.layers.Conv2DTranspose, (2, 1, 1, 6)),
]


@pytest.mark.parametrize("ours, keras_s, shape", CASES)
def test_it_is_keras_s_convolution_to_the_initial_weights(ours, keras_s, shape, tmp_path):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    outputs = []
    for kind in (ours, keras_s):
        keras.utils.set_random_seed(0)
        layer = kind(5, (4, 3), padding="valid", activation="relu", bias_initializer="normal")
        model = keras.Sequential([keras.Input(shape[1:]), layer])
        outputs.append(model.predict_on_batch(x))
        model.save(tmp_path / "model.keras")
        np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(x), outputs[-1])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [ConvToPoint, ConvFromPoint])
@pytest.mark.parametrize("shape, options", [((None, 5, 2, 2), {}), ((None, 4, 4, 2), {"strides": 2})])
def test_another_size_or_stride_is_refused(layer, shape, options):
    with pytest.raises(ValueError, match="takes images of size"):
        layer(3, 4, **options).build(shape)
