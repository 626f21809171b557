"""Curves of one's own decoders by one call, their gaps, what is refused, and runs in parts."""

import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from echo_tf import ais
from echo_tf.ais.plan import plan
from echo_tf.ais.references import linear
from echo_tf.distortions import Gaussian
from echo_tf.errors import InputError
from echo_tf.kinds import ais as kind
from echo_tf.runs import records
from echo_tf.runs.runner import missing, run
from echo_tf.tables.annealed_curves import curves
from tests.annealed_cases import Linear, dense
from tests.conftest import ROOT
from tests.small_runs import tiny, tools

CASE = Linear()
SMALL = {"preset": "smoke", "num_temperatures": 400, "tuning_temperatures": 200, "num_betas": 8, "num_chains": 16}


@pytest.fixture(scope="module")
def curve():
    own = {"distortion": Gaussian(variance=1.0), "precision": "float64", "max_beta": 5.0}
    return ais.rate_distortion_curve(CASE.decoder(), CASE.images, **own, **SMALL)


def test_a_curve_has_the_promised_columns_and_is_the_closed_form_s(curve):
    assert list(curve) == [
        *("beta", "rate_nats", "rate_standard_error_nats", "distortion", "distortion_standard_error"),
        *("neg_log_z_nats", "neg_log_z_standard_error_nats", "ess", "acceptance"),
    ]
    target = CASE.target()
    exact = linear(target, curve["beta"].to_numpy())
    log_z, distortion = CASE.exact(curve["beta"])
    assert np.allclose(exact.distortion, distortion) and np.allclose(exact.log_z, log_z)
    assert np.abs(curve["neg_log_z_nats"] - exact.curve(curve["beta"])[:, 2]).max() < 0.6
    assert np.allclose(curve["neg_log_z_nats"], curve["rate_nats"] + curve["beta"] * curve["distortion"])
    assert (curve["ess"] <= 16 + 1e-6).all() and curve["acceptance"].between(0, 1).all()
    of_images = curve.attrs["annealed"].log_z
    assert np.allclose(curve["neg_log_z_standard_error_nats"], of_images.std(1, ddof=1) / 2)


def test_a_curve_is_stored_with_what_it_carries_named(curve):
    assert json.loads(json.dumps(curve.attrs))["annealed"] == "Annealed, not stored"  # to_parquet writes attrs so
    assert curve.head(3).attrs["annealed"].value is curve.attrs["annealed"].value
    assert curve.attrs["step_sizes"].values.shape[0] == len(curve.attrs["step_sizes"].value.betas)
    assert pickle.loads(pickle.dumps(curve)).attrs["annealed"].log_z.shape == curve.attrs["annealed"].log_z.shape


def test_a_curve_is_drawn_by_one_call(curve):
    axes = ais.plot({"mine": curve})
    assert axes.get_yscale() == "log" and axes.get_legend_handles_labels()[1] == ["mine"]


def test_gaps_are_small_where_annealing_is_slow_and_shrink_with_it():
    gaps = {}
    for number in (40, 1000):
        settings = {**SMALL, "num_temperatures": number, "tuning_temperatures": min(number, 300), "max_beta": 5.0, "seed": 3}
        found = ais.bidirectional_gap(
            CASE.decoder(), [0.5, 5.0], distortion=Gaussian(variance=1.0), precision="float64", num_images=12, **settings
        )
        assert list(found)[:4] == ["beta", "lower_nats", "upper_nats", "gap_nats"]
        assert (found["gap_nats"] > -3 * found["gap_standard_error_nats"]).all()
        gaps[number] = found["gap_nats"][1]
    assert gaps[1000] < 0.5 * gaps[40] and gaps[1000] < 1


def test_gaps_of_images_that_cannot_be_simulated_are_refused():
    decoder = dense([2, 5], ["linear"])
    for more, words in (
        ({"betas": [2.0], "distortion": "bernoulli"}, "at beta 1 alone"),
        ({"betas": [2.0], "distortion": lambda x, f: tf.reduce_sum(tf.abs(x - f), -1)}, "give simulate"),
        ({"betas": [50.0]}, "in \\(0, 10\\]"),
        ({"betas": []}, "one or more"),
    ):
        with pytest.raises(ValueError, match=words):
            ais.bidirectional_gap(decoder, preset="smoke", **more)


IMAGES = np.full((3, 5), 0.5)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"images": IMAGES[:, :4]}, r"the shape of the decoder's output, \(5,\), got \(4,\)"),
        ({"images": IMAGES * 100}, "the decoder's output lies in 0..1: scale them"),
        ({"images": IMAGES * np.nan}, "must be finite"),
        ({"images": IMAGES[0]}, r"images must be \(n, ...\)"),
        ({"max_beta": 0}, "max_beta must be a positive"),
        ({"num_temperatures": 10, "num_betas": 10}, "larger than num_betas"),
        ({"latent_dim": 3}, "decoder says 2, latent_dim says 3"),
        ({"preset": "shrt"}, "did you mean 'short'"),
        ({"num_chain": 3}, "did you mean 'num_chains'"),
        ({"precision": "float16"}, "precision must be"),
        ({"prior": tfp.distributions.Normal([0.0, 0.0], 1.0)}, "decoder"),
        ({"distortion": lambda x, f: x - f}, "one number an example"),
        ({"num_chains": 1}, "num_chains must be an integer of 2 or more"),
        ({"distortion": "bernoulli"}, "takes logits"),
        ({"num_temperatures": 200.0}, "num_temperatures must be an integer"),
        ({"distortion": "gaussian"}, "needs its variance"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(given, words):
    decoder = dense([2, 5], ["sigmoid"])
    with pytest.raises(ValueError, match=words if "prior" not in given else "tfd.Independent") as caught:
        ais.rate_distortion_curve(decoder, **{"images": IMAGES, "preset": "smoke", **given})
    assert "\n" not in str(caught.value)


def test_fewer_leapfrog_steps_keep_the_length_of_the_momentum():
    assert plan("short", leapfrog_steps=4).sampler.memory == pytest.approx(0.95**4)
    assert plan("paper", leapfrog_steps=4).sampler.memory == 0


def test_echo_s_prior_is_fitted_to_its_codes():
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(-2, 0.5, (3000, 2)), rng.normal(1, 1.0, (3000, 2))])
    fitted = ais.fitted_mixture(codes, num_components=2)
    fresh = np.concatenate([rng.normal(-2, 0.5, (3000, 2)), rng.normal(1, 1.0, (3000, 2))])
    parts = [tfp.distributions.MultivariateNormalDiag([m, m], [s, s]) for m, s in ((-2.0, 0.5), (1.0, 1.0))]
    true = tfp.distributions.Mixture(tfp.distributions.Categorical(probs=[0.5, 0.5]), parts)
    x = fresh.astype(np.float32)
    assert float(tf.reduce_mean(true.log_prob(x) - fitted.log_prob(x))) == pytest.approx(0, abs=0.02)
    assert np.isfinite(fitted.log_prob(np.float32([[30.0, 30.0]])))


def settings_of(**more):
    given = {"distortion": "own", "num_temperatures": 40, "num_betas": 5, "max_beta": 3.0, "num_images": 4, "num_chains": 4}
    return kind.Settings(study="more", model=tiny(method="vae", epochs=2), **{**given, "leapfrog_steps": 2, **more})


def test_a_curve_in_parts_is_that_of_all_images(tmp_path):
    given = tools(tmp_path)
    for part in (settings_of(num_images=2), settings_of(num_images=2, first_image=2)):
        for settings in (*missing(part, given), part):
            run(settings, given)
    every = records.read_all(given.results)
    [whole] = curves(every, every)
    parts = [r for r in every if r.settings.kind == "ais" and r.settings.round == "formal"]
    assert whole.images == 4 and len(parts) == 2
    ends = [r.arrays("images")["log_z"][-1] for r in parts]
    assert whole.points["neg_log_z_nats"].iloc[-1] == pytest.approx(-np.concatenate(ends).mean())
    assert whole.encoder["rate_nats"] == pytest.approx(np.mean([r.record["encoder"]["rate_nats"] for r in parts]))


def test_a_table_of_step_sizes_of_another_decoder_is_refused(tmp_path):
    given, settings = tools(tmp_path), settings_of()
    for needed in missing(settings, given):
        run(needed, given)
    [path] = (given.results / "runs/more").rglob("*.step_sizes.npz")
    table = dict(np.load(path))
    np.savez(path, **{**table, "target": np.array("another")})
    with pytest.raises(InputError, match="not the file that its record was written with"):
        run(settings, given)
    tuned = records.read(path.with_name(path.name.replace(".step_sizes.npz", ".json")))
    records.write(tuned.path, {**tuned.record, "attached": ["step_sizes"]})  # as older records, which have no hash of it
    with pytest.raises(InputError, match="another decoder"):
        run(settings, given)
    for wrong, words in (({**table, "values": -table["values"]}, "finite numbers above 0"), ({}, "are missing")):
        np.savez(path, **wrong)
        with pytest.raises(InputError, match=words):
            run(settings, given)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"formal_seed": 6}, "must differ"),
        ({"num_temperatures": 5}, "larger than num_betas"),
        ({"max_beta": -1.0}, "max_beta"),
        ({"num_images": 30}, "there are 23"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, given, words):
    with pytest.raises((InputError, ValueError), match=words):
        settings = settings_of(**given)
        for needed in (*missing(settings, tools(tmp_path)), settings):
            run(needed, tools(tmp_path))


KILLED = """
import os, signal, sys
from pathlib import Path
from echo_tf.kinds import _annealing
from echo_tf.runs.place import Place
from echo_tf.runs.runner import run
from tests.small_runs import tools
from tests.test_ais_curves import settings_of
_annealing.SECONDS_BETWEEN_SAVES = 0
save = Place.save
def killing(place, done, *more):
    save(place, done, *more)
    if done == 3 and "ais" in place.settings.run_name:
        os.kill(os.getpid(), signal.SIGKILL)
Place.save = killing
run(settings_of(), tools(Path(sys.argv[1])))
"""


def test_a_round_that_was_killed_ends_with_the_same_numbers(tmp_path):
    for place in ("whole", "killed"):
        for needed in missing(settings_of(), tools(tmp_path / place)):
            run(needed, tools(tmp_path / place))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "killed"], cwd=ROOT, env={**os.environ, "ECHO_TF_LAZY": "0"}
    )
    assert ended.returncode == -signal.SIGKILL
    assert list((tmp_path / "killed/work").rglob("checkpoint-*3.npz"))
    whole, killed = (run(settings_of(), tools(tmp_path / place))[0] for place in ("whole", "killed"))
    assert whole.record["curve"] == killed.record["curve"]


def test_tables_can_be_joined_and_a_function_computes_in_any_precision(curve):
    squared = ais.rate_distortion_curve(CASE.decoder(), CASE.images, precision="float64", max_beta=2.0, **SMALL)
    own = ais.rate_distortion_curve(
        CASE.decoder(),
        CASE.images,
        precision="float64",
        max_beta=2.0,
        distortion=lambda x, y: tf.reduce_sum((x - y) ** 2, -1),
        **SMALL,
    )
    assert np.allclose(own["neg_log_z_nats"], squared["neg_log_z_nats"])
    assert len(pd.concat([own, curve])) == len(own) + len(curve)


def test_echo_codes_of_one_dimension_have_a_prior_and_constant_ones_none():
    codes = np.random.default_rng(0).normal(size=(500, 1))
    assert ais.fitted_mixture(codes, 2).log_prob(codes.astype("float32")).shape == (500,)
    with pytest.raises(ValueError, match="every dimension of the codes must vary"):
        ais.fitted_mixture(np.append(codes, 0 * codes + 0.1, axis=1), 2)
