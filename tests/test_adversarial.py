"""Adversarial networks: their penalties against closed forms, whose gradient goes where, signs of a collapse, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from echo_tf.adversarial import (
    AdversarialAutoencoder,
    GenerativeAdversarialNetwork,
    gradient_penalty,
    indicators,
    representation_entropy,
)
from echo_tf.adversarial.collapse import nearest, spread
from echo_tf.adversarial.losses import LOSSES
from models import radford2016, wu2017

SHAPE = {"image_shape": (4, 4, 1), "width": 0.01}


def gan(**more):
    keras.utils.set_random_seed(0)
    model = GenerativeAdversarialNetwork(wu2017.decoder(3, **SHAPE), wu2017.discriminator(**SHAPE), seed=0, **more)
    model.compile(keras.optimizers.Adam(1e-3), discriminator_optimizer=keras.optimizers.Adam(1e-3))
    return model


def aae(heads=2):
    keras.utils.set_random_seed(0)
    encoder = wu2017.encoder(3, **SHAPE, activation="relu")
    encoder = keras.Model(encoder.inputs[0], encoder.outputs[:heads] if heads == 2 else encoder.outputs[0])
    model = AdversarialAutoencoder(encoder, wu2017.decoder(3, **SHAPE), wu2017.discriminator((3,), 0.01), seed=0)
    model.compile(**{name: keras.optimizers.Adam(1e-3) for name in model.parts})
    return model


def images(number=20):
    return np.random.default_rng(0).random((number, 4, 4, 1)).astype(np.float32)


def moved(before, network):
    return [bool(np.any(old != new)) for old, new in zip(before, network.get_weights())]


def test_the_penalty_of_a_linear_discriminator_is_its_closed_form_with_its_gradient():
    layer = keras.layers.Dense(1)
    discriminator = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), layer])
    w = np.random.default_rng(1).normal(size=(16, 1)).astype(np.float32)
    layer.set_weights([w, np.ones(1)])
    with tf.GradientTape() as tape:
        found = gradient_penalty(discriminator, images(), images()[::-1], seed=3)
    norm = np.linalg.norm(w)
    assert float(found) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    assert np.allclose(tape.gradient(found, layer.kernel.value), 2 * (norm - 1) / norm * w, rtol=1e-4)


def test_losses_are_their_definitions():
    real, fake = np.float32([[1.0], [3.0]]), np.float32([[0.5], [-1.0]])
    found, of_wasserstein = LOSSES["non_saturating"], LOSSES["wasserstein"]
    telling = np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean()  # -log D(x) - log(1 - D(f(z)))
    assert float(found.discriminator(tf.constant(real), tf.constant(fake))) == pytest.approx(telling, rel=1e-6)
    assert float(found.generator(tf.constant(fake))) == pytest.approx(np.log1p(np.exp(-fake)).mean(), rel=1e-6)
    assert float(of_wasserstein.discriminator(tf.constant(real), tf.constant(fake))) == pytest.approx(-0.25 - 2.0)
    assert float(of_wasserstein.generator(tf.constant(fake))) == pytest.approx(0.25)


def test_the_penalty_is_taken_between_real_and_fake_examples():
    # of x^2 / 2 the gradient is x itself: between 0 and 3, uniformly, (x - 1)^2 has the mean 1
    model = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(lambda x: x * x / 2)])
    found = gradient_penalty(model, tf.zeros((40_000, 1)), 3 * tf.ones((40_000, 1)), seed=0)
    assert float(found) == pytest.approx(1.0, abs=0.02)
    found = gradient_penalty(model, tf.ones((40_000, 1)), 4 * tf.ones((40_000, 1)), seed=0)  # between 1 and 4 it is 3
    assert float(found) == pytest.approx(3.0, abs=0.05)


def test_spectral_normalization_leaves_the_largest_singular_value_1():
    keras.utils.set_random_seed(0)
    discriminator = radford2016.discriminator((16, 16, 3), 0.05, normalization="spectral")
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    for _ in range(100):
        discriminator(x, training=True)
    layers = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.SpectralNormalization)]
    assert len(layers) == 5
    for layer in layers:
        kernel = np.asarray(layer.layer.kernel)
        assert np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1][0] == pytest.approx(1.0, abs=0.02)


def test_representation_entropy_is_its_definition_on_signs():
    signs = np.array([[1, 1, -1, 1], [1, -1, -1, -1], [-1, -1, 1, -1]])
    of_units = np.mean([np.mean(column) ** 2 for column in signs.T])
    pairs = [abs(signs[k] @ signs[m]) / 4 for k in range(3) for m in range(3) if k != m]
    found = representation_entropy(tf.constant(5.0 * signs, tf.float32), softness=1e-6)
    assert float(found) == pytest.approx(of_units + np.mean(pairs), rel=1e-4)
    assert float(representation_entropy(tf.ones((5, 3)), softness=1e-6)) == pytest.approx(2.0, rel=1e-4)


def test_a_step_of_a_gan_moves_each_network_by_its_own_loss():
    model, x = gan(penalty_weight=1.0), tf.constant(images())
    before, generator = model.discriminator.get_weights(), model.generator.get_weights()
    fakes = model.generator(tf.random.normal((20, 3)))
    model._discriminator_step(x, fakes)
    assert all(moved(before, model.discriminator)) and not any(moved(generator, model.generator))
    model = gan()
    model.discriminator_optimizer.learning_rate = 0.0
    discriminator = model.discriminator.get_weights()
    model.train_step((x,))
    assert not any(moved(discriminator, model.discriminator)) and all(moved(generator, model.generator))


def test_each_part_of_an_aae_gets_its_own_gradient_and_no_other():
    for heads in (1, 2):
        model, x = aae(heads), tf.constant(images())
        for part, own in (
            ("optimizer", (model.encoder, model.decoder)),
            ("discriminator_optimizer", (model.discriminator,)),
            ("encoder_optimizer", (model.encoder,)),
        ):
            for name in ("optimizer", "discriminator_optimizer", "encoder_optimizer"):
                getattr(model, name).learning_rate = 1e-3 if name == part else 0.0
            networks = (model.encoder, model.decoder, model.discriminator)
            before = [network.get_weights() for network in networks]
            model.train_step((x,))
            for network, weights in zip(networks, before):
                assert any(moved(weights, network)) == (network in own), (part, network.name)


def test_the_gradients_of_an_aae_are_those_of_its_three_losses():
    model, x = aae(1), tf.constant(images())
    terms, gradients = model.gradients(x)
    with tf.GradientTape(persistent=True) as tape:
        code = model.encoder(x)
        distortion = tf.reduce_mean(tf.reduce_sum((x - model.decoder(code)) ** 2, [1, 2, 3]))
        passing = tf.reduce_mean(-tf.math.log_sigmoid(model.discriminator(code)))
    assert float(terms["distortion"]) == pytest.approx(float(distortion), rel=1e-5)
    encoding = [v.value for v in model.encoder.trainable_variables]
    for found, expected in zip(gradients["encoder"], tape.gradient(passing, encoding)):
        assert np.allclose(found, expected, atol=1e-6)
    for found, expected in zip(gradients["autoencoder"], tape.gradient(distortion, encoding)):
        assert np.allclose(found, expected, atol=1e-4)


def test_the_discriminator_of_an_aae_learns_to_give_draws_more_than_codes():
    code = keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(5.0))
    encoder = keras.Sequential([keras.Input((3,)), code])
    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model = AdversarialAutoencoder(encoder, keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]), discriminator, seed=0)
    model.compile()
    _, gradients = model.gradients(tf.zeros((400, 3)))
    # of the weights of a logit that is 0: -1/2 the mean of the draws, and 1/2 that of the codes, (5, 5)
    np.testing.assert_allclose(gradients["discriminator"][0][:, 0], 2.5, atol=0.1)


def test_an_aae_s_codes_are_drawn_with_the_scale_of_their_head():
    heads = [
        keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(b)) for b in (2, -1)
    ]
    x = keras.Input((3,))
    networks = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(outputs)]) for outputs in (3, 1))
    model = AdversarialAutoencoder(keras.Model(x, [head(x) for head in heads]), *networks, seed=0)
    codes = np.asarray(model.code(tf.zeros((20_000, 3))))
    assert (codes.mean(), codes.std()) == pytest.approx((2.0, np.exp(-1)), abs=0.01)


def test_a_gan_learns_a_gaussian():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(16, "relu"), layers.Dense(1)])
    hidden = [layers.Dense(32, "relu") for _ in range(2)]
    discriminator = keras.Sequential([keras.Input((1,)), *hidden, layers.Dense(1)])
    model = GenerativeAdversarialNetwork(generator, discriminator, penalty_weight=0.1, seed=1)
    model.compile(keras.optimizers.Adam(1e-3, 0.5), discriminator_optimizer=keras.optimizers.Adam(1e-2, 0.5))
    x = np.random.default_rng(0).normal(1.5, 0.5, (6400, 1)).astype(np.float32)
    model.fit(x, batch_size=64, epochs=6, verbose=0)
    samples = model.generate(2000)
    assert samples.mean() == pytest.approx(1.5, abs=0.15) and samples.std() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("make", [lambda: gan(penalty_weight=2.0, entropy_weight=0.5), aae])
def test_a_saved_model_is_the_same(make, tmp_path):
    model = make()
    model.fit(images(), batch_size=10, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    z = np.ones((2, 3), np.float32)
    assert np.array_equal(model.decoder(z), loaded.decoder(z)) and loaded.get_config().keys() == model.get_config().keys()
    loaded.fit(images(), batch_size=10, verbose=0)


@pytest.mark.parametrize("normalization", radford2016.NORMALIZATIONS)
def test_a_dcgan_takes_a_step_and_stays_within_its_range(normalization):
    keras.utils.set_random_seed(0)
    shape = {"image_shape": (16, 16, 3), "width": 0.05}
    weights = {"none": (10.0, 0.0), "batch": (0.0, 0.1), "spectral": (0.0, 0.0)}[normalization]
    networks = radford2016.decoder(5, **shape), radford2016.discriminator(**shape, normalization=normalization)
    model = GenerativeAdversarialNetwork(*networks, "non_saturating", *weights, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), discriminator_optimizer=keras.optimizers.Adam(1e-3))
    x = np.random.default_rng(0).uniform(-1, 1, (20, 16, 16, 3)).astype(np.float32)
    history = model.fit(x, batch_size=10, epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert model.generate(3).shape == (3, 16, 16, 3) and np.abs(model.generate(3)).max() <= 1


def test_the_sizes_of_networks_are_the_papers():
    assert radford2016.decoder(100).count_params() == 100 * 4096 + 16 * (2**19 + 2**17 + 2**15 + 384) + 4 * 1920
    assert wu2017.decoder(10, depth=1).count_params() == 11 * 1024 + 1025 * 784


def test_indicators_of_the_data_themselves_show_no_collapse_and_one_image_over_and_over_shows_it():
    rng = np.random.default_rng(0)
    means = 10 * rng.normal(size=(5, 1, 12))
    draw = [(means + rng.normal(size=(5, n, 12))).reshape(-1, 12) for n in (200, 60, 60)]
    train, test, fresh = draw
    labels = [np.repeat(np.arange(5), n) for n in (200, 60)]
    healthy = indicators(fresh, train, test, *labels)
    assert healthy["signs"] == [] and healthy["covered_classes"] == 5 and healthy["classifier_accuracy_share"] > 0.95
    assert healthy["class_entropy_nats"] == pytest.approx(np.log(5), abs=0.01)
    assert healthy["nearest_sse"] == pytest.approx(healthy["test_nearest_sse"], rel=0.2)
    collapsed = indicators(np.repeat(train[:1], 300, 0) + 1e-3 * rng.normal(size=(300, 12)), train, test, *labels)
    assert len(collapsed["signs"]) == 3 and collapsed["covered_classes"] == 1
    partial = indicators(fresh[:120], train, test, *labels)
    assert "samples cover 2 of 5 classes" in partial["signs"]


def test_samples_of_the_true_law_are_no_collapse_however_many_they_and_the_test_images_are():
    rng = np.random.default_rng(0)
    train, test, samples = (rng.normal(size=(n, 2)) for n in (1000, 50, 2000))
    for of_samples, of_test in ((2000, 50), (50, 50), (50, 2000)):
        found = indicators(samples[:of_samples], train, np.concatenate([test, samples[::-1]])[:of_test])
        assert found["signs"] == []
        assert found["distinct_nearest_share"] == pytest.approx(found["test_distinct_nearest_share"], abs=0.15)
    rows = nearest(samples, train).rows.reshape(40, 50)
    shares = [len(set(group)) / 50 for group in rows]
    assert indicators(samples, train, test)["distinct_nearest_share"] == pytest.approx(np.mean(shares))


def test_a_class_that_so_few_samples_miss_by_chance_is_no_sign():
    rng = np.random.default_rng(1)
    labels = [rng.integers(0, 10, n) for n in (500, 100, 20, 400)]
    means = 20 * rng.normal(size=(10, 6))
    train, test, few, many = (means[of] + rng.normal(size=(len(of), 6)) for of in labels)
    found = indicators(few, train, test, *labels[:2])
    p = np.bincount(labels[0]) / 500
    assert found["covered_classes"] == len(set(labels[2])) < 10 and found["signs"] == []
    assert found["missed_classes_by_chance"] == pytest.approx(np.sum((1 - p) ** 20))  # of 20, one is enough
    assert indicators(many[labels[3] != 4], train, test, *labels[:2])["signs"] == ["samples cover 9 of 10 classes"]


def test_spread_and_nearest_are_what_loops_give():
    rng = np.random.default_rng(0)
    a, train = rng.normal(size=(7, 4)), rng.normal(size=(30, 4))
    pairs = [np.sum((a[i] - a[j]) ** 2) for i in range(7) for j in range(7) if i != j]
    assert spread(a) == pytest.approx(np.mean(pairs))
    squared = ((a[:, None] - train[None]) ** 2).sum(-1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echo_tf.adversarial.collapse.AT_ONCE", 8)
        found = nearest(a, train)
    assert np.array_equal(found.rows, squared.argmin(1)) and np.allclose(found.squared, squared.min(1))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: gan(penalty_weight=-1.0), "penalty_weight must be a finite number of 0 or more, got -1.0"),
        (lambda: gan(loss="hinge"), "loss must be one of non_saturating, wasserstein"),
        (
            lambda: GenerativeAdversarialNetwork(wu2017.decoder(3, **SHAPE), wu2017.discriminator((5, 5, 1), 0.01)),
            r"take the generator's images, \(4, 4, 1\), got \(5, 5, 1\)",
        ),
        (
            lambda: GenerativeAdversarialNetwork(
                radford2016.decoder(3, (16, 16, 1), 0.02), radford2016.discriminator((16, 16, 1), 0.02), penalty_weight=1.0
            ),
            "batch normalization",
        ),
        (
            lambda: AdversarialAutoencoder(
                wu2017.encoder(3, **SHAPE), wu2017.decoder(3, **SHAPE), wu2017.discriminator((4,), 0.01)
            ),
            r"the discriminator must take codes \(B, 3\)",
        ),
        (lambda: radford2016.discriminator(normalization="layer"), "normalization must be one of batch, spectral, none"),
        (lambda: radford2016.decoder(3, (20, 20, 3)), "divisible by 16"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_last_batch_of_one_has_no_pairs_and_spoils_nothing():
    one = np.array(representation_entropy(np.array([[1.0, -2.0, 3.0]], "float32")))
    assert one == pytest.approx(1.0, abs=0.01)  # every unit is on, or off, for all examples


def test_what_adversaries_cannot_learn_from_is_refused_in_one_line():
    model, x = gan(), np.zeros((20, 4, 4, 1), "float32")
    one = keras.optimizers.Adam()
    steep = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")])
    refused = {
        "finite numbers": lambda: model.fit(x * np.nan, verbose=0),
        "no loss to validate": lambda: model.fit(x, validation_split=0.5, verbose=0),
        "no loss to evaluate": lambda: model.evaluate(x),
        "an optimizer of its own": lambda: model.compile(one, discriminator_optimizer=one),
        "leave loss='mse' out": lambda: model.compile("adam", loss="mse"),
        "lies in 0..1": lambda: model.fit(255 * np.ones_like(x), verbose=0),
        "one that repeats for ever": lambda: model.fit(tf.data.Dataset.from_tensors(x).repeat(), verbose=0),
        "must give logits, and ends in the activation 'sigmoid'": lambda: GenerativeAdversarialNetwork(model.generator, steep),
    }
    for message, attempt in refused.items():
        with pytest.raises(ValueError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="all else by keyword, got 'mse'"):
        model.compile("adam", "mse")
    with pytest.raises(TypeError, match="got encoder_optimizer"):
        model.compile("adam", encoder_optimizer="adam")
    integers = gan(penalty_weight=1.0).fit((1 + x).astype("uint8"), batch_size=10, verbose=0).history
    assert np.isfinite(integers["gradient_penalty"]).all()


def network(inputs, outputs, **more):
    hidden = keras.layers.Dense(6, "tanh", name="features", **more)
    return keras.Sequential([keras.Input((inputs,)), hidden, keras.layers.Dense(outputs)])


def step(model, x):
    """The change of every weight by a step of gradient descent of rate 1, and what the step reports."""
    model.compile(**{name: keras.optimizers.SGD(1.0) for name in model.parts})
    before = {part: getattr(model, part).get_weights() for part in ("decoder", "discriminator")}
    reported = {name: float(value) for name, value in model.train_step((tf.constant(x),)).items()}
    moved = {part: [a - b for a, b in zip(getattr(model, part).get_weights(), old)] for part, old in before.items()}
    return moved, reported


@pytest.mark.parametrize("kind", ["gan", "gan with BRE", "aae"])
def test_regularizers_of_weights_count_once_in_the_step_of_their_own_network(kind):
    x, found, rate = images()[:, 0, :, 0], {}, 0.05
    for regularizer in (None, keras.regularizers.L2(rate)):
        keras.utils.set_random_seed(0)
        decoder, discriminator = network(3, 4, kernel_regularizer=regularizer), network(3, 1, kernel_regularizer=regularizer)
        if kind == "aae":
            model = AdversarialAutoencoder(network(4, 3), decoder, discriminator, seed=0)
        else:
            discriminator = network(4, 1, kernel_regularizer=regularizer)
            model = GenerativeAdversarialNetwork(decoder, discriminator, entropy_weight=float("BRE" in kind), seed=0)
        kernels = {part: getattr(model, part).get_weights()[0] for part in ("decoder", "discriminator")}
        found[regularizer is None] = step(model, x)
    (with_it, reported), (without, plain) = found[False], found[True]
    # the generator learns by a discriminator that has just moved: of its kernel, only an AAE's step can be compared
    for part in ("discriminator", *(["decoder"] if kind == "aae" else [])):
        expected = -2 * rate * kernels[part]
        np.testing.assert_allclose(with_it[part][0] - without[part][0], expected, atol=1e-5)
    assert np.abs(with_it["decoder"][0] - without["decoder"][0]).max() > 1e-3
    added = rate * sum(np.sum(kernel**2) for kernel in kernels.values())
    if kind == "aae":
        assert reported["loss"] - plain["loss"] == pytest.approx(added, rel=1e-4)
    terms = sum(value for name, value in reported.items() if name in ("discriminator_loss", "generator_loss"))
    assert kind == "aae" or reported["loss"] - terms == pytest.approx(added, rel=1e-4)


def test_regularizers_of_activities_count_for_real_and_generated_examples():
    x = images()[:, 0, :, 0]
    keras.utils.set_random_seed(0)
    discriminator = network(4, 1, activity_regularizer=keras.regularizers.L2(0.3))
    model = GenerativeAdversarialNetwork(network(3, 4), discriminator, seed=0)
    fakes = np.array(model.generator(np.ones((20, 3), "float32")))
    hidden = discriminator.layers[0]
    expected = sum(0.3 * np.sum(np.array(hidden(batch)) ** 2) / 20 for batch in (x, fakes))
    assert float(model.discriminator_terms(x, fakes)[2]) == pytest.approx(expected, rel=1e-5)
