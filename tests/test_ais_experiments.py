"""Mixture priors, blurred decoders, features, encoders trained per beta, reconstructions: against closed forms and oracles."""

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from echo_tf.ais import GaussianBlur, Plan, Sampler, ScaleMixture, Target, blurred, in_features
from echo_tf.ais.curve import finish, formal_round, preliminary_round
from echo_tf.ais.decoders import blur_matrix
from echo_tf.data import ImageData
from echo_tf.errors import InputError
from echo_tf.figures import annealed, samplers
from echo_tf.kinds import ais, bidirectional, classifier, variational
from echo_tf.kinds._annealing import features_of
from echo_tf.runs import records
from echo_tf.runs.place import model_path
from echo_tf.runs.runner import missing, run
from echo_tf.tables import Material
from echo_tf.tables.annealed_curves import curves, plain
from echo_tf.theory.linear_vae import linear_vae_squared_error
from models import huang2020, wu2017
from tests.annealed_cases import BETTER, Linear, dense
from tests.small_runs import tiny, tools


def test_a_joint_mixture_is_tfp_s_with_its_gradient():
    z = tf.constant(np.random.default_rng(0).normal(0, 4, (50, 3)), tf.float32)
    tfd = tfp.distributions
    components = tfd.MultivariateNormalDiag(tf.zeros((2, 3)), [[1.0] * 3, [10.0] * 3])
    expected = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.7, 0.3]), components)
    found = []
    for density in (ScaleMixture(3, 0.3), expected):
        with tf.GradientTape() as tape:
            tape.watch(z)
            values = density.log_prob(z)
        found.append((values, tape.gradient(values, z)))
    assert np.allclose(found[0][0], found[1][0], atol=1e-4) and np.allclose(found[0][1], found[1][1], atol=1e-4)


def test_a_product_of_mixtures_is_tfp_s_and_gives_no_force():
    z = tf.constant(np.random.default_rng(0).normal(0, 4, (20, 3)), tf.float32)
    tfd = tfp.distributions
    one = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.7, 0.3]), tfd.Normal([0.0, 0.0], [1.0, 10.0]))
    product = ScaleMixture(3, 0.3, density="product")
    assert np.allclose(product.log_prob(z), tf.reduce_sum(one.log_prob(z), -1), atol=1e-4)
    decoder = dense([3, 5], ["sigmoid"])
    point = Target(decoder, np.full((20, 5), 0.5), product).at(z, tf.fill((20, 5), 0.5))
    assert not np.any(point.log_prior_gradient) and np.any(point.distortion_gradient)


def test_draws_of_a_mixture_are_of_one_component_each():
    z = ScaleMixture(200, 0.25, scale=10.0).sample(4000, (1, 2)).numpy()
    wide = z.std(axis=1) > 5
    assert wide.mean() == pytest.approx(0.25, abs=0.03)
    assert z[wide].std() == pytest.approx(10, rel=0.02) and z[~wide].std() == pytest.approx(1, rel=0.02)


def test_a_mixture_costs_no_more_than_the_share_that_it_wastes():
    case, weight = Linear(latents=4, images=6), 0.9
    betas = {}
    for prior in (None, ScaleMixture(4, weight)):
        target = Target(case.decoder("float32"), case.images, prior)
        plan = Plan(800, 8, 5.0, 24, "adapted", 400, Sampler(**BETTER, resample_below=0.5))
        table = finish(preliminary_round(target, plan, 0)).tuned(plan.tuned_for)
        betas[prior is None] = finish(formal_round(target, plan, 1, table)).result()
    more = (betas[True].log_z - betas[False].log_z)[-1].mean()
    # of a linear decoder whose codes are N(0, I), the wide component is worth nothing
    assert more == pytest.approx(-np.log(1 - weight), abs=0.5)


@pytest.mark.parametrize("width", [0.1, 1.0, 5.0])
def test_a_blur_sums_to_one_leaves_a_constant_image_and_is_a_reflected_convolution(width):
    layer, rng = GaussianBlur(width), np.random.default_rng(0)
    assert np.allclose(blur_matrix(9, width).sum(axis=1), 1)
    assert np.allclose(layer(np.full((2, 7, 9, 3), 0.4, np.float32)), 0.4, atol=1e-6)
    image = rng.random((7, 9))
    offsets = np.arange(-2, 3)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * width**2))
    padded = np.pad(image, 2, mode="reflect")
    expected = [[(padded[i : i + 5, j : j + 5] * kernel / kernel.sum()).sum() for j in range(9)] for i in range(7)]
    assert np.allclose(layer(image[None, ..., None].astype(np.float32))[0, ..., 0], expected, atol=1e-5)


def test_a_blurred_decoder_is_the_blur_of_its_images():
    decoder = wu2017.decoder(2, (8, 8, 1), 0.02)
    z = np.ones((3, 2), np.float32)
    assert np.allclose(blurred(decoder, 1.5)(z), GaussianBlur(1.5)(decoder(z)), atol=1e-6)


def test_in_features_equal_images_are_at_no_distance_and_the_gradient_is_finite():
    keras.utils.set_random_seed(0)
    decoder, features = wu2017.decoder(2, (16, 16, 1), 0.02), features_of(huang2020.classifier(10, (16, 16, 1), 0.1))
    z = tf.constant([[0.3, -0.2]])
    target = Target(in_features(decoder, features), np.asarray(features(decoder(z))))
    point = target.at(z, target.images)
    assert float(point.distortion[0]) == pytest.approx(0, abs=1e-9) and np.all(np.isfinite(point.distortion_gradient))
    elsewhere = target.at(z + 1.0, target.images)
    expected = np.sum((features(decoder(z + 1.0)).numpy() - features(decoder(z)).numpy()) ** 2)
    assert float(elsewhere.distortion[0]) == pytest.approx(expected, rel=1e-4)
    assert np.all(np.isfinite(elsewhere.distortion_gradient)) and np.any(elsewhere.distortion_gradient)
    assert huang2020.classifier().get_layer("features").output.shape == (None, 3200)


SMALL = {"num_temperatures": 30, "num_betas": 4, "max_beta": 2, "num_images": 3, "num_chains": 3, "leapfrog_steps": 2}
MODEL = {"network": "wu2017", "width": 0.02, "method": "vae", "distortion": "gaussian", "latent_dim": 2}


def done(given, settings):
    for needed in (*missing(settings, given), settings):
        result, _ = run(needed, given)
    return result


def test_curves_of_changed_models_stand_beside_each_other_and_show_reconstructions(tmp_path):
    given, model = tools(tmp_path), tiny(**{**MODEL, "dataset": "labelled"})
    features = classifier.Settings(study="more", dataset="labelled", width=0.1, epochs=3, batch_size=10)
    changes = {"blur": {"blur": 2.0}, "mixture": {"wide_weight": 0.5}, "f": {"features": features}}
    for label, more in changes.items():
        result = done(given, ais.Settings(study="more", model=model, label=label, **SMALL, **more))
        unit = "feature_sse" if "features" in more else "sse"
        assert f"distortion_{unit}" in result.rows()[0] and ("mixture" in result.record["config"]) == ("wide_weight" in more)
        shown = result.record["reconstructions"]
        assert records.unpack_images(shown["high_rate"]).shape == (3, 16, 16, 1)
    assert done(given, bidirectional.Settings(study="more", betas=(1.0,), num_images=2, model=result.settings)).finished
    every = records.read_all(given.results)
    assert [curve.name for curve in curves(every, every)] == ["VAE, blur", "VAE, f", "VAE, mixture"]
    done(given, ais.Settings(study="curves", model=model, **SMALL))
    annealed.write(Material(given.results, "more", every, records.read_all(given.results)))
    drawn = {path.stem: set(pd.read_csv(path)["curve"]) for path in Path(given.results).glob("figures/more/*annealed.csv")}
    assert sorted(drawn.values(), key=len) == [{"VAE, f"}, {"VAE", "VAE, blur", "VAE, mixture"}]


def test_curves_of_several_studies_stand_on_one_chart_where_nothing_about_them_is_changed():
    model, other = tiny(**MODEL), tiny(**{**MODEL, "latent_dim": 3})
    settings = [
        ais.Settings(study="ais/seeds", model=model, **SMALL, formal_seed=11),
        ais.Settings(study="ais/seeds", model=model, **SMALL, formal_seed=12),
        ais.Settings(study="ais/gans", model=other, **SMALL),
        ais.Settings(study="ais/gans", model=other, **SMALL, first_image=3),
        ais.Settings(study="ais/blur", model=model, **SMALL, blur=1.0),
        ais.Settings(study="ais/mixture", model=model, **SMALL, wide_weight=0.5),
        ais.Settings(study="ais/own", model=model, **SMALL, distortion="own"),
        ais.Settings(study="ais/label", model=model, **SMALL, label="x"),
        ais.Settings(study="echo/x", model=tiny(**{**MODEL, "latent_dim": 4}), **SMALL),
    ]
    every = [records.Result(f"{i}.json", {"status": "finished"}, one) for i, one in enumerate(settings)]
    found = plain(every, "ais/together")
    assert [result.path for result in found] == ["0.json", "2.json", "3.json"]


def test_a_decoder_with_convolutions_at_any_depth_is_not_compiled_by_xla_on_a_cpu():
    images = np.zeros((1, 4, 4, 1))
    plain_one = keras.Sequential([keras.Input((2,)), keras.layers.Dense(16), keras.layers.Reshape((4, 4, 1))])
    nested = keras.Sequential([keras.Input((2,)), plain_one, keras.layers.Conv2D(1, 3, padding="same")])
    on_cpu = not tf.config.list_physical_devices("GPU")
    assert [Target(one, images).fast_under_xla for one in (plain_one, nested, blurred(nested, 1.0))] == [
        True,
        *[not on_cpu] * 2,
    ]


def many_bars():
    rng = np.random.default_rng(0)
    bars = {name: np.arange(8)[:, None] < rng.integers(1, 8, (n, 1, 1, 1)) for name, n in (("train", 1500), ("test", 23))}
    splits = {name: np.broadcast_to(x, (len(x), 8, 8, 1)).astype(np.uint8) for name, x in bars.items()}
    return ImageData("tiny", "bars", "made here", splits, 1)


def test_encoders_of_a_linear_decoder_reach_its_closed_form_and_are_never_below(tmp_path):
    given = tools(tmp_path, many_bars)
    linear = tiny(network="huang2020", method="vae", distortion="gaussian", variance=0.1, epochs=2, beta=1.0)
    result = done(given, linear)
    model = keras.saving.load_model(model_path(result, given.work), compile=False)
    kernel, bias = model.decoder.get_weights()
    left, scales, _ = np.linalg.svd(kernel.T, full_matrices=False)
    model.decoder.set_weights([np.diag(scales + 1) @ left.T, bias])  # so that the best encoder has independent latents
    model.save(model_path(result, given.work))
    settings = variational.Settings(
        study="more",
        model=linear,
        betas=(0.1, 2.0),
        epochs=5,
        batch_size=10,
        learning_rate=0.005,
        num_images=23,
        samples=100,
        encoder_network="huang2020",
    )
    rows = done(given, settings).rows()
    images = given.load("tiny").floats("test").reshape(23, -1).astype(np.float64)
    weights = [np.asarray(w, np.float64) for w in model.decoder.get_weights()]
    exact = linear_vae_squared_error(weights[0].T, weights[1], images, np.array(settings.betas))
    for row, log_z in zip(rows, exact["log_z_nats"]):
        assert -0.05 < row["rate_plus_beta_distortion_nats"] + log_z < 0.3
    assert rows[1]["rate_nats"] > rows[0]["rate_nats"] and rows[1]["distortion_sse"] < rows[0]["distortion_sse"]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda model: ais.Settings(study="more", model=model, **SMALL, wide_weight=1.0), "less than 1"),
        (lambda model: ais.Settings(study="more", model=model, **SMALL, blur=0.0), "greater than"),
        (
            lambda model: ais.Settings(
                study="more",
                model=model,
                **SMALL,
                distortion="own",
                features=classifier.Settings(study="s", dataset="tiny", epochs=1, batch_size=9),
            ),
            "must be squared_error",
        ),
        (lambda model: ais.Settings(study="more", model=model, **SMALL, features=model), "training of a classifier"),
        (lambda model: variational.Settings(study="more", model=model, betas=(2, 1), epochs=1), "they must rise"),
        (lambda model: GaussianBlur(-1.0), "width must be a positive"),
        (lambda model: GaussianBlur(1.0)(np.zeros((1, 2, 2, 1))), "H and W above 2"),
        (lambda model: ScaleMixture(2, 1.5), "weight must be a number in"),
        (lambda model: in_features(wu2017.decoder(2, (8, 8, 1), 0.02), huang2020.classifier()), "of the decoder's images"),
        (lambda model: huang2020.classifier(10, (8, 8, 1)), "16 or more a side"),
        (
            lambda model: Target(dense([2, 5], ["tanh"]), np.full((2, 5), 0.5)),
            "none below 0, but the decoder's output lies in -1..1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make(tiny(method="vae"))


def test_a_classifier_of_data_without_labels_is_refused(tmp_path):
    given = tools(tmp_path)
    with pytest.raises(InputError, match="needs labels, and tiny has none"):
        run(classifier.Settings(study="more", dataset="tiny", epochs=1, batch_size=10), given)


def test_errors_of_samplers_are_those_of_the_median_and_of_the_worst_image():
    def part(label, error, transition="tfp_hmc"):
        settings = SimpleNamespace(label=label, preset="short", num_temperatures=11, leapfrog_steps=3, transition=transition)
        exact = np.arange(10.0).reshape(2, 5)
        arrays = {"betas": np.array([0.1, 1.0]), "log_z": exact - error, "exact_log_z": exact}
        return SimpleNamespace(settings=settings, arrays=lambda name: arrays)

    one_lost = np.array([0.1, 0.2, 0.3, 0.4, 100.0])
    found = [
        ("VAE2, original 1k", [part("original_1k", one_lost)]),
        ("VAE2, five steps 1k", [part("five_steps_1k", 0.5, "persistent"), part("five_steps_1k", -0.25)]),
        ("VAE2", [part(None, one_lost)]),
    ]
    table = samplers.errors(found)
    assert list(table["sampler"]) == ["original", "five steps"] and list(table["model"]) == ["VAE2", "VAE2"]
    assert list(table["median_image_error_nats"]) == pytest.approx([0.3, 0.375])
    assert list(table["worst_image_error_nats"]) == pytest.approx([100, 0.5])
    assert list(table["gradients"]) == [40, 30] and list(table["images"]) == [5, 10]


def test_errors_of_samplers_are_averaged_over_the_same_betas():
    def part(label, betas):
        settings = SimpleNamespace(label=label, preset="short", num_temperatures=11, leapfrog_steps=3, transition="tfp_hmc")
        arrays = {
            "betas": np.array(betas),
            "log_z": np.log(np.maximum(betas, 1e-9))[:, None],
            "exact_log_z": np.zeros((len(betas), 1)),
        }
        return SimpleNamespace(settings=settings, arrays=lambda name: arrays)

    found = [("VAE2, a", [part("a_1k", [0.0, 1.0, 2.0, 16.0])]), ("VAE2, b", [part("b_1k", [0.0, 0.1, 3.0, 10.0, 100.0])])]
    table = samplers.errors(found)
    assert list(table["median_image_error_nats"]) == pytest.approx([np.log(4.0)] * 2)  # of log beta from 1 to 16
