import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import ops

from echo_tf import EchoSample, FlowSample, GaussianSample, StandardNormal, echo_noise, exact_clip, half, tanh16
from echo_tf.marginals import GaussianMixture

tfd = tfp.distributions


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture
def gaussian():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(5, 4)), 0.5 * rng.normal(size=(5, 4))]


def repeated(encodings, times):
    """The encodings, (times, B, d): many draws in one call."""
    return [np.broadcast_to(x, (times, *x.shape)).copy() for x in encodings]


def test_gaussian_code_has_its_mean_and_scale(gaussian):
    codes = numpy(GaussianSample(seed=0, dtype="float64")(repeated(gaussian, 4000)))
    np.testing.assert_allclose(codes.mean(0), gaussian[0], atol=6 * np.exp(gaussian[1]).max() / np.sqrt(4000))
    np.testing.assert_allclose(codes.std(0), np.exp(gaussian[1]), rtol=0.06)


def test_gaussian_rate_is_the_kl_divergence_of_tfp(gaussian):
    loc, log_scale = gaussian
    expected = tfd.kl_divergence(
        tfd.MultivariateNormalDiag(loc, np.exp(log_scale)), tfd.MultivariateNormalDiag(np.zeros(4), np.ones(4))
    )
    found = GaussianSample(dtype="float64").rate(gaussian)
    np.testing.assert_allclose(numpy(found), expected.numpy(), rtol=1e-12)


def test_rate_against_another_marginal_averages_to_its_kl_divergence(gaussian):
    wide = tfd.MultivariateNormalDiag(np.full(4, 0.3), np.full(4, 1.7))
    channel = GaussianSample(seed=1, dtype="float64")
    inputs = [x.reshape(-1, 4) for x in repeated(gaussian, 3000)]
    draws = numpy(channel.rate(inputs, channel.draw(inputs), wide)).reshape(-1, 5)
    expected = tfd.kl_divergence(tfd.MultivariateNormalDiag(gaussian[0], np.exp(gaussian[1])), wide).numpy()
    np.testing.assert_array_less(np.abs(draws.mean(0) - expected), 5 * draws.std(0) / np.sqrt(len(draws)))


def test_negative_entropy_is_that_of_tfp(gaussian):
    expected = -tfd.MultivariateNormalDiag(gaussian[0], np.exp(gaussian[1])).entropy().numpy()
    np.testing.assert_allclose(ops.convert_to_numpy(GaussianSample(dtype="float64").negative_entropy(gaussian)), expected)


def test_head_turns_a_log_variance_into_a_log_scale():
    assert float(ops.exp(half(ops.log(9.0)))) == pytest.approx(3.0)


def test_layer_survives_saving(tmp_path):
    inputs = [keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(inputs, GaussianSample(seed=5)(inputs))
    model.save(tmp_path / "model.keras")
    x = [np.ones((2, 3), "float32"), np.zeros((2, 3), "float32")]
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_mixed_precision_computes_in_float32():
    assert GaussianSample(dtype="mixed_bfloat16").compute_dtype == "float32"
    assert StandardNormal(dtype="mixed_bfloat16").compute_dtype == "float32"


def test_echo_rate_of_the_linear_gaussian_channel_is_the_gaussian_formula():
    c, s, d = 0.7, 0.6, 4
    x = np.random.default_rng(3).normal(size=(50, d))
    rate = numpy(EchoSample(num_terms=40, clip=0.9, dtype="float64").rate([c * x, np.full(x.shape, np.log(s / 0.9))]))
    noise_variance = c**2 / (1 - s**2)
    np.testing.assert_allclose(rate, 0.5 * d * np.log(1 + c**2 / (s**2 * noise_variance)))
    np.testing.assert_allclose(rate, -d * np.log(s))


def test_echo_takes_latents_of_any_trailing_shape():
    rng = np.random.default_rng(8)
    inputs = [rng.normal(size=(10, 2, 3, 4)), -rng.random((10, 2, 3, 4))]
    channel = EchoSample()
    assert channel(inputs).shape == (10, 2, 3, 4)
    assert channel.rate(inputs).shape == (10,)
    assert channel.rate_floor == pytest.approx(-24 * np.log(exact_clip(9)))


def test_one_clip_serves_sample_and_rate(encodings):
    loc, log_sigmoid = (x.astype("float32") for x in encodings)
    channel = EchoSample(num_terms=39, seed=3)
    z = numpy(channel([loc, log_sigmoid]))
    log_scale = log_sigmoid + np.log(exact_clip(39))
    np.testing.assert_allclose(numpy(channel.rate([loc, log_sigmoid])), -log_scale.sum(1), rtol=1e-6)
    same_seed = keras.random.SeedGenerator(3)
    noise = numpy(echo_noise(loc, log_scale, 39, seed=same_seed))
    np.testing.assert_allclose(z, loc + np.exp(log_scale) * noise, atol=1e-6)
    multiplied = numpy(EchoSample(num_terms=39, seed=3, multiplicative=True)([loc, log_sigmoid]))
    np.testing.assert_allclose(multiplied, np.exp(z), rtol=1e-5)


def test_without_num_terms_the_clip_follows_the_batch_also_in_a_graph(encodings):
    loc, log_sigmoid = (x.astype("float32") for x in encodings)
    channel = EchoSample()
    spec = tf.TensorSpec((None, 6))
    rate = tf.function(lambda a, b: channel.rate([a, b]), input_signature=[spec, spec])
    for size in (40, 17, 2):
        expected = -(log_sigmoid[:size] + np.log(exact_clip(size - 1))).sum(1)
        np.testing.assert_allclose(numpy(channel.rate([loc[:size], log_sigmoid[:size]])), expected, rtol=1e-5)
        np.testing.assert_allclose(numpy(rate(loc[:size], log_sigmoid[:size])), expected, rtol=1e-5)


def test_layer_computes_in_float32_under_mixed_precision(encodings):
    channel = EchoSample(num_terms=10, dtype="mixed_bfloat16")
    assert channel([x.astype("float32") for x in encodings]).dtype == "float32"


def test_a_batch_of_one_needs_a_pool(encodings):
    loc, log_sigmoid = (x.astype("float32") for x in encodings)
    channel = EchoSample(num_terms=20)
    with pytest.raises(ValueError, match="adapt"):
        channel([loc[:1], log_sigmoid[:1]])
    with pytest.raises(ValueError, match="adapt"):
        channel.sample_marginal(3)
    channel.adapt([loc, log_sigmoid])
    z = [numpy(channel([loc[:1], log_sigmoid[:1]])) for _ in range(2)]
    assert z[0].shape == (1, 6) and np.any(z[0] != z[1])
    with pytest.raises(ValueError, match="pool"):
        EchoSample(noise_source="pool")([loc, log_sigmoid])


@pytest.mark.parametrize("num_terms", [20, None])
def test_in_a_graph_of_any_batch_size_a_single_example_takes_its_noise_from_the_pool(encodings, num_terms):
    loc, log_sigmoid = (x.astype("float32") for x in encodings)
    channel = EchoSample(num_terms=num_terms)
    channel.adapt([loc, log_sigmoid])
    spec = tf.TensorSpec((None, 6))
    code, rate = (tf.function(lambda a, b, f=f: f([a, b]), input_signature=[spec, spec]) for f in (channel, channel.rate))
    codes = np.concatenate([numpy(code(loc[:1], log_sigmoid[:1])) for _ in range(400)])
    expected = np.concatenate([numpy(channel([loc[:1], log_sigmoid[:1]])) for _ in range(400)])  # eager: of a known size
    error = np.hypot(codes.std(0), expected.std(0)) / np.sqrt(400)
    assert codes.std(0).min() > 0 and np.all(np.abs(codes.mean(0) - expected.mean(0)) < 5 * error)
    for size in (1, 2, 40):
        eager = numpy(channel.rate([loc[:size], log_sigmoid[:size]]))
        np.testing.assert_allclose(numpy(rate(loc[:size], log_sigmoid[:size])), eager, rtol=1e-5)
        assert code(loc[:size], log_sigmoid[:size]).shape == (size, 6)


def test_marginal_samples_have_the_law_of_the_code():
    rng = np.random.default_rng(9)
    loc = np.tanh(rng.normal(size=(5000, 2)) @ [[1, 0.8], [0, 0.6]])
    log_sigmoid = -0.2 - 0.5 * np.abs(loc)
    channel = EchoSample(num_terms=99, noise_source="pool", dtype="float64")
    channel.adapt([loc, log_sigmoid])
    code, marginal = numpy(channel([loc, log_sigmoid])), numpy(channel.sample_marginal(5000))
    np.testing.assert_allclose(code.mean(0), marginal.mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(code.T), np.cov(marginal.T), rtol=0.12)


def test_layer_keeps_its_settings_and_its_pool_when_saved(tmp_path, encodings):
    loc, log_sigmoid = (x.astype("float32") for x in encodings)
    inputs = [keras.Input((6,)), keras.Input((6,))]
    channel = EchoSample(num_terms=7, scheme="ring", max_magnitude=2.0, noise_source="pool", multiplicative=True, seed=4)
    model = keras.Model(inputs, channel(inputs))
    channel.adapt([loc, log_sigmoid])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert loaded.get_config() == channel.get_config()
    np.testing.assert_array_equal(numpy(loaded([loc, log_sigmoid])), numpy(channel([loc, log_sigmoid])))
    assert loaded.rate_floor == channel.rate_floor == pytest.approx(-6 * np.log(exact_clip(7, 2.0)))


def test_with_a_beta_the_layer_brings_its_rate_into_the_loss_of_any_model(tmp_path, encodings):
    loc, log_sigmoid = (x.astype("float32") for x in encodings)
    inputs = [keras.Input((6,)), keras.Input((6,))]
    model = keras.Model(inputs, EchoSample(num_terms=7, beta=0.5)(inputs))
    rate = -np.mean(np.sum(np.log(exact_clip(7)) + log_sigmoid, axis=1))
    model.save(tmp_path / "model.keras")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        each.compile()  # no other loss
        measured = each.evaluate([loc, log_sigmoid], batch_size=len(loc), return_dict=True)
        assert measured["loss"] == pytest.approx(0.5 * rate, rel=1e-5)
        assert measured["rate"] == pytest.approx(rate, rel=1e-5)


def test_rate_of_placeholders_is_refused_with_what_to_do_instead():
    with pytest.raises(ValueError, match="beta=..."):
        EchoSample(num_terms=7).rate([keras.Input((6,)), keras.Input((6,))])


def of_one_code(log_sigmoid, n=10, **settings):
    """A pool of one encoding n times, loc 1 and a scale of a half of its clip: the noise is a number, not random."""
    channel = EchoSample(num_terms=3, clip=0.5, noise_source="pool", **settings)
    encodings = [np.ones((n, 2), "float32"), np.full((n, 2), log_sigmoid, "float32")]
    channel.adapt(encodings)
    return channel, encodings


def test_the_noise_of_equal_donors_is_a_geometric_sum_of_scales_of_sample_mean_and_marginal_alike():
    channel, encodings = of_one_code(np.log(0.8))  # scale 0.5 * 0.8
    noise = 1 + 0.4 + 0.4**2
    np.testing.assert_allclose(numpy(channel(encodings)), 1 + 0.4 * noise, rtol=1e-6)
    np.testing.assert_allclose(numpy(channel.sample_marginal(3)), noise, rtol=1e-6)
    other = [np.full((1, 2), 3.0, "float32"), np.full((1, 2), np.log(0.2), "float32")]
    np.testing.assert_allclose(numpy(channel(other)), 3 + 0.1 * noise, rtol=1e-6)
    np.testing.assert_allclose(numpy(channel.mean(other)), 3 + 0.1 / (1 - 0.4), rtol=1e-6)
    np.testing.assert_allclose(numpy(channel.rate(other)), [-2 * np.log(0.1)], rtol=1e-6)
    multiplied, _ = of_one_code(np.log(0.8), multiplicative=True)
    np.testing.assert_allclose(numpy(multiplied.sample_marginal(3)), np.exp(noise), rtol=1e-6)
    np.testing.assert_allclose(numpy(multiplied.mean(other)), np.exp(3 + 0.1 / 0.6), rtol=1e-6)


def test_the_standardized_map_starts_from_codes_with_the_clip_in_their_scale():
    channel, encodings = of_one_code(np.log(0.8), standardize=True)
    channel.start_from(encodings)  # its noise is of the encodings themselves, and these of one law
    np.testing.assert_allclose(numpy(channel.standardization.mean), 1 + 0.4 * (1 + 0.4 + 0.4**2), rtol=1e-6)
    np.testing.assert_allclose(numpy(channel(encodings)), 0, atol=1e-6)


@pytest.mark.parametrize("num_terms", [99, None])
def test_the_clip_is_that_of_the_bound_on_loc_and_of_the_terms_of_the_batch_or_of_the_pool(num_terms):
    inputs = [np.zeros((100, 2), "float32"), np.zeros((100, 2), "float32")]
    channel = EchoSample(num_terms=num_terms, max_magnitude=10.0)
    spec = tf.TensorSpec((None, 2))
    rate = tf.function(lambda a, b: channel.rate([a, b]), input_signature=[spec, spec])
    for found in (channel.rate(inputs), rate(*inputs)):
        np.testing.assert_allclose(numpy(found), -2 * np.log(0.817523), rtol=1e-5)  # the released code's clip for M = 10
    channel(inputs)
    channel.adapt(inputs)
    one = [x[:1] for x in inputs]  # it keeps the terms of the batch that the layer was built with
    np.testing.assert_allclose(numpy(channel.rate(one)), -2 * np.log(0.817523), rtol=1e-5)


def test_a_flow_s_code_has_the_density_of_a_change_of_variables():
    channel = FlowSample(2, (8,), mean_only=False, seed=0, dtype="float64")
    channel.build([(None, 3), (None, 3)])
    rng = np.random.default_rng(0)
    channel.set_weights([rng.normal(size=w.shape, scale=0.3) if w.shape and w.ndim else w for w in channel.get_weights()])
    inputs = [rng.normal(size=(5, 3)), 0.3 * rng.normal(size=(5, 3))]
    draw = channel.draw(inputs)
    with tf.GradientTape() as tape:
        base = tf.constant(numpy(draw.base))
        tape.watch(base)
        code = channel.from_base(base).code
    log_det = np.linalg.slogdet(tape.batch_jacobian(code, base).numpy())[1]
    of_base = tfd.MultivariateNormalDiag(inputs[0], np.exp(inputs[1])).log_prob(draw.base).numpy()
    np.testing.assert_allclose(numpy(channel.log_prob(inputs, draw)), of_base - log_det, rtol=1e-8)
    assert np.abs(log_det).max() > 0.1
    wide = tfd.MultivariateNormalDiag(np.zeros(3), np.full(3, 2.0))
    expected = of_base - log_det - wide.log_prob(code).numpy()
    np.testing.assert_allclose(numpy(channel.rate(inputs, draw, wide)), expected, rtol=1e-8)
    np.testing.assert_allclose(numpy(channel.mean(inputs)), numpy(channel.from_base(tf.constant(inputs[0])).code))
    seeds = keras.random.SeedGenerator(0)
    of_z0 = GaussianMixture(*map(ops.convert_to_tensor, inputs), "mixture", seeds)  # a density before the flow
    base = GaussianMixture(of_z0.loc, of_z0.log_scale, "mixture", keras.random.SeedGenerator(0)).sample(4)
    np.testing.assert_allclose(numpy(channel.generate(4, of_z0)), numpy(channel.from_base(base).code))


def test_weights_are_the_ratio_of_the_code_s_density_to_the_marginal_s(gaussian):
    wide = tfd.MultivariateNormalDiag(np.zeros(4), np.full(4, 2.0))
    channel = GaussianSample(seed=0, dtype="float64")
    draw = channel.draw(gaussian)
    own = tfd.MultivariateNormalDiag(gaussian[0], np.exp(gaussian[1]))
    expected = own.log_prob(draw.code).numpy() - wide.log_prob(draw.code).numpy()
    np.testing.assert_allclose(numpy(channel.log_ratio(gaussian, draw, wide)), expected, rtol=1e-9)


def test_heads_are_the_paper_s():
    x = np.array([-64.0, 0.0, 3.0])
    np.testing.assert_allclose(numpy(tanh16(x)), np.tanh(x / 16), rtol=1e-6)
    assert EchoSample.head_activations == (tanh16, keras.activations.log_sigmoid)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EchoSample(num_terms=0), "num_terms"),
        (lambda: EchoSample(scheme="rings"), "scheme"),
        (lambda: EchoSample(clip=1.0), "clip"),
        (lambda: EchoSample(beta=-1.0), "beta"),
        (lambda: EchoSample(noise_source="data"), "noise_source"),
        (lambda: EchoSample()([np.zeros((4, 2)), np.zeros((4, 3))]), "one shape"),
        (lambda: EchoSample()(np.zeros((4, 2))), "two tensors"),
        (lambda: EchoSample()([np.zeros((4, 2)), np.ones((4, 2))]), "log_scale must be <= 0"),
        (lambda: EchoSample().rate_floor, "rate_floor"),
    ],
)
def test_bad_input_of_echo_gets_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    lines = [line for line in str(error.value).splitlines() if re.search(message, line)]
    assert len(lines) == 1  # Keras adds lines of its own around what a layer raises


def test_a_layer_that_checks_within_its_graph_is_not_compiled_by_xla_unasked():
    assert not EchoSample(beta=0.5).supports_jit  # XLA drops the checks, and a last batch of one would give NaN weights
    assert EchoSample().supports_jit
