"""Exact curves against closed forms and quadratures, and what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.integrate import quad

from echo_tf.ais import ScaleMixture, Target, blurred, plane
from echo_tf.ais.references import check_linear, grid, linear
from tests.annealed_cases import Linear, dense

IDENTITY = [np.eye(2), np.zeros(2)]


def identity(x, prior=None):
    return Target(dense([2, 2], ["linear"], IDENTITY), np.array([x]), prior, precision="float64")


def log_z_of_identity(x, betas, scale=1.0):
    """log of the integral of N(z; 0, scale^2 I) exp(-beta |x - z|^2) over the plane."""
    spread = 1 + 2 * np.asarray(betas) * scale**2
    return -np.log(spread) - betas * np.sum(np.square(x)) / spread


@pytest.mark.parametrize("x", [(8.0, 0.0), (0.3, -0.2), (30.0, 25.0)])
def test_a_grid_of_the_identity_is_the_closed_form_however_far_the_code_and_high_the_beta(x):
    betas = np.array([36_000.0, 1.0, 10.0, 100.0, 1000.0])
    found = grid(identity(x), betas)
    exact = log_z_of_identity(x, betas)
    if x == (8.0, 0.0):
        assert exact[1:] == pytest.approx([-22.43, -33.52, -37.14, -39.59], abs=0.01)
    assert np.abs(found.log_z[:, 0] - exact).max() < 1e-3 > np.abs(found.log_z[:, 0] - exact - found.error[:, 0]).min() - 1e-3
    assert (np.abs(found.log_z[:, 0] - exact) <= found.error[:, 0] + 1e-6).all() and found.reach == 64
    spread = 1 + 2 * betas  # D = -d log Z / d beta
    assert np.allclose(found.distortion[:, 0], 2 / spread + np.sum(np.square(x)) / spread**2, rtol=2e-3)


@pytest.mark.parametrize("scales", [(10.0, 2.0), (100.0, 50.0)])
def test_a_grid_of_a_linear_decoder_is_the_closed_form(scales):
    case = Linear(latents=2, scales=scales, images=2)
    betas = np.array([30_000.0, 0.1, 8.0, 1000.0])
    log_z, distortion = case.exact(betas)
    found = grid(case.target(), betas)
    assert np.allclose(found.distortion, distortion, atol=2e-3) and np.allclose(found.log_z, log_z, atol=2e-3)


@keras.saving.register_keras_serializable(package="tests")
class Step(keras.layers.Layer):
    """(1 - h + h sigmoid(40 (z1 - 5.7)), z2)."""

    def __init__(self, height, **kwargs):
        super().__init__(**kwargs)
        self.height = height

    def call(self, z):
        first = 1 - self.height + self.height * keras.ops.sigmoid(40 * (z[:, :1] - 5.7))
        return keras.ops.concatenate([first, z[:, 1:]], -1)

    def get_config(self):
        return {**super().get_config(), "height": self.height}


def test_cells_of_low_prior_count_where_they_win_at_a_higher_beta():
    height = 0.1**0.5
    z = keras.Input((2,))
    target = Target(keras.Model(z, Step(height)(z)), np.array([[1.0, 0.0]]))
    betas = np.array([1.0, 300.0, 1000.0])

    def density(z1, beta):
        return np.exp(-(z1**2) / 2 - beta * (height / (1 + np.exp(40 * (z1 - 5.7)))) ** 2) / (2 * np.pi) ** 0.5

    parts = [(-8, 0), (0, 5), (5, 5.7), (5.7, 6.2), (6.2, 9)]
    exact = [np.log(sum(quad(density, *part, args=(b,), epsabs=0)[0] for part in parts)) - np.log1p(2 * b) / 2 for b in betas]
    assert exact[1:] == pytest.approx([-22.39, -23.10], abs=0.005)
    assert np.abs(grid(target, betas).log_z[:, 0] - exact).max() < 2e-3


@pytest.mark.parametrize("weight", [0.01, 0.9])
def test_a_grid_takes_the_normalized_density_of_a_mixture_of_scales(weight):
    x, betas = (0.5, 1.0), np.array([0.1, 1.0, 100.0])
    narrow, wide = log_z_of_identity(x, betas), log_z_of_identity(x, betas, 10.0)
    found = grid(identity(x, ScaleMixture(2, weight)), betas).log_z[:, 0]
    assert np.abs(found - np.logaddexp(np.log1p(-weight) + narrow, np.log(weight) + wide)).max() < 1e-3
    of_each = [
        np.logaddexp(
            np.log1p(-weight) - np.log(1 + 2 * betas) / 2 - betas * value**2 / (1 + 2 * betas),
            np.log(weight) - np.log(1 + 200 * betas) / 2 - betas * value**2 / (1 + 200 * betas),
        )
        for value in x
    ]
    product = grid(identity(x, ScaleMixture(2, weight, density="product")), betas).log_z[:, 0]
    assert np.abs(product - sum(of_each)).max() < 1e-3


def test_a_prior_fitted_too_low_where_an_image_needs_its_codes_costs_more_than_its_divergence():
    tfd = tfp.distributions
    parts = tfd.MultivariateNormalDiag(np.array([[-1.0, 0], [1.0, 0]]), np.full((2, 2), 0.1))
    q, fitted = (tfd.MixtureSameFamily(tfd.Categorical(probs=np.array(p)), parts) for p in ([0.5, 0.5], [0.9, 0.1]))
    under_q, under_fit = (grid(identity((1.0, 0.0), prior), np.array([100.0])).log_z[0, 0] for prior in (q, fitted))
    assert under_q - under_fit == pytest.approx(np.log(5), abs=1e-3)  # 1.609, and KL(q || fitted) is 0.511
    assert 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1) == pytest.approx(0.511, abs=1e-3)


def test_a_decoder_that_hardly_varies_takes_no_more_cells_at_any_beta(monkeypatch):
    decoder, asked = dense([2, 3], ["sigmoid"], [np.zeros((2, 3)), np.zeros(3)]), []
    found = grid(Target(decoder, np.full((2, 3), 0.25)), np.array([1.0, 640.0, 1e4, 1e6]), lambda: asked.append(1))
    assert np.allclose(found.log_z, -3 / 16 * np.array([[1.0, 640.0, 1e4, 1e6]]).T, atol=1e-4)
    assert len(asked) == 1  # one batch of codes


def test_a_grid_can_be_stopped_and_says_what_it_does_not_cover():
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    with pytest.raises(Stop):
        grid(identity((1.0, 0.0)), np.array([1.0]), stop)
    for x, beta in (((70.0, 0.0), 10.0), ((70.0, 0.0), 36_000.0)):
        with pytest.raises(ValueError, match="codes beyond the grid, which covers -64..64|cells of the plane"):
            grid(identity(x), np.array([1.0, beta]))
    z = keras.Input((2,))
    with pytest.raises(ValueError, match=f"more than {plane.MOST:,} cells of the plane count"):  # a thin ring of codes
        grid(Target(keras.Model(z, Length()(z)), np.array([[4.0]])), np.array([1e6]))


@keras.saving.register_keras_serializable(package="tests")
class Length(keras.layers.Layer):
    """z1^2 + z2^2."""

    def call(self, z):
        return keras.ops.sum(z * z, -1, keepdims=True)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Target(dense([3, 5], ["sigmoid"]), np.full((1, 5), 0.5)), "two dimensions, got 3"),
        (lambda: Target(lambda z: z, np.full((1, 2), 0.5), latent_dim=2), "a function, which cannot be made in float64"),
        (lambda: identity((1.0, 0.0), Doubled()), "adds up to 2"),
        (
            lambda: identity((1.0, 0.0), tfp.distributions.Independent(tfp.distributions.Uniform([-1.3] * 2, 1.3), 1)),
            "cells of the plane",
        ),
        (lambda: Target(dense([2, 2], ["exponential"], [1e3 * np.eye(2), np.zeros(2)]), np.ones((1, 2))), "is finite"),
    ],
)
def test_what_a_grid_cannot_do_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        grid(make(), np.array([1.0]))


class Doubled(ScaleMixture):
    def __init__(self):
        super().__init__(2, 0.5)

    def log_prob(self, z):
        return super().log_prob(z) + np.log(2)


def stacked(*layers):
    return keras.Sequential([keras.Input((2,)), *layers])


def functional(operation):
    z = keras.Input((2,))
    return keras.Model(z, operation(keras.layers.Dense(4)(z)))


@pytest.mark.parametrize(
    "decoder, words",
    [
        (lambda: stacked(keras.layers.Dense(4, "sigmoid")), "activation 'sigmoid'"),
        (lambda: stacked(keras.layers.Dense(4), keras.layers.Activation("tanh")), "Activation"),
        (lambda: stacked(keras.layers.Dense(4), keras.layers.ReLU()), "ReLU"),
        (lambda: functional(keras.ops.sigmoid), "Sigmoid"),
        (lambda: functional(lambda h: h * h), "Multiply"),
        (lambda: functional(stacked_of(4, keras.layers.Dense(4, "tanh"))), "activation 'tanh'"),
        (lambda: lambda z: z, "function"),
    ],
)
def test_a_decoder_that_is_not_linear_has_no_closed_form(decoder, words):
    target = Target(decoder(), np.full((1, 2 if words == "function" else 4), 0.5), latent_dim=2, check_range=False)
    with pytest.raises(ValueError, match=words):
        check_linear(target)
    with pytest.raises(ValueError, match="needs a linear decoder"):
        linear(target, np.array([1.0]))


def stacked_of(size, *layers):
    return keras.Sequential([keras.Input((size,)), *layers])


def test_chains_of_linear_layers_and_blurs_have_the_closed_form_of_their_product():
    keras.utils.set_random_seed(0)
    z = keras.Input((2,))
    inner = stacked(keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1)))
    for decoder in (keras.Model(z, inner(z)), blurred(inner, 0.8)):
        decoder.layers[-1 if decoder.name != "blurred" else 1].set_weights([3 * np.eye(2, 16), np.linspace(0, 1, 16)])
        target = Target(decoder, np.random.default_rng(0).random((3, 4, 4, 1)), check_range=False)
        betas = np.array([0.5, 30.0, 1000.0])
        assert np.abs(linear(target, betas).log_z - grid(target, betas).log_z).max() < 2e-3


def test_a_linear_decoder_needs_its_own_prior_and_a_quadratic_distortion():
    case = Linear(latents=2, scales=(4.0, 2.0))
    for more, words in (
        ({"prior": ScaleMixture(2, 0.5)}, "ScaleMixture"),
        ({"distortion": lambda x, f: tf.reduce_sum(tf.abs(x - f), -1)}, "CallableDistortion"),
    ):
        with pytest.raises(ValueError, match=words):
            linear(Target(case.decoder("float32"), case.images, **more), np.array([1.0]))
