"""One rule for the library: what squares, takes differences, exponentiates or sums over many is float32 or better."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import echo_tf
from echo_tf.adversarial import AdversarialAutoencoder, GenerativeAdversarialNetwork
from echo_tf.adversarial.losses import LOSSES, gradient_penalty, representation_entropy
from echo_tf.penalties import MaximumMeanDiscrepancy
from echo_tf.structural_similarity import bilinear, dissimilarity
from tests.small_models import autoencoder, bars

RNG = np.random.default_rng(0)
NEAR_300 = 300 + RNG.normal(size=(20, 4))  # whose square is beyond float16, and whose differences bfloat16 rounds away
HEADS = [np.tanh(RNG.normal(size=(20, 4))), -RNG.random((20, 4))]
IMAGES = RNG.random((2, 12, 12, 1))
POLICIES = ("mixed_float16", "mixed_bfloat16")


@pytest.fixture(params=POLICIES)
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def seeded(layer):
    """A layer's call from the same draws every time."""

    def call(*inputs):
        return layer()(inputs[0] if len(inputs) == 1 else list(inputs))

    return call


def with_donors(loc, log_scale):
    return echo_tf.echo_noise(loc, log_scale, indices=np.arange(60).reshape(20, 3) % 20)


# what is computed, of what; inputs are rounded to half precision first, so that nothing but the computation may differ
COMPUTED = {
    "EchoSample": (seeded(lambda: echo_tf.EchoSample(num_terms=9, seed=0)), HEADS),
    "echo_noise": (with_donors, HEADS),
    "rate of Echo": (lambda *x: echo_tf.EchoSample(num_terms=9).rate(list(x)), HEADS),
    "GaussianSample": (seeded(lambda: echo_tf.GaussianSample(seed=0)), HEADS),
    "KL": (lambda *x: echo_tf.GaussianSample().rate(list(x)), HEADS),
    "StandardNormal": (lambda z: echo_tf.StandardNormal()(z), [NEAR_300]),
    "GDN": (lambda x: echo_tf.GDN()(x), [NEAR_300]),
    "IGDN": (lambda x: echo_tf.IGDN()(x), [NEAR_300]),
    "Bernoulli": (lambda x, y: echo_tf.Bernoulli()(x, y), HEADS),
    "Gaussian": (lambda x, y: echo_tf.Gaussian(variance=1e-3)(x, y), HEADS),
    "SquaredError": (lambda x, y: echo_tf.SquaredError()(x, y), [NEAR_300, 0 * NEAR_300]),
    "a function": (
        lambda x, y: echo_tf.CallableDistortion(lambda a, b: ops.sum(ops.square(a - b), 1))(x, y),
        [NEAR_300, 0 * NEAR_300],
    ),
    "SSIM": (lambda x, y: echo_tf.StructuralDissimilarity()(x, y), [IMAGES, 1 - IMAGES]),
    "dissimilarity": (dissimilarity, [IMAGES, 1 - IMAGES]),
    "bilinear": (bilinear, [IMAGES, IMAGES, IMAGES]),
    "MMD": (lambda z: MaximumMeanDiscrepancy(seed=0)(z), HEADS[:1]),
    "discrepancy": (lambda a, b: MaximumMeanDiscrepancy().discrepancy(a, b), [NEAR_300, NEAR_300[::-1] - 1]),
    "BRE": (representation_entropy, HEADS[:1]),
    "non-saturating": (LOSSES["non_saturating"].discriminator, HEADS),
    "wasserstein": (LOSSES["wasserstein"].generator, [NEAR_300]),
    "Bias": (lambda x: echo_tf.Bias()(x), [NEAR_300]),
}


@pytest.mark.parametrize("what", COMPUTED)
def test_numbers_of_half_precision_give_what_they_give_in_float32(what, policy):
    function, values = COMPUTED[what]
    half = [ops.cast(value, policy.removeprefix("mixed_")) for value in values]
    found = function(*half)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    keras.config.set_dtype_policy("float32")
    expected = function(*(ops.cast(value, "float32") for value in half))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(found).all()


def test_a_penalty_takes_real_and_generated_examples_of_two_precisions(policy):
    layer = keras.layers.Dense(1)
    discriminator = keras.Sequential([keras.Input((4,)), layer])
    layer.set_weights([np.full((4, 1), 0.5), np.zeros(1)])  # a gradient of norm 1
    real = np.ones((20, 4), "float32")
    found = gradient_penalty(discriminator, real, ops.cast(0.5 * real, layer.compute_dtype), seed=0)
    assert found.dtype == "float32" and float(found) == pytest.approx(0, abs=1e-6)


def dense(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(outputs)])


def trained(make):
    """By how much a step of gradient descent moves each kernel and bias of a model from seed 0."""
    keras.utils.set_random_seed(0)
    model = make()
    optimizers = {name: keras.optimizers.SGD(0.01) for name in getattr(model, "parts", ["optimizer"])}
    if (
        model.dtype_policy.name == "mixed_float16"
    ):  # at Keras's first scale, 2^15, large gradients are inf, and the step left out
        optimizers = {name: keras.optimizers.LossScaleOptimizer(one, 2**8) for name, one in optimizers.items()}
    model.compile(**optimizers)
    before = [np.array(variable) for variable in model.trainable_variables]
    history = model.fit(2 * bars(20) - 1, batch_size=20, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    return [np.array(variable) - old for variable, old in zip(model.trainable_variables, before)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: GenerativeAdversarialNetwork(dense(3, 12), dense(12, 1), penalty_weight=1.0, seed=0),
        lambda: AdversarialAutoencoder(dense(12, 3), dense(3, 12), dense(3, 1), seed=0),
        lambda: autoencoder(echo_tf.GaussianSample(seed=0), compiled=False, distortion="squared_error"),
    ],
    ids=["GAN", "AAE", "autoencoder"],
)
def test_a_step_in_half_precision_is_that_of_float32(make):
    exact = trained(make)
    for policy in POLICIES:
        keras.config.set_dtype_policy(policy)
        try:
            found = trained(make)
        finally:
            keras.config.set_dtype_policy("float32")
        for mine, theirs in zip(found, exact):
            assert np.linalg.norm(mine - theirs) < 0.1 * np.linalg.norm(theirs), policy


def test_in_float16_the_loss_of_every_optimizer_is_scaled_and_in_bfloat16_none():
    for policy, scales in (("mixed_float16", True), ("mixed_bfloat16", False)):
        keras.config.set_dtype_policy(policy)
        try:
            model = AdversarialAutoencoder(dense(12, 3), dense(3, 12), dense(3, 1))
            model.compile()
        finally:
            keras.config.set_dtype_policy("float32")
        for name in model.parts:
            assert isinstance(getattr(model, name), keras.optimizers.LossScaleOptimizer) == scales


@pytest.mark.parametrize("make", [autoencoder, lambda: GenerativeAdversarialNetwork(dense(3, 12), dense(12, 1))])
def test_weights_of_half_precision_are_refused_before_a_training(make):
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("float16")
    try:
        with pytest.raises(ValueError, match="must be of float32 or better, got float16"):
            make().compile()
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def test_a_gradient_in_float16_that_is_too_small_for_it_moves_the_weights():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        keras.utils.set_random_seed(0)
        model = GenerativeAdversarialNetwork(dense(3, 12), dense(12, 1), seed=0)
        model.compile(keras.optimizers.SGD(1.0), discriminator_optimizer=keras.optimizers.SGD(0.0))
        model.discriminator.layers[-1].set_weights([np.full((16, 1), 1e-6), np.zeros(1)])
        before = np.array(model.generator.layers[-1].kernel)
        model.train_step((tf.constant(bars(20)),))
        assert np.abs(np.array(model.generator.layers[-1].kernel) - before).max() > 0
    finally:
        keras.config.set_dtype_policy("float32")
