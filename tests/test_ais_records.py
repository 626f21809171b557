"""Records of curves: what was annealed and on which images, what may stand beside it, and parts that are merged."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from echo_tf.data import ImageData
from echo_tf.errors import InputError
from echo_tf.figures import annealed
from echo_tf.kinds import ais, variational
from echo_tf.kinds import data_bounds as bounds_of_data
from echo_tf.kinds._annealing import _check_scale
from echo_tf.runs import records
from echo_tf.runs.place import model_path
from echo_tf.runs.runner import missing, run
from echo_tf.tables.annealed_curves import curves, merged
from tests.annealed_cases import Linear
from tests.small_runs import labelled_images, tiny, tiny_images, tools

SMALL = {"num_temperatures": 30, "num_betas": 4, "max_beta": 1e-3, "num_images": 3, "num_chains": 40, "leapfrog_steps": 2}


def done(given, settings):
    for needed in (*missing(settings, given), settings):
        result, _ = run(needed, given)
    return result


def curve_of(given, model, **more):
    return done(given, ais.Settings(study="more", model=model, **{**SMALL, **more}))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_squared_errors_of_a_model_of_logits_are_those_of_its_mean_images(tmp_path):
    given, trained = tools(tmp_path), tiny(method="vae", epochs=2)
    found = curve_of(given, trained)
    [model] = [r for r in records.read_all(given.results) if r.settings.kind == "autoencoder"]
    decoder = keras.saving.load_model(model_path(model, given.work), compile=False).decoder
    means = sigmoid(decoder.predict(np.random.default_rng(0).normal(size=(500, 3)), verbose=0))
    images = tiny_images().floats("test")[:3]
    expected = ((images[:, None] - means) ** 2).reshape(3, 500, -1).sum(-1).mean()
    assert found.rows()[0]["distortion_sse"] == pytest.approx(expected, rel=0.05)
    shown = records.unpack_images(found.record["reconstructions"]["low_rate"])
    assert np.mean(shown) == pytest.approx(means.mean(), rel=0.1)
    assert found.record["data"]["split"] == "test"
    blurred = curve_of(given, trained, blur=2.0, label="blur")
    assert 0 < blurred.rows()[0]["distortion_sse"] < 1.5 * expected
    with pytest.raises(InputError, match="gives no images \\(logits\\), a blur goes with distortion=squared_error"):
        curve_of(given, trained, blur=2.0, distortion="own", label="own")
    small = {"epochs": 40, "learning_rate": 0.02, "batch_size": 10, "num_images": 3, "encoder_network": "huang2020"}
    [row] = done(given, variational.Settings(study="more", model=trained, betas=(1e-3,), **small)).rows()
    assert row["distortion_sse"] == pytest.approx(expected, rel=0.1) and row["rate_nats"] < 0.5  # the prior, nearly


def test_a_point_of_the_own_encoder_stands_in_its_unit_beside_its_own_target_alone(tmp_path):
    given, trained = tools(tmp_path), tiny(method="vae", epochs=2, distortion="squared_error")
    own = curve_of(given, trained, distortion="own")
    assert set(own.record["encoder"]) == {"rate_nats", "distortion_sse", "samples_per_image"}
    assert "distortion_sse" in own.rows()[0]
    changed = curve_of(given, trained, distortion="own", wide_weight=0.5, label="wide")
    assert changed.record["encoder"] is None
    assert curve_of(given, trained, distortion="own", blur=1.0, label="blur").record["encoder"] is None
    every = records.read_all(given.results)
    found = {curve.name: curve.encoder for curve in curves(every, every)}
    assert found["VAE"] == {name: own.record["encoder"][name] for name in ("rate_nats", "distortion_sse")}
    assert found["VAE, wide"] is None
    changed.record["encoder"] = own.record["encoder"]  # as older versions did
    assert curves([changed], every)[0].encoder is None
    own.record["encoder"] = {"rate_nats": 1.0, "distortion_nats": 1.0}
    assert curves([own], every)[0].encoder is None


def test_a_record_says_of_which_split_its_images_are(tmp_path):
    def without_test():
        data = tiny_images()
        return ImageData("tiny", "bars", "made here", {"train": data.splits["train"]}, 1)

    found = curve_of(tools(tmp_path, without_test), tiny(method="vae", epochs=1), first_image=2)
    assert found.record["data"]["split"] == "train" and found.record["data"]["images_used"] == [2, 5]


def test_features_of_images_in_another_range_than_the_decoder_s_are_refused():
    place = SimpleNamespace(data=lambda name: labelled_images(), network=lambda name: None)
    of_zeros_to_ones, scaled = (
        SimpleNamespace(dataset="labelled", network="any", pixel_range=pixels) for pixels in (None, (-1.0, 1.0))
    )
    _check_scale(SimpleNamespace(features=of_zeros_to_ones, model=of_zeros_to_ones), place)
    with pytest.raises(ValueError, match=r"features are of images within 0..1, but the decoder's lie within -1..1"):
        _check_scale(SimpleNamespace(features=of_zeros_to_ones, model=scaled), place)


def of_images(settings, **record):
    said = {"status": "finished", "images": settings.num_images, "data": {"split": "test"}, **record}
    return records.Result(settings.run_name, said, settings)


def a_curve(first, number):
    names = (*ais.COLUMNS, "distortion_sse", "distortion_standard_error_sse")
    settings = ais.Settings(study="more", model=tiny(method="vae"), **{**SMALL, "first_image": first, "num_images": number})
    return of_images(settings, curve={name: [1.0, 2.0] for name in names})


def test_a_baseline_stands_beside_the_curve_of_the_same_images_alone():
    settings = variational.Settings(study="more", model=tiny(method="vae"), betas=(1.0,), epochs=1, num_images=5)
    names = ("beta", "rate_nats", "rate_standard_error_nats", "distortion_sse", "distortion_standard_error_sse")
    names += ("rate_plus_beta_distortion_nats", "rate_plus_beta_distortion_standard_error_nats")
    baseline = of_images(settings, encoders=[dict.fromkeys(names, 1.0)])
    for first, number, beside in ((0, 5, True), (0, 3, False), (30, 5, False)):
        [found] = curves([a_curve(first, number)], [baseline])
        assert (found.baseline is not None) == beside, (first, number)
    for other in ({"data": {"split": "train"}}, {"models": {"vae": "0f"}}):  # other images, another training
        another = baseline._replace(record={**baseline.record, **other})
        assert curves([a_curve(0, 5)], [another])[0].baseline is None


def test_bounds_of_the_data_stand_beside_curves_of_the_images_that_they_were_tested_on():
    settings = bounds_of_data.Settings(study="more", dataset="tiny", betas=(1.0,), num_images=5)
    columns = dict.fromkeys(("beta", "rate_nats", "distortion_sse", "train_rate_nats", "train_distortion_sse"), 1.0)
    lower = [{"bound": "lower", "beta": b, "rate_plus_beta_distortion_nats": b} for b in (0.5, 1.0)]
    found = of_images(settings, bounds=[{"bound": "codebook", **columns}, *lower])
    for first, beside in ((0, True), (5, False)):
        measured = {curve.which for curve in curves([a_curve(first, 5)], [])}
        assert bool(annealed._bounds_of_the_data([found], "tiny", settings.preset, measured)) == beside


def test_merged_parts_are_taken_at_the_inverse_temperatures_of_the_first():
    case = Linear()
    grids = np.geomspace(1e-3, 3, 30), np.geomspace(0.02, 3, 25)

    def part(betas, images):
        log_z, d = (values[:, images] for values in case.exact(betas))
        ones = np.ones_like(d)
        arrays = {"betas": betas, "log_z": log_z, "distortion": d, "ess": 5 * ones, "acceptance": 0.9 * ones}
        arrays |= {"exact_log_z": log_z, "exact_distortion": d}
        return SimpleNamespace(rows=lambda: [{"distortion_nats": 0.0}], arrays=lambda name: arrays)

    found = merged([part(grids[0], slice(0, 1)), part(grids[1], slice(1, 4))])
    log_z, d = case.exact(grids[0])
    expected = {"neg_log_z_nats": -log_z, "distortion_nats": d, "rate_nats": -log_z - grids[0][:, None] * d}
    for name, values in expected.items():
        assert np.allclose(found[name], values.mean(1), rtol=2e-2, atol=2e-3)
        assert np.allclose(found[f"exact_{name}"], found[name])
    assert np.allclose(found["neg_log_z_standard_error_nats"], log_z.std(1, ddof=1) / 2, rtol=0.01, atol=1e-3)
    assert np.allclose(found["effective_chains"], 5) and np.allclose(found["beta"], grids[0])
