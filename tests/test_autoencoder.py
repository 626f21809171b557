import keras
import numpy as np
import pytest
from keras import ops

from echo_tf import EchoSample, GaussianSample, RateDistortionAutoencoder, StandardNormal, VampPrior, exact_clip, make_method
from models import alemi2018

D = 3


@keras.saving.register_keras_serializable(package="test")
class Shrink(keras.layers.Layer):
    """A penalty for these tests: the mean square of the code."""

    def call(self, code):
        return ops.mean(ops.square(code))


def small(channel, seed=0, **settings):
    keras.utils.set_random_seed(seed)
    shared = {"image_shape": (8, 8, 1), "latent_dim": D, "width": 0.1}
    encoder = alemi2018.encoder(head_activations=channel.head_activations, **shared)
    model = RateDistortionAutoencoder(encoder, channel, alemi2018.decoder(**shared), **settings)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def echo():
    return EchoSample(num_terms=9, seed=0)


def gaussian():
    return GaussianSample(seed=0)


every_channel = pytest.mark.parametrize("make_channel", [echo, gaussian])


@pytest.fixture
def images():
    """Bars of random length: something to learn, unlike noise."""
    lengths = np.random.default_rng(0).integers(1, 8, (30, 1, 1, 1))
    return np.broadcast_to(np.arange(8)[:, None] < lengths, (30, 8, 8, 1)).astype("float32")


@every_channel
def test_loss_is_distortion_plus_beta_rate_plus_penalties(make_channel, images):
    model = small(make_channel(), beta=0.7, penalties=[Shrink()])
    terms = model(images)
    expected = ops.mean(terms["distortion"] + 0.7 * terms["rate"]) + ops.mean(ops.square(terms["code"]))
    assert float(model.compute_loss(images, None, terms, None)) == pytest.approx(float(expected), rel=1e-6)
    metrics = model.evaluate(images, verbose=0, return_dict=True)
    assert set(metrics) == {"rate", "distortion", "neg_elbo", "loss"}
    assert metrics["neg_elbo"] == pytest.approx(metrics["rate"] + metrics["distortion"], rel=1e-6)


@every_channel
def test_a_gradient_reaches_every_parameter(make_channel, images):
    import tensorflow as tf

    model = small(make_channel())
    with tf.GradientTape() as tape:
        loss = model.compute_loss(images, None, model(images, training=True), None)
    for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
        assert gradient is not None and np.any(ops.convert_to_numpy(gradient) != 0), variable.path


@every_channel
def test_terms_have_their_shapes_and_their_oracles(make_channel, images):
    model = small(make_channel())
    loc, log_scale = model.encode(images)
    assert loc.shape == log_scale.shape == model.sample(images).shape == (30, D)
    rate, distortion = model.rate(images, batch_size=10), model.distortion(images, batch_size=10)
    assert rate.shape == distortion.shape == (30,)
    if isinstance(model.channel, EchoSample):
        np.testing.assert_allclose(rate, -(log_scale + np.log(exact_clip(9))).sum(1), rtol=1e-5)
    else:
        np.testing.assert_allclose(rate, (0.5 * (np.exp(2 * log_scale) + loc**2 - 1) - log_scale).sum(1), atol=1e-5)
    x_hat = model.predict(images, verbose=0)
    assert x_hat.shape == images.shape and 0 < x_hat.min() < x_hat.max() < 1


def test_measure_takes_every_example_once_and_keeps_the_order(images):
    model = small(gaussian())
    sizes = []
    rates = model.measure(images, ["rate"], batch_size=8, on_batch=sizes.append)["rate"]
    assert sum(sizes) == 30 and max(sizes) - min(sizes) <= 1 and max(sizes) <= 8
    one_by_one = [model.rate(images[i : i + 1])[0] for i in range(30)]
    np.testing.assert_allclose(rates, one_by_one, atol=1e-5)


def test_averaged_reconstructions_vary_less(images):
    model = small(echo())
    model.set_weights([4 * w for w in model.get_weights()])  # untrained, the noise would hardly show
    single, many = ([model.reconstruct(images, n) for _ in range(6)] for n in (1, 16))
    assert np.std(many, axis=0).mean() < 0.5 * np.std(single, axis=0).mean()


@every_channel
def test_training_lowers_the_loss(make_channel, images):
    history = small(make_channel()).fit(images, batch_size=10, epochs=20, verbose=0).history
    assert set(history) == {"rate", "distortion", "neg_elbo", "loss"}
    assert history["loss"][-1] < history["loss"][0] - 2


@every_channel
def test_model_survives_saving_with_its_training_state(make_channel, images, tmp_path):
    model = small(make_channel(), beta=0.5, penalties=[Shrink()])
    model.fit(images, batch_size=10, verbose=0)
    model.adapt(images) if isinstance(model.channel, EchoSample) else None
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.channel.get_config() == model.channel.get_config()
    assert (loaded.beta, len(loaded.penalties)) == (0.5, 1)
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables):
        np.testing.assert_array_equal(ops.convert_to_numpy(mine), ops.convert_to_numpy(theirs))
    np.testing.assert_allclose(loaded.rate(images), model.rate(images), rtol=1e-6)
    assert loaded.generate(3).shape == (3, 8, 8, 1)
    assert loaded.fit(images, batch_size=10, verbose=0).history["loss"][0] > 0


def test_generate_decodes_draws_from_the_marginal(images):
    vae, echo_model = small(gaussian()), small(echo())
    vae.build(images.shape)
    assert vae.generate(4).shape == (4, 8, 8, 1)
    with pytest.raises(ValueError, match="adapt"):
        echo_model.generate(4)
    echo_model.adapt(images)
    assert echo_model.generate(4).shape == (4, 8, 8, 1)


def test_pool_serves_a_single_example_also_after_an_earlier_prediction(images):
    model = small(echo())
    model.predict(images, verbose=0)
    model.adapt(images)
    assert model.sample(images[:1]).shape == (1, D)
    assert model.predict(images[:1], verbose=0).shape == (1, 8, 8, 1)
    assert np.isfinite(model.evaluate(images[:1], verbose=0)[0])


def test_mixed_precision_keeps_rate_and_distortion_in_float32(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small(echo())
        terms = model(images)
        assert {name: keras.backend.standardize_dtype(value.dtype) for name, value in terms.items()} == dict.fromkeys(
            terms, "float32"
        )
        assert model.encoder.layers[1].compute_dtype == "bfloat16"
        grey = np.full((4, 8, 8, 1), 1 / 255, "float32")  # which bfloat16 would round
        model = small(GaussianSample(), marginal=VampPrior(5, start="mean_image"), distortion="squared_error")
        output = np.asarray(model(grey)["reconstruction"], np.float64)
        assert np.isfinite(model.evaluate(grey, verbose=0)[0]) and output.dtype == np.float64
        seen = []
        model.measure_of_distortion.of_each_element = lambda x, output: seen.append(np.asarray(x)) or ops.square(x - output)
        model(grey)
        np.testing.assert_array_equal(seen[0], grey)
    finally:
        keras.config.set_dtype_policy("float32")


def test_regularizers_of_the_parts_count():
    x = keras.Input((5,))
    encoder = keras.Model(x, [keras.layers.Dense(D)(x), keras.layers.Dense(D)(x)])
    decoder = keras.Sequential([keras.Input((D,)), keras.layers.Dense(5, kernel_regularizer=keras.regularizers.L2(2.0))])
    model = RateDistortionAutoencoder(encoder, GaussianSample(), decoder, distortion="squared_error", beta=0.0)
    model.compile()
    found = model.evaluate(np.zeros((20, 5), "float32"), verbose=0, return_dict=True)
    assert found["loss"] - found["distortion"] == pytest.approx(2 * np.sum(np.asarray(decoder.weights[0]) ** 2), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"distortion": "bernouli"}, "distortion"), ({"beta": -1}, "beta"), ({"marginal": StandardNormal()}, "marginal")],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        small(EchoSample(), **settings)


def test_a_channel_that_adds_its_rate_itself_is_refused():
    with pytest.raises(ValueError, match="beta belongs to the autoencoder"):
        small(EchoSample(beta=0.5))


def test_a_loss_and_weights_that_would_be_ignored_are_refused(images):
    model = small(gaussian())
    model.fit(images, images, verbose=0)  # targets, as for other autoencoders, do no harm
    with pytest.raises(ValueError, match="leave loss='mse' out"):
        model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="leave it out"):
        model.fit(images, images, sample_weight=np.ones(len(images)), verbose=0)


def test_xla_is_off_on_a_cpu_unless_asked_for():
    model = small(GaussianSample())
    assert model.jit_compile is False
    model.compile("adam", jit_compile=True)
    assert model.jit_compile is True


@pytest.mark.parametrize(("name", "kernel", "parameters"), [("echo", 4, 1_398_849), ("vae", 5, 1_399_137)])
def test_parameter_counts_are_the_published_ones(name, kernel, parameters):
    model = make_method(name, alemi2018.encoder, lambda **settings: alemi2018.decoder(output_kernel=kernel, **settings))
    model.build((None, 28, 28, 1))
    assert model.count_params() == parameters


def test_network_refuses_images_that_it_cannot_halve_twice():
    with pytest.raises(ValueError, match="divisible by 4"):
        alemi2018.encoder(image_shape=(30, 30, 1))
