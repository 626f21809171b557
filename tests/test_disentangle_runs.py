"""Trainings on factors, with a discriminator, and what is measured of them, from settings to tables and figures."""

import os
import signal

import numpy as np
import pandas as pd
import pytest

from echo_tf import figures, tables
from echo_tf.data import ImageData
from echo_tf.data.arrays import PackedImages
from echo_tf.data.canonical import grid
from echo_tf.errors import InputError, Interrupted
from echo_tf.kinds import autoencoder, disentangle
from echo_tf.methods import make_method
from echo_tf.runs import records
from echo_tf.runs.place import Place
from echo_tf.runs.runner import run
from echo_tf.runs.studies import read_study
from models import locatello2019
from tests.conftest import ROOT
from tests.small_runs import tiny, tools

SIZES = {"shape": 3, "scale": 2, "orientation": 4, "x": 4, "y": 4}
SMALL = {"study": "sprites", "dataset": "sprites", "network": "locatello2019", "width": 0.05, "latent_dim": 3, "method": "echo"}
SMALL |= {"batch_size": 16, "steps": 6, "checkpoint_steps": 3, "schedule": "constant", "discriminator_units": (8,)}
FEW = {"group_size": 8, "num_train": 60, "num_eval": 20, "num_points": 64}


def sprites():
    """Rectangles of 16 x 16, by the names of dSprites' factors."""
    factors = grid(SIZES.values())
    shape, scale, orientation, x, y = factors.T[:, :, None, None]
    at = np.arange(16)
    wide, tall = 2 + scale + (orientation % 2), 2 + scale + (shape > 0) * (orientation // 2)
    inside = (abs(at[None, None] - 3 * x - 3) < wide) & (abs(at[None, :, None] - 3 * y - 3) < tall)
    names = tuple(SIZES)
    images = PackedImages.pack([inside[..., None]])
    return ImageData("sprites", "v", "made here", {"train": images}, 1, factors={"train": factors}, factor_names=names)


def given(place):
    return tools(place, sprites, locatello2019)


def small(**more):
    return autoencoder.Settings(**{**SMALL, **more})


def test_the_network_has_the_parameters_of_the_released_configuration():
    for method in ("vae", "echo"):
        model = make_method(method, locatello2019.encoder, locatello2019.decoder, latent_dim=10)
        assert model.count_params() == 690_517
    with pytest.raises(ValueError, match="divisible by 16"):
        locatello2019.encoder(image_shape=(28, 28, 1))


def test_table_figures_and_both_protocols_come_from_the_records_of_a_training_and_its_measurement(tmp_path):
    for method, more in (("echo", {"standardize": True, "gamma": 2.0}), ("vae", {"ground_truth": "dependent", "blocks": 2})):
        model = small(method=method, beta=1, **more)
        trained, _ = run(model, given(tmp_path))
        measured, _ = run(disentangle.Settings(study="sprites/scores", model=model, **FEW), given(tmp_path))
        assert [row["representation"] for row in measured.rows()] == ["mean", "sampled", "released"]
        assert measured.record["data"]["images_used"] == 384, "models of dependent factors are scored on all combinations"
        if "gamma" in more:
            assert all("total_correlation_nats" in entry for entry in trained.record["history"])
            assert trained.settings.run_name == "beta1_gamma2_seed0_none"
        else:
            assert trained.settings.run_name == "dependent_beta1_seed0_none"
            said = trained.record["data"]
            assert said["train_images_used"] == round(384 * said["kept_share"]) < 384
            assert said["factor_total_correlation_nats"] > 0
    every = records.read_all(tmp_path / "results")
    study = read_study("disentangle/table2", ROOT / "configs").model_copy(update={"study": "sprites/scores"})
    [text] = tables.write(tmp_path / "results", "sprites/scores", every, study, ROOT / "results/published")
    table = pd.read_csv(tmp_path / "results/tables/sprites/scores_disentanglement.csv")
    assert len(table) == 6 and text.count("\n| ") == 8 and set(table["protocol"]) == {"paper", "released"}
    published = table[(table["method"] == "vae") & (table["ground_truth"] == "dependent")]["published_factor_vae_score"]
    assert list(published) == [0.6] * 3
    drawn = figures.write(tmp_path / "results", "sprites/scores", every, study)
    assert sorted(path.name for path in drawn) == sorted(
        f"sprites_{run_name}_{form}.png"
        for run_name in ("echo_beta1_gamma2_seed0_none", "vae_dependent_beta1_seed0_none")
        for form in ("factors", "traversals")
    )
    [echo] = [r for r in every if r.settings.kind == "disentangle" and r.settings.model.method == "echo"]
    pictures, drawn = echo.arrays("pictures"), pd.read_csv(next(p for p in drawn if "echo" in p.name).with_suffix(".csv"))
    chosen = drawn[(drawn["panel"] == "position") & (drawn["dimension"] == 1)]
    # rows of the heat map are y, columns x
    heat = chosen.pivot(index="row", columns="column", values="mean_code").to_numpy()
    np.testing.assert_allclose(heat, pictures["mean_3_4"][..., 1].T, rtol=1e-4, atol=1e-9)
    assert pictures["traversals"].shape == (3, 9, 16, 16, 1)


def test_a_training_with_a_discriminator_that_is_stopped_ends_with_the_same_bits(tmp_path):
    settings = small(method="vae", gamma=5.0, deterministic=True, seed=3)
    whole, _ = run(settings, given(tmp_path / "whole"))

    class Stopping(Place):
        def save(self, done, *arguments):
            super().save(done, *arguments)
            if done == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("echo_tf.runs.runner.Place", Stopping)
        run(settings, given(tmp_path / "stopped"))
    result, _ = run(settings, given(tmp_path / "stopped"))
    assert result.record["history"][1]["total_correlation_nats"] == whole.record["history"][1]["total_correlation_nats"]
    assert result.record["test"]["metrics"] == whole.record["test"]["metrics"]


def test_what_bears_on_no_run_is_not_recorded_and_refused_where_it_is_given():
    recorded = small().recorded()
    assert not {"blocks", "permuted", "discriminator_units"} & set(recorded) and recorded["ground_truth"] == "independent"
    assert {"blocks", "subset_seed"} <= set(small(ground_truth="dependent").recorded())
    assert small(gamma=1, fidelity="released").permuted == "independent"
    assert small(ground_truth="dependent", fidelity="released").blocks == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"factor_strides": {"colour": 2}}, "the factors shape, scale"),
        ({"ground_truth": "dependent", "remove_probability": 1.0}, "remove every combination"),
        ({"factor_strides": {"x": 4, "y": 4, "orientation": 4, "scale": 2}}, "'batch_size' is 16"),
    ],
)
def test_choices_of_images_that_cannot_be_are_refused_before_training(tmp_path, more, message):
    with pytest.raises(InputError, match=message) as error:
        run(small(**more), given(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [({"gamma": -1}, "gamma"), ({"gamma": float("inf")}, "gamma"), ({"remove_probability": 2}, "probability")],
)
def test_settings_out_of_range_are_refused(more, message):
    with pytest.raises(ValueError, match=message):
        small(ground_truth="dependent", **more)


def test_a_model_of_data_without_factors_is_not_measured(tmp_path):
    plain = ImageData("tiny", "v", "s", {"train": np.zeros((45, 8, 8, 1), np.uint8) + np.eye(8, dtype=np.uint8)[..., None]}, 1)
    place = tools(tmp_path, lambda: plain)
    model = tiny(method="vae", epochs=1)
    run(model, place)
    with pytest.raises(InputError, match="no factors of variation"):
        run(disentangle.Settings(study="more", model=model, **FEW), place)
    for wrong in ({"scores": ("mig", "mig")}, {"representations": ()}, {"scores": ("mgi",)}, {"group_size": 1}):
        with pytest.raises(ValueError):
            disentangle.Settings(study="more", model=model, **wrong)


def test_a_damaged_dsprites_is_refused_before_training(tmp_path, monkeypatch):
    from echo_tf import data

    (tmp_path / "dsprites.npz").write_bytes(b"PK\x03\x04" + bytes(1000))
    place = tools(tmp_path, lambda: data.load("dsprites", tmp_path), locatello2019)
    with pytest.raises(InputError, match="damaged or another file"):
        run(small(dataset="dsprites"), place)
    assert not list((tmp_path / "results").rglob("*.json"))
