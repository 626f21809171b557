from itertools import product

import keras
import numpy as np
import pytest
from scipy import special, stats

from echo_tf.theory import (
    binary_demo,
    blahut_arimoto,
    factorized_optimum,
    gaussian_demo,
    posterior_collapse,
    vae_loss_split,
    wyner_common_information,
)

LN2 = np.log(2.0)


def test_the_binary_demo_is_the_closed_form_at_every_beta():
    table = binary_demo()
    assert len(table) == 30 and (table.gap_nats <= 1e-10).all()
    np.testing.assert_allclose(table.rate_bits, table.closed_form_rate_bits, atol=1e-6)
    expected = np.where(table.beta <= np.log(4), 0.2, 1 / (1 + np.exp(table.beta)))
    np.testing.assert_allclose(table.distortion, expected, atol=1e-6)
    assert (table.rate_bits[table.beta <= np.log(4)] < 1e-6).all()
    np.testing.assert_allclose(binary_demo("nats").rate_nats, table.rate_bits * LN2, atol=1e-12)


def test_the_tutorial_s_table_is_right_but_for_its_first_row():
    shown = binary_demo().iloc[::5]
    assert shown.printed_rate_bits.notna().all() and binary_demo().printed_rate_bits.notna().sum() == 6
    np.testing.assert_allclose(shown.rate_bits, shown.printed_rate_bits, atol=6e-5)
    np.testing.assert_allclose(shown.distortion[1:], shown.printed_distortion[1:], atol=6e-5)
    np.testing.assert_allclose(binary_demo("nats").printed_rate_nats[::5], shown.printed_rate_bits * LN2)
    assert shown.printed_distortion.iloc[0] == 0.2015 and shown.distortion.iloc[0] == pytest.approx(0.2, abs=1e-8)


def test_the_tutorial_s_iteration_stops_where_it_printed():
    # its code: from uniform q, until q changes by less than 1e-6
    p, q, kernel = np.array([0.8, 0.2]), np.array([0.5, 0.5]), np.exp(-0.01 * (1 - np.eye(2)))
    for _ in range(1000):
        channel = q * kernel
        channel /= channel.sum(axis=1, keepdims=True)
        q, before = p @ channel, q
        if np.abs(q - before).max() < 1e-6:
            break
    assert round(float(np.sum(p[:, None] * channel * (1 - np.eye(2)))), 4) == 0.2015


def test_the_gaussian_demo_gives_one_bit_at_a_quarter():
    table = gaussian_demo()
    assert table.rate_bits[0] == pytest.approx(1.0, abs=1e-4) and table.distortion[0] == pytest.approx(0.25, abs=1e-5)
    np.testing.assert_allclose(table.rate_bits, table.closed_form_rate_bits, atol=1e-4)
    wide = gaussian_demo("nats", distortions=1.0, variance=9.0)
    assert wide.rate_nats[0] == pytest.approx(np.log(3), abs=1e-4)


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(8, 4, 4, 1)), rng.uniform(0.05, 0.95, size=(8, 4, 4, 1)), rng.normal(size=(2, 8, 3))


def test_the_parts_of_a_vae_s_loss_are_those_of_keras_and_scipy(outputs):
    x, output, (mean, log_variance) = outputs
    split = vae_loss_split(x, output, mean, log_variance, beta=5.0)
    cross_entropy = keras.ops.convert_to_numpy(keras.losses.binary_crossentropy(x.reshape(8, -1), output.reshape(8, -1)))
    assert split.distortion == pytest.approx(16 * cross_entropy.mean(), rel=1e-5)
    z = mean + np.exp(log_variance / 2) * np.random.default_rng(0).normal(size=(50_000, 8, 3))
    sampled = (stats.norm.logpdf(z, mean, np.exp(log_variance / 2)) - stats.norm.logpdf(z)).sum(axis=2).mean()
    assert split.rate_nats == pytest.approx(sampled, abs=0.02)
    assert split.loss == split.distortion + 5 * split.rate_nats and split.rate_distortion_beta == 0.2
    logits = vae_loss_split(x, np.log(output / (1 - output)), mean, log_variance, logits=True)
    assert logits.distortion == pytest.approx(split.distortion)


def test_gaussian_and_squared_error_losses_are_one_trade_off(outputs):
    x, output, (mean, log_variance) = outputs
    error = ((x - output) ** 2).reshape(8, -1).sum(axis=1).mean()
    squared = vae_loss_split(x, output, mean, log_variance, "squared_error", beta=2.0)
    assert squared.distortion == pytest.approx(error) and squared.squared_error_beta == squared.rate_distortion_beta == 0.5
    gaussian = vae_loss_split(x, output, mean, log_variance, "gaussian", beta=2.0, noise_variance=0.3)
    law = stats.norm(output, np.sqrt(0.3)).logpdf(x).reshape(8, -1).sum(axis=1)
    assert gaussian.distortion == pytest.approx(-law.mean())
    assert gaussian.squared_error_beta == pytest.approx(1 / (2 * 0.3 * 2.0))
    same = vae_loss_split(x, output, mean, log_variance, "gaussian", beta=2.0, noise_variance=0.5)
    assert same.squared_error_beta == squared.squared_error_beta


def test_twenty_nats_are_28_85_bits():
    mean = np.full((1, 10), 2.0)  # KL = 10 * 2² / 2
    split = vae_loss_split(np.zeros((1, 2)), np.full((1, 2), 0.5), mean, np.zeros((1, 10)))
    assert split.rate_nats == 20.0 and split.rate_bits == pytest.approx(28.854, abs=5e-4)


def test_certain_and_right_bits_cost_nothing():
    assert vae_loss_split([[0.0, 1.0]], [[0.0, 1.0]], [[0.0]], [[0.0]])[:3] == (0.0, 0.0, 0.0)


def test_the_linear_and_the_autoregressive_posterior_collapse():
    table = posterior_collapse(betas_vae=(0.5, 1.0, 3.999, 4.0, 5.0))
    assert list(table.columns) == ["decoder", "beta_vae", "rate_nats", "distortion_nats", "neg_elbo_nats"]
    linear = table[table.decoder == "linear"]
    assert (linear.rate_nats[linear.beta_vae >= 4.0] == 0).all() and (linear.rate_nats[linear.beta_vae < 4.0] > 0).all()
    entropy = stats.entropy([0.45, 0.05, 0.05, 0.45])
    own = table[table.decoder == "autoregressive"]
    assert own.neg_elbo_nats.to_numpy() == pytest.approx(entropy)
    assert own.rate_nats.tolist() == pytest.approx([entropy, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("beta_vae", [0.7, 1.0, 1.6])
def test_no_encoder_of_an_autoregressive_decoder_does_better(beta_vae):
    # any encoder q(z|x), with the best prior and the best decoder tables for it, which is p(x|z) itself
    p = np.array([0.45, 0.05, 0.05, 0.45])
    row = posterior_collapse(betas_vae=(beta_vae,)).iloc[0]
    rng = np.random.default_rng(0)
    for sharpness in (0.05, 0.3, 1.0) * 50:
        joint = p[:, None] * rng.dirichlet(np.full(4, sharpness), size=4)
        marginal = joint.sum(axis=0)
        rate = stats.entropy(p) + stats.entropy(marginal) - stats.entropy(joint.ravel())
        distortion = stats.entropy(joint.ravel()) - stats.entropy(marginal)
        assert distortion + beta_vae * rate >= row.distortion_nats + beta_vae * row.rate_nats - 1e-9


@pytest.mark.parametrize("disagreement", [0.0, 0.1, 0.3])
def test_a_factorized_decoder_needs_wyner_s_common_information(disagreement):
    p = np.array([1 - disagreement, disagreement, disagreement, 1 - disagreement]) / 2
    information = 2 * LN2 - stats.entropy(p)
    rate, distortion = factorized_optimum(1.0, disagreement)
    assert rate + distortion == pytest.approx(stats.entropy(p))
    assert rate == pytest.approx(wyner_common_information(disagreement)) and rate >= information - 1e-12
    if disagreement == 0.0:
        assert rate == pytest.approx(LN2)
    near = factorized_optimum(1.0001, disagreement)  # the limit from above is computed in another way
    assert near[0] == pytest.approx(rate, abs=1e-3) and sum(near) == pytest.approx(stats.entropy(p), abs=1e-6)


@pytest.mark.parametrize(
    ("disagreement", "beta_vae"), [(0.0, 1.999999), (0.1, 1.0), (0.1, 1.7999), (0.4999, 1.0001), (0.3, 1.2)]
)
def test_the_factorized_optimum_is_the_best_of_its_family_to_the_last_digits(disagreement, beta_vae):
    # F by its definition for decoders of chance c and 1 - c, on a fine grid of c
    u = np.linspace(1e-3, 60, 600_001)
    c = special.expit(-u)
    pairs = np.logaddexp(2 * np.log1p(-c) / beta_vae, 2 * np.log(c) / beta_vae) - LN2  # of 00 and 11, z a fair coin
    odd = (np.log1p(-c) + np.log(c)) / beta_vae
    f = -beta_vae * ((1 - disagreement) * pairs + disagreement * odd)
    rate, distortion = factorized_optimum(beta_vae, disagreement)
    assert distortion + beta_vae * rate <= f.min() + 1e-14
    m = 1 - 2 * special.expit(-2 * u[f.argmin()] / beta_vae)
    near = (1 - disagreement) * (LN2 - stats.entropy([(1 - m) / 2, (1 + m) / 2]))
    assert rate == pytest.approx(near, abs=2e-4)


@pytest.mark.parametrize(("disagreement", "beta_vae"), [(0.1, 1.2), (0.1, 1.7), (0.1, 1.8), (0.3, 1.3), (0.0, 1.5), (0.0, 2.0)])
def test_the_factorized_optimum_is_the_least_over_pairs_of_probabilities(disagreement, beta_vae):
    p = np.array([1 - disagreement, disagreement, disagreement, 1 - disagreement]) / 2
    chances = np.linspace(0, 1, 31)
    pairs = np.array(list(product(chances, chances)))
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    with np.errstate(divide="ignore"):
        costs = -np.log(np.where(bits[:, None] == 1, pairs, 1 - pairs)).sum(axis=2)
    point = blahut_arimoto(p, costs, 1 / beta_vae, tolerance=1e-7)
    least = beta_vae * point.rate_plus_beta_distortion
    rate, distortion = factorized_optimum(beta_vae, disagreement)
    loss = distortion + beta_vae * rate
    assert loss <= least + 1e-9  # the grid is part of what the optimum ranges over
    assert loss >= least - 2e-3  # and its points lie close
    assert (rate < 1e-6) == (beta_vae >= 2 * (1 - disagreement))


@pytest.mark.parametrize(
    "call",
    [
        lambda: binary_demo("bit"),
        lambda: binary_demo(betas=[0.0]),
        lambda: gaussian_demo("hartley"),
        lambda: gaussian_demo(distortions=1.0),
        lambda: gaussian_demo(num_points=2.5),
        lambda: gaussian_demo(distortions=1e-4),
        lambda: posterior_collapse(betas_vae=()),
        lambda: posterior_collapse(disagreement=0.5),
        lambda: posterior_collapse(variance=0.0),
        lambda: posterior_collapse(disagreement="often"),
        lambda: vae_loss_split([[2.0]], [[0.5]], [[0.0]], [[0.0]]),
        lambda: vae_loss_split([[1.0]], [[1.5]], [[0.0]], [[0.0]]),
        lambda: vae_loss_split([[1.0]], [[0.5, 0.5]], [[0.0]], [[0.0]]),
        lambda: vae_loss_split([[1.0]], [[0.5]], [[0.0]], [[0.0, 0.0]]),
        lambda: vae_loss_split([[1.0]], [[0.5]], [[0.0]], [[0.0]], "poisson"),
        lambda: vae_loss_split([[1.0]], [[0.5]], [[0.0]], [[0.0]], beta=0.0),
    ],
)
def test_bad_arguments_are_refused_in_one_line(call):
    with pytest.raises(ValueError, match="must .*got") as refused:
        call()
    assert "\n" not in str(refused.value)
