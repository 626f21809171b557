"""Runs of the kinds gan and aae: killed and continued with the same bits, ranges, bad settings, curves of their decoders."""

import os
import signal

import numpy as np
import pytest

from echo_tf.data import ImageData
from echo_tf.errors import InputError
from echo_tf.kinds import aae, ais, gan
from echo_tf.runs import records
from echo_tf.runs.place import Place
from echo_tf.runs.runner import missing, run
from tests.small_runs import tools

SMALL = {"study": "more", "dataset": "tiny", "width": 0.01, "latent_dim": 2, "epochs": 3, "batch_size": 10, "samples": 20}
DCGAN = {"network": "radford2016", "width": 0.02, "dataset": "coloured"}


def coloured():
    rng = np.random.default_rng(0)
    splits = {name: rng.integers(0, 256, (n, 16, 16, 3)).astype(np.uint8) for name, n in (("train", 40), ("test", 12))}
    labels = {name: np.arange(len(images)) % 3 for name, images in splits.items()}
    return ImageData("coloured", "noise", "made here", splits, 255, labels)


@pytest.mark.parametrize(
    "settings, load",
    [
        (gan.Settings(**SMALL, penalty_weight=1.0, deterministic=True), None),
        (aae.Settings(**SMALL, encoder="stochastic", deterministic=True), None),
        (
            gan.Settings(
                **{**SMALL, **DCGAN, "epochs": None, "steps": 6, "checkpoint_steps": 2, "pixel_range": (-1, 1)},
                network_settings={"normalization": "spectral"},
                deterministic=True,
            ),
            coloured,
        ),
    ],
)
def test_a_training_that_is_killed_and_continued_ends_with_the_same_bits(settings, load, tmp_path):
    given = [tools(tmp_path / name, **({"load": load} if load else {})) for name in ("whole", "stopped")]
    whole, _ = run(settings, given[0])

    class Stopping(Place):
        def save(self, done, *arguments):
            super().save(done, *arguments)
            if done == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(BaseException, match="SIGTERM"):
        patch.setattr("echo_tf.runs.runner.Place", Stopping)
        run(settings, given[1])
    stopped, _ = run(settings, given[1])
    for key in ("collapse", "test", "examples"):
        assert whole.record.get(key) == stopped.record.get(key), key
    histories = [[{k: v for k, v in e.items() if k != "seconds"} for e in r.record["history"]] for r in (whole, stopped)]
    assert histories[0] == histories[1] and len(histories[0]) == 3


def test_a_record_says_how_images_were_scaled_and_which_classes_are_covered(tmp_path):
    settings = gan.Settings(**{**SMALL, **DCGAN, "epochs": 1, "pixel_range": (-1, 1)}, entropy_weight=0.1)
    result, _ = run(settings, tools(tmp_path, coloured))
    assert result.record["data"]["scaled_to"] == [-1, 1] and "representation_entropy" in result.record["history"][0]
    found = result.record["collapse"]
    assert found["classes"] == 3 and sum(found["class_shares"]) == pytest.approx(1)
    assert found["test_spread_sse"] == pytest.approx(2 * 16 * 16 * 3 / 3, rel=0.1)  # uniform in [-1, 1]: a variance of 1/3
    assert records.unpack_images(result.record["examples"]["samples"]).shape == (20, 16, 16, 3)


def test_a_curve_of_an_aae_is_that_of_its_decoder(tmp_path):
    given, small = tools(tmp_path), {"num_temperatures": 12, "num_betas": 3, "max_beta": 2, "num_images": 2, "num_chains": 2}
    settings = ais.Settings(study="more", model=aae.Settings(**SMALL), leapfrog_steps=2, **small)
    for needed in (*missing(settings, given), settings):
        result, _ = run(needed, given)
    assert result.finished and result.record["encoder"] is None and "distortion_sse" in result.rows()[0]


@pytest.mark.parametrize(
    "given, load, words",
    [
        ({**DCGAN}, coloured, r"from 0 to 1, none below 0, but the decoder's output lies in -1..1.*Take pixel_range=\[-1, 1\]"),
        (
            {"pixel_range": (-1, 1)},
            None,
            r"tiny does not fit wu2017.*from -1 to 1, but the decoder's output lies in 0..1.*Take pixel_range=\[0, 1\]",
        ),
        ({"network": "kingma2014"}, None, "'network' must be one with decoder, discriminator for kind gan, got 'kingma2014'"),
        (
            {"network_settings": {"normalization": "none"}},
            None,
            "activation, discriminator_depth, got 'normalization'",
        ),
        ({**DCGAN, "pixel_range": (-1, 1), "penalty_weight": 1.0}, coloured, "batch normalization"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(given, load, words, tmp_path):
    settings = gan.Settings(**{**SMALL, **given})
    with pytest.raises(InputError, match=words) as caught:
        run(settings, tools(tmp_path, load) if load else tools(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"penalty_weight": -1}, "greater than or equal to 0"),
        ({"entropy_weight": float("nan")}, "finite number|greater than or equal"),
        ({"pixel_range": (1, -1)}, "low below high"),
        ({"loss": "hinge"}, "'non_saturating' or 'wasserstein'"),
        ({"epochs": None}, "'epochs' or 'steps'"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        gan.Settings(**{**SMALL, **given})


def test_scaled_data_are_the_affine_map_of_the_data():
    data = coloured()
    assert np.allclose(data.scaled(-1, 1).floats("test"), 2 * data.floats("test") - 1, atol=1e-6)
    assert data.scaled(-1, 1).limits == (-1, 1) and data.scaled(0, 1) is data
    assert data.scaled(-1, 1).sha256 == data.sha256
    floats = ImageData("f", "v", "s", {"train": np.zeros((2, 3), np.float32)}, limits=(0, 2))
    with pytest.raises(InputError, match="float32 values within 0..2"):
        floats.scaled(-1, 1)
    with pytest.raises(InputError, match="low below high"):
        data.scaled(1, -1)


@pytest.mark.parametrize("train_images, sizes", [(None, (90, 10)), (60, (60, 40))])
def test_without_a_test_split_images_are_held_out_and_labels_of_noise_are_not_trusted(train_images, sizes, tmp_path):
    rng = np.random.default_rng(0)
    splits = {"train": rng.integers(0, 256, (100, 16, 16, 3)).astype(np.uint8)}
    data = ImageData("coloured", "noise", "made here", splits, 255, {"train": np.arange(100) % 4})
    settings = gan.Settings(**{**SMALL, "dataset": "coloured", "epochs": 1, "train_images": train_images, "samples": 50})
    result, _ = run(settings, tools(tmp_path, lambda: data))
    said = result.record["data"]
    assert (said["train_images_used"], said["held_out_images"]) == sizes
    found = result.record["collapse"]
    assert found["classifier_accuracy_share"] < 0.7 and found["test_nearest_sse"] > 10
    with pytest.raises(InputError, match="has no test split.*smaller batch_size"):
        run(
            gan.Settings(**{**SMALL, "dataset": "coloured", "epochs": 1, "batch_size": 95}, name="other"),
            tools(tmp_path, lambda: data),
        )
