"""Metric tensors, 1 - SSIM, GDN and the decomposed loss, against finite differences, tf.image and direct formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from echo_tf import (
    GDN,
    IGDN,
    Bernoulli,
    CallableDistortion,
    DecomposedAutoencoder,
    Gaussian,
    GaussianSample,
    RateDistortionAutoencoder,
    SquaredError,
    StructuralDissimilarity,
    WeightedSquaredError,
)
from echo_tf.isometry.metric import bilinear, excess, second_derivative, tangent

RNG = np.random.default_rng(0)


def smooth_images(n=2, side=24, channels=3):
    """Images that vary slowly, away from 0 and 1."""
    angle = np.linspace(0, 3, side)
    phase = RNG.uniform(0, 6, (2, n, 1, 1, channels))
    wave = np.sin(angle[:, None, None] + phase[0]) * np.cos(2 * angle[None, :, None] + phase[1])
    return 0.5 + 0.3 * wave + 0.02 * RNG.normal(size=(n, side, side, channels))


MEASURES = {
    "squared error": (SquaredError(dtype="float64"), lambda: RNG.normal(size=(4, 6)), 1e-4, 1e-6),
    "down": (WeightedSquaredError("down", dtype="float64"), lambda: RNG.normal(size=(4, 6)), 1e-4, 1e-6),
    "up, mean": (WeightedSquaredError("up", "mean", dtype="float64"), lambda: RNG.normal(size=(4, 6)), 1e-4, 1e-6),
    "gaussian": (Gaussian(0.3, dtype="float64"), lambda: RNG.normal(size=(4, 6)), 1e-4, 1e-6),
    "bernoulli": (Bernoulli(dtype="float64"), lambda: RNG.normal(size=(4, 6)), 1e-3, 1e-3),
    "probabilities": (Bernoulli(from_logits=False, dtype="float64"), lambda: RNG.uniform(0.2, 0.8, (4, 6)), 1e-4, 1e-3),
    "1 - SSIM": (StructuralDissimilarity(dtype="float64"), smooth_images, 1e-4, 1e-3),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_small_shift_costs_what_the_metric_says(name):
    measure, make, size, tolerance = MEASURES[name]
    output = ops.convert_to_tensor(make())
    shift = ops.convert_to_tensor(size * RNG.normal(size=output.shape))
    cost = excess(measure, output, output + shift)
    np.testing.assert_allclose(cost, bilinear(measure, output, shift, shift), rtol=tolerance)
    assert (ops.convert_to_numpy(cost) > 0).all()


def test_the_metric_of_ssim_is_bilinear_symmetric_and_tensor_of_a_window():
    from echo_tf.structural_similarity import C1, C2, DEVIATION

    x, u, v = RNG.uniform(0.2, 0.8, (3, 1, 11, 11, 1))
    weights = np.exp(-0.5 * ((np.arange(11) - 5) / DEVIATION) ** 2)
    w = np.outer(weights, weights).ravel() / weights.sum() ** 2
    shift, spread = np.outer(w, w), np.diag(w) - np.outer(w, w)
    mean, variance = w @ x.ravel(), x.ravel() @ spread @ x.ravel()
    metric = shift / (2 * mean**2 + C1) + spread / (2 * variance + C2)
    measure = StructuralDissimilarity(dtype="float64")
    found = bilinear(measure, *map(ops.convert_to_tensor, (x, u, v)))
    np.testing.assert_allclose(found, [u.ravel() @ metric @ v.ravel()], rtol=1e-9)
    values = np.linalg.eigvalsh(metric)
    assert (
        values.min() > 0 and abs(np.linalg.eigvalsh(spread)[0]) < 1e-12
    )  # a constant shift alone costs the second part nothing


def test_ssim_is_that_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    for scale in (1.0, 0.02):  # dark images, where the constants tell
        x, y = scale * RNG.uniform(size=(2, 3, 20, 17, 3)).astype(np.float32)
        y = 0.6 * x + 0.4 * y
        found = StructuralDissimilarity()(ops.convert_to_tensor(x), ops.convert_to_tensor(y))
        np.testing.assert_allclose(found, 1 - tf.image.ssim(x, y, 1.0).numpy(), rtol=2e-5 / scale)
    np.testing.assert_allclose(StructuralDissimilarity()(x, x), 0, atol=1e-12)


def test_ssim_of_images_that_no_window_fits_into_is_refused():
    with pytest.raises(ValueError, match="of 11 x 11 or more"):
        StructuralDissimilarity()(np.zeros((2, 8, 8, 1), np.float32), np.zeros((2, 8, 8, 1), np.float32))


def test_a_distortion_of_ones_own_has_the_metric_of_its_second_derivative():
    quartic = CallableDistortion(lambda x, output: ops.sum((x - output) ** 2 + (x - output) ** 4, axis=-1))
    matrix = ops.convert_to_tensor(RNG.normal(size=(3, 5)).astype(np.float32))
    z, direction = (ops.convert_to_tensor(RNG.normal(size=(4, 3)).astype(np.float32)) for _ in range(2))
    found = second_derivative(quartic, lambda c: ops.tanh(ops.matmul(c, matrix)), z, direction)
    _, slope = tangent(lambda c: ops.tanh(ops.matmul(c, matrix)), z, direction)
    assert bilinear(quartic, z, z, z) is None
    np.testing.assert_allclose(found, np.sum(np.asarray(slope) ** 2, axis=-1), rtol=1e-4)


@pytest.mark.parametrize("layer, power", [(GDN, -0.5), (IGDN, 0.5)])
def test_divisive_normalization_is_its_formula(layer, power):
    x = RNG.normal(size=(2, 3, 3, 4)).astype(np.float32)
    made = layer()
    made.build(x.shape)
    np.testing.assert_allclose(made.beta, 1, rtol=1e-6)
    np.testing.assert_allclose(made.gamma, 0.1 * np.eye(4) + 1e-6 * (1 - np.eye(4)), rtol=1e-4)
    made.root_gamma.assign(RNG.normal(size=(4, 4)))
    made.root_beta.assign(RNG.normal(size=(4,)))
    beta, gamma = np.asarray(made.beta), np.asarray(made.gamma)
    assert beta.min() > 0 and gamma.min() >= 0
    expected = np.empty_like(x)
    for c in range(4):
        expected[..., c] = x[..., c] * (beta[c] + sum(gamma[k, c] * x[..., k] ** 2 for k in range(4))) ** power
    np.testing.assert_allclose(made(x), expected, rtol=1e-4)


def test_without_gamma_the_two_normalizations_undo_each_other():
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    there, back = GDN(), IGDN()
    for layer in (there, back):
        layer.build(x.shape)
        layer.root_gamma.assign(np.zeros((5, 5)))
        layer.root_beta.assign(np.full(5, 1.7))
    np.testing.assert_allclose(back(there(x)), x, rtol=1e-5)


def test_every_weight_of_a_normalization_learns_and_is_saved(tmp_path):
    x = RNG.normal(size=(32, 4)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), GDN(first_gamma=0.2), IGDN()])
    first = [np.array(w) for w in model.get_weights()]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, 2 * x[:, ::-1], epochs=1, verbose=0)
    assert all((a != b).all() for a, b in zip(first, model.get_weights()))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "model.keras").predict(x, verbose=0), model.predict(x, verbose=0)
    )


@pytest.mark.parametrize("settings", [{"smallest_beta": 0}, {"first_gamma": -1}])
def test_normalizations_that_may_divide_by_0_are_refused(settings):
    with pytest.raises(ValueError, match="must be a number in .0, 1."):
        GDN(**settings)


def parts(units=5, latents=2):
    x, z = keras.Input((units,)), keras.Input((latents,))
    heads = [keras.layers.Dense(latents)(x), keras.layers.Dense(latents, bias_initializer=keras.initializers.Constant(-1))(x)]
    return (
        keras.Model(x, heads),
        GaussianSample(seed=1),
        keras.Model(z, keras.layers.Dense(units)(keras.layers.Dense(7, "tanh")(z))),
    )


def test_the_decomposed_loss_is_transform_loss_plus_coding_loss_plus_rate():
    encoder, _, decoder = parts()
    x = RNG.normal(size=(6, 5)).astype(np.float32)
    model = DecomposedAutoencoder(encoder, GaussianSample(seed=1), decoder, distortion="squared_error", beta=0.3)
    terms = model(x, training=True)
    mean, code = decoder(encoder(x)[0]), decoder(terms["code"])
    expected = np.sum((x - mean) ** 2, -1) + np.sum((mean - np.asarray(code)) ** 2, -1)
    np.testing.assert_allclose(terms["decomposed"], expected, rtol=1e-4)
    loss = model.compute_loss(x, None, terms)
    assert float(loss) == pytest.approx(float(np.mean(expected) + 0.3 * np.mean(terms["rate"])), rel=1e-5)
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(x, batch_size=6, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_an_example_is_encoded_once_and_decoded_twice_with_the_same_units_dropped():
    x, z = keras.Input((5,)), keras.Input((2,))
    hidden = keras.layers.Dense(8, activity_regularizer=keras.regularizers.L2(0.7))
    h = keras.layers.Dropout(0.5)(hidden(x))
    heads = [keras.layers.Dense(2)(h), keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer=constant(-30))(h)]
    decoder = keras.Model(z, keras.layers.Dense(5)(keras.layers.Dropout(0.5)(keras.layers.Dense(64)(z))))
    model = DecomposedAutoencoder(keras.Model(x, heads), GaussianSample(seed=1), decoder, distortion="squared_error", beta=0.0)
    points = RNG.normal(size=(6, 5)).astype(np.float32)
    first, second = (model(points, training=True) for _ in range(2))
    assert np.abs(first["reconstruction"] - second["reconstruction"]).max() > 0.01
    # without noise, code and mean are one, and so are their decodings: what is left is the distortion itself
    np.testing.assert_allclose(second["decomposed"], second["distortion"], rtol=1e-5)
    import tensorflow as tf

    compiled = tf.function(lambda: model(points, training=True))()
    np.testing.assert_allclose(compiled["decomposed"], compiled["distortion"], rtol=1e-5)
    activity = 0.7 * np.sum(np.asarray(hidden(points)) ** 2) / 6
    loss = model.compute_loss(points, None, model(points, training=True))
    assert float(sum(model.losses)) == pytest.approx(activity, rel=1e-5) and float(loss) > activity


def constant(value):
    return keras.initializers.Constant(value)


def test_another_models_beta_is_taken_over_as_it_is_now():
    encoder, _, decoder = parts()
    model = DecomposedAutoencoder(encoder, GaussianSample(seed=1), decoder, distortion="squared_error", beta=0.3)
    model.beta = 0.2
    again = DecomposedAutoencoder(encoder, model.channel, decoder, model.marginal, model.measure_of_distortion, model.beta)
    assert float(again.beta) == pytest.approx(0.2)
    for beta in (-1, float("nan"), "1", None):
        with pytest.raises(ValueError, match="beta must be a finite number of 0 or more"):
            model.beta = beta


def test_the_decomposed_loss_of_a_likelihood_is_refused():
    with pytest.raises(ValueError, match="got the likelihood Bernoulli"):
        DecomposedAutoencoder(*parts())


def test_the_networks_have_the_papers_numbers_of_parameters():
    from models import nakagawa2021, nakagawa2021_faces

    def count(module, latents, **more):
        return sum(part(latents, **more).count_params() for part in (module.encoder, module.decoder))

    assert count(nakagawa2021, 3, image_shape=(16,), form="toy") == 21_462
    assert count(nakagawa2021, 32) == 3_806_032 and count(nakagawa2021, 64) == 3_904_400
    assert count(nakagawa2021_faces, 32) == 2_873_679 and count(nakagawa2021_faces, 256, hidden=2048) == 6_447_887
    with pytest.raises(ValueError, match="form must be one of toy, mnist"):
        nakagawa2021.encoder(form="faces")


def test_a_face_network_trains_on_structural_dissimilarity(tmp_path):
    from models import nakagawa2021_faces

    x = smooth_images(12, 16, 3).clip(0, 1).astype(np.float32)
    shape = {"latent_dim": 3, "image_shape": (16, 16, 3), "width": 0.1}
    encoder = nakagawa2021_faces.encoder(head_activations=GaussianSample.head_activations, **shape)
    model = RateDistortionAutoencoder(
        encoder, GaussianSample(seed=0), nakagawa2021_faces.decoder(**shape), distortion="ssim", beta=1e-3
    )
    model.compile(keras.optimizers.Adam(3e-3))
    losses = model.fit(x, batch_size=12, epochs=20, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < 0.9 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.reconstruct(x, 0), model.reconstruct(x, 0), rtol=1e-5, atol=1e-6)
