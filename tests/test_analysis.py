from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy import stats

import echo_tf
from echo_tf import analysis, gaussianity
from echo_tf.errors import InputError
from echo_tf.kinds import echo_analysis
from echo_tf.runs import records
from echo_tf.runs.runner import run as run_settings
from tests.small_runs import run, tiny, tools

MIXING = np.array([[0.5, 0.3, 0.1], [0.0, 0.4, 0.3], [0.0, 0.0, 0.5]])
CLIP = echo_tf.exact_clip(99)  # given, as f is not bounded here
BIAS = np.array([0.5, -0.5, 2.0])


def linear_model(channel=None):
    """f(x) = x MIXING, and a scale that does not depend on x."""
    x = keras.Input((3,))
    loc = keras.layers.Dense(3, use_bias=False)
    log_sigmoid = keras.layers.Dense(3, activation="log_sigmoid", kernel_initializer="zeros")
    encoder = keras.Model(x, [loc(x), log_sigmoid(x)])
    loc.set_weights([MIXING])
    log_sigmoid.set_weights([np.zeros((3, 3)), BIAS])
    z = keras.Input((3,))
    decoder = keras.Model(z, keras.layers.Dense(3)(z))
    model = echo_tf.RateDistortionAutoencoder(
        encoder, channel or echo_tf.EchoSample(num_terms=99, clip=CLIP), decoder, distortion="gaussian"
    )
    model.compile("adam")
    return model


@pytest.fixture(scope="module")
def source():
    return np.random.default_rng(1).normal(size=(4000, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def found(source):
    return analysis.analyse(linear_model(), source, samples_per_image=20, noise_batches=400)


def exact_covariance(source):
    """Of sum_l S^l f(x_l) with independent x_l: S is diagonal, and element ij is that of f times sum_l (s_i s_j)^l."""
    s = echo_tf.exact_clip(99) / (1 + np.exp(-BIAS))
    return np.cov((source @ MIXING).T) / (1 - np.outer(s, s))


def gaussian_divergence(covariance):
    """KL(N(0, K) || N(0, diag K)) in nats, the definition of a Gaussian's total correlation."""
    d = len(covariance)
    diagonal = np.diag(np.diag(covariance))
    return 0.5 * (
        np.trace(np.linalg.inv(diagonal) @ covariance) - d + np.log(np.linalg.det(diagonal) / np.linalg.det(covariance))
    )


def test_total_correlation_is_the_divergence_of_a_gaussian_from_its_marginals():
    root = np.random.default_rng(0).normal(size=(4, 4))
    covariance = root @ root.T
    assert gaussianity.total_correlation(covariance) == pytest.approx(gaussian_divergence(covariance), rel=1e-10)
    pair = np.array([[4.0, 1.2], [1.2, 1.0]])
    assert gaussianity.total_correlation(pair) == pytest.approx(-0.5 * np.log(1 - 0.6**2), rel=1e-12)
    constant = np.pad(pair, ((0, 1), (0, 1)))
    assert gaussianity.total_correlation(constant) == pytest.approx(gaussianity.total_correlation(pair))


def test_covariance_comes_out_of_summed_products():
    x = np.random.default_rng(0).normal(5, 1, (50, 3))
    with_one = np.concatenate([np.ones((50, 1)), x], axis=1)
    np.testing.assert_allclose(gaussianity.covariance_of(with_one.T @ with_one), np.cov(x.T, bias=True), rtol=1e-9)


def test_total_correlation_of_echo_noise_is_that_of_its_known_covariance(found, source):
    expected = gaussian_divergence(exact_covariance(source))
    error = found["total_correlation_noise_standard_error_nats"]
    assert 0 < error < 0.02 * expected
    assert abs(found["total_correlation_noise_nats"] - expected) < 4 * error
    assert found["total_correlation_draws"] == 40_000


def test_noise_and_code_have_one_total_correlation(found):
    difference = found["total_correlation_code_minus_noise_nats"]
    assert abs(difference) < 4 * found["total_correlation_code_minus_noise_standard_error_nats"]
    separate = found["total_correlation_code_nats"] - found["total_correlation_noise_nats"]
    assert difference == pytest.approx(separate, abs=1e-12)


def test_the_code_s_total_correlation_is_that_of_its_known_covariance_where_scales_differ():
    rng = np.random.default_rng(0)
    loc = rng.normal(size=(2000, 2)) @ np.linalg.cholesky([[1.0, 0.9], [0.9, 1.0]]).T
    scale = np.array([0.5, 0.9])  # with exp(2 log s), 0.19 nats in place of 0.24
    log_scale = np.tile(np.log(scale), (len(loc), 1)).astype(np.float32)
    channel = SimpleNamespace(num_terms=99, scheme="permutation")
    found = analysis._total_correlations(loc.astype(np.float32), log_scale, channel, 200, 100, rng, lambda: None)
    error = found["total_correlation_code_standard_error_nats"]
    expected = gaussian_divergence(np.cov(loc.T) / (1 - np.outer(scale, scale)))
    assert error < 0.01 and abs(found["total_correlation_code_nats"] - expected) < 4 * error


def test_binned_density_is_that_of_scipy_s_scott_kernel():
    sample = np.random.default_rng(0).gamma(2.0, size=400)
    low, width = sample.min() - 1, 1e-3
    counts = np.bincount(((sample - low) / width).astype(int), minlength=20_000)
    grid = np.linspace(-1, 10, 60)
    oracle = stats.gaussian_kde(sample, "scott")
    bandwidth = sample.std(ddof=1) * len(sample) ** -0.2
    ours = gaussianity.binned_density(counts, low, width, bandwidth, grid)
    np.testing.assert_allclose(ours, oracle(grid), atol=1e-4 * oracle(grid).max())


def test_marginals_have_the_moments_and_the_shape_of_their_law(found, source):
    expected = np.sqrt(np.diag(exact_covariance(source)))
    shown = found["shown_dimension"]
    np.testing.assert_allclose(found["shown_std"], expected[shown], rtol=0.02)
    np.testing.assert_allclose(found["shown_bandwidth"], found["shown_std"] * 80_000**-0.2, rtol=1e-5)
    assert found["density_codes"] == 80_000
    for at, density, std in zip(found["density_at"], found["density"], expected[shown]):
        assert np.trapezoid(density, at) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(density, stats.norm(0, std).pdf(at), atol=0.05 / std)  # sums of Gaussians are Gaussian


def test_rates_of_dimensions_are_minus_the_log_of_their_scales(found):
    expected = -np.log(echo_tf.exact_clip(99) / (1 + np.exp(-BIAS)))
    np.testing.assert_allclose(found["dimension_rate_nats"], expected, rtol=1e-5)
    assert list(found["shown_dimension"]) == list(np.argsort(-expected))


def test_nine_highest_three_low_in_use_and_the_lowest_are_shown():
    rates = np.array([0.18, 0.18001, *np.linspace(0.3, 2, 14), 0.1795])
    assert list(gaussianity.dimensions_shown(rates, 0.1795)) == [*range(15, 6, -1), 4, 3, 2, 16]
    few_used = np.array([0.18] * 5 + list(np.linspace(1, 2, 10)))
    assert set(gaussianity.dimensions_shown(few_used, 0.18)) >= set(range(5, 15))


def test_anderson_darling_accepts_a_gaussian_and_rejects_a_uniform():
    rng = np.random.default_rng(0)
    rejected = [np.greater(*gaussianity.anderson_darling(rng.normal(3, 2, 200))) for _ in range(400)]
    assert 0.02 < np.mean(rejected) < 0.09  # 5 % by construction
    statistic, critical = gaussianity.anderson_darling(rng.random(200))
    assert statistic > critical
    # the statistic's definition, and the critical value of D'Agostino and Stephens for n = 200
    x = np.sort(rng.normal(size=200))
    log = stats.norm((x.mean()), x.std(ddof=1)).logcdf(x), stats.norm(x.mean(), x.std(ddof=1)).logsf(x)
    by_hand = -200 - np.sum((2 * np.arange(1, 201) - 1) * (log[0] + log[1][::-1])) / 200
    assert gaussianity.anderson_darling(x) == (pytest.approx(by_hand), pytest.approx(0.749, abs=5e-4))


def test_gaussian_codes_pass_and_others_fail(found):
    assert (found["anderson_darling_statistic"] < 2).all()  # the source is Gaussian, and so is its noise
    rng = np.random.default_rng(0)
    mixed = gaussianity.gaussianity_of(np.stack([rng.normal(size=2000), rng.random(2000)], axis=1), 200)
    rejected = mixed["anderson_darling_statistic"] > mixed["anderson_darling_critical"]
    assert list(rejected) == [False, True]
    share = mixed["anderson_darling_rejected_small_fraction"]
    assert share[0] <= 0.3 < 0.7 <= share[1] and mixed["anderson_darling_samples_small"] == 10


def test_tested_codes_are_those_of_the_channel_and_likelihoods_means_over_codes(monkeypatch):
    monkeypatch.setattr(analysis, "gaussianity_of", lambda codes, small: codes)
    loc, log_scale = np.ones((6, 2), np.float32), np.full((6, 2), np.log(0.4), np.float32)  # alike, so that noise is a number
    codes = analysis._gaussian_tests(loc, log_scale, 3, np.random.default_rng(0), lambda: None)
    np.testing.assert_allclose(codes, 1 + 0.4 * (1 + 0.4 + 0.4**2), rtol=1e-6)
    model = SimpleNamespace(measure=lambda x, *_: {"distortion": x[:, 0]})
    found = analysis._pointwise(model, np.float32([[3.0], [1.0], [2.0]]), loc[:3], log_scale[:3], 3, lambda: None)
    np.testing.assert_allclose(found["log_likelihood_nats"], [-3.0, -2.0, -1.0], rtol=1e-6)
    assert found["total_intensity"].tolist() == [3.0, 2.0, 1.0]


def test_the_pointwise_rate_is_the_model_s_rate_and_images_rise_in_likelihood(found, source):
    model = linear_model()
    order = found["image"]
    assert sorted(order) == list(range(len(source)))
    np.testing.assert_allclose(found["pointwise_rate_nats"], model.rate(source)[order], rtol=1e-5)
    np.testing.assert_allclose(found["loc_norm"], np.linalg.norm(source @ MIXING, axis=1)[order], rtol=1e-4)
    assert (np.diff(found["log_likelihood_nats"]) >= 0).all()


def test_the_same_seed_gives_the_same_numbers(source):
    one, other = (
        analysis.analyse(linear_model(), source[:300], samples_per_image=3, noise_batches=20, seed=5) for _ in range(2)
    )
    for name in ("total_correlation_noise_nats", "density", "anderson_darling_statistic"):
        np.testing.assert_array_equal(one[name], other[name])


def test_storing_and_reading_is_exact_and_small_and_damage_is_refused(found, tmp_path):
    path = tmp_path / "a.analysis.npz"
    records.write_arrays(path, found)
    again = records.read_arrays(path)
    assert set(again) == set(found) and path.stat().st_size < 500_000
    for name, value in found.items():
        np.testing.assert_array_equal(again[name], value)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read"):
        records.read_arrays(path)
    np.savez(path, density=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        records.read_arrays(path)


@pytest.mark.parametrize("channel", [echo_tf.GaussianSample(), echo_tf.EchoSample()])
def test_models_without_a_given_echo_channel_are_refused(channel, source):
    with pytest.raises(InputError, match="num_terms"):
        analysis.analyse(linear_model(channel), source[:100])


@pytest.fixture
def quick_analysis(monkeypatch):
    monkeypatch.setattr(analysis, "analyse", partial(analysis.analyse, samples_per_image=2, noise_batches=20))


def test_an_analysis_of_a_trained_model_stores_its_arrays_and_says_its_key_numbers(tmp_path, quick_analysis):
    settings = echo_analysis.Settings(study="more", model=tiny())
    with pytest.raises(InputError, match="needs the run tests/tiny/echo/beta1_seed0_none first"):
        run_settings(settings, tools(tmp_path))
    run(tmp_path)
    result, existed = run_settings(settings, tools(tmp_path))
    stored = result.arrays("analysis")
    assert not existed and result.path == tmp_path / "results/runs/more/tiny/echo/beta1_seed0_none_echo_analysis.json"
    assert result.record["analysis"]["total_correlation"]["noise_nats"] == stored["total_correlation_noise_nats"]
    assert result.record["data"]["variant"] == "bars" and run_settings(settings, tools(tmp_path))[1]
    (tmp_path / "work/tests/tiny/echo/beta1_seed0_none/model.keras").unlink()
    again = settings.model_copy(update={"name": "again"})
    with pytest.raises(InputError, match="has a record, but no .*--again"):
        run_settings(again, tools(tmp_path))
    before = records.read_all(tmp_path / "results", "tests")[0].record
    run_settings(tiny(), tools(tmp_path), again=True)
    assert records.read_all(tmp_path / "results", "tests")[0].record == before  # the record stays
    assert run_settings(again, tools(tmp_path))[0].finished


def test_the_analysis_that_an_old_record_carries_is_taken_over(tmp_path):
    run(tmp_path)
    [training] = records.read_all(tmp_path / "results")
    numbers = {"total_correlation": dict.fromkeys(echo_analysis.CORRELATIONS, 3.0)}
    numbers["anderson_darling"] = dict.fromkeys(echo_analysis.MARGINALS, 3)
    records.write(training.path, {**training.record, "analysis": {"file": "beta1_seed0_none.analysis.npz", **numbers}})
    records.write_arrays(training.path.with_name("beta1_seed0_none.analysis.npz"), {"here": np.arange(3)})
    result, _ = run_settings(echo_analysis.Settings(study="more", model=tiny()), tools(tmp_path))
    assert result.record["analysis"] == numbers and result.record["taken_from"] == "tests/tiny/echo/beta1_seed0_none"
    np.testing.assert_array_equal(result.arrays("analysis")["here"], np.arange(3))


@pytest.mark.parametrize("settings", [{"method": "vae"}, {"eval_noise": "pool"}])
def test_analysis_is_of_echo_on_test_batches(settings):
    with pytest.raises(ValueError, match="needs method=echo and eval_noise=batch"):
        echo_analysis.Settings(study="more", model=tiny(**settings))
