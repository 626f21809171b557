import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time

import filelock
import keras
import numpy as np
import pytest

from echo_tf import figures, tables
from echo_tf.data import ImageData
from echo_tf.errors import InputError
from echo_tf.kinds import _training, likelihood
from echo_tf.runs import records
from echo_tf.runs.place import Place
from echo_tf.runs.runner import run as run_settings
from models import alemi2018
from tests.conftest import ROOT
from tests.small_runs import run, tiny, tiny_images, tools


def test_a_run_leaves_its_record_its_model_and_its_log(tmp_path):
    record, existed = run(tmp_path, method="vae", eval_samples=2)
    assert not existed and record["status"] == "finished"
    stored = records.read(tmp_path / "results/runs/tests/tiny/vae/beta1_seed0_none.json").record
    assert stored == json.loads(json.dumps(record)) and stored["kind"] == "autoencoder"
    assert stored["data"]["sizes"] == {"train": 45, "test": 23} and stored["data"]["variant"] == "bars"
    assert stored["fidelity"] == {"word": "paper", "switches": {"schedule": "paper"}}
    assert not {"output_kernel", "num_terms", "flow_steps", "pseudo_inputs"} & set(stored["config"])  # nothing of others
    assert [entry["epoch"] for entry in stored["history"]] == [1, 2]
    assert stored["test"]["images"] == 23 and stored["test"]["samples_per_image"] == 2
    metrics = {name: value["mean"] for name, value in stored["test"]["metrics"].items()}
    assert metrics["neg_elbo_nats"] == pytest.approx(metrics["rate_nats"] + metrics["distortion_nats"])
    folder = tmp_path / "work/tests/tiny/vae/beta1_seed0_none"
    model = keras.saving.load_model(folder / "model.keras")
    assert model.rate(tiny_images().floats("test")).mean() == pytest.approx(metrics["rate_nats"], rel=1e-5)
    assert logged_tags(folder / "tensorboard") >= {"rate", "distortion", "neg_elbo", "learning_rate", "reconstructions"}


def logged_tags(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    assert len(events.Tensors("rate")) == 2
    return set(events.Tags()["tensors"])


def test_a_finished_run_is_skipped_without_touching_the_data(tmp_path):
    first, _ = run(tmp_path)

    def never():
        raise AssertionError("the data were loaded")

    again, existed = run(tmp_path, never)
    assert existed and again["test"] == first["test"]


def test_a_record_that_cannot_be_written_costs_no_training(tmp_path, monkeypatch):
    def full(path, record):
        raise InputError("cannot write: no space left")

    with monkeypatch.context() as patch, pytest.raises(InputError):
        patch.setattr("echo_tf.runs.records.write", full)
        run(tmp_path)
    monkeypatch.setattr("keras.Model.fit", lambda *_, **__: pytest.fail("trained again"))
    assert run(tmp_path)[0]["status"] == "finished"


@pytest.mark.parametrize("finished", [True, False])
def test_another_configuration_under_the_same_name_is_refused_with_the_difference(tmp_path, finished):
    if finished:
        run(tmp_path)
    else:
        with pytest.raises(ZeroDivisionError):
            run(tmp_path, lambda: 1 / 0)
        folder = tmp_path / "work/tests/tiny/echo/beta1_seed0_none"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(tiny().recorded()))
    with pytest.raises(InputError, match=r"epochs: 2 -> 3.*name="):
        run(tmp_path, epochs=3)
    run(tmp_path, epochs=3, name="other")


def test_the_record_says_where_echo_s_noise_came_from(tmp_path):
    batch, _ = run(tmp_path)
    pool, _ = run(tmp_path, eval_noise="pool", pool_size=30, name="pool")
    vae, _ = run(tmp_path, method="vae")
    assert [r["test"]["echo_noise_from"] for r in (batch, pool, vae)] == ["batch", "pool", None]
    assert batch["test"]["rate_floor_nats"] > 0 and vae["test"]["rate_floor_nats"] is None
    model = keras.saving.load_model(tmp_path / "work/tests/tiny/echo/pool/model.keras")
    assert model.channel.noise_source == "pool" and model.channel.sample_marginal(2).shape == (2, 3)
    assert model.sample(tiny_images().floats("test", [0])).shape == (1, 3)


@pytest.mark.parametrize("method", ["vae", "echo"])
def test_a_run_that_diverges_keeps_its_last_finite_checkpoint_and_says_so(tmp_path, monkeypatch, method):
    monkeypatch.setattr("echo_tf.kinds._training.SCHEDULES", {"paper": lambda epoch, epochs, base: base if epoch < 1 else 1e30})
    record, _ = run(tmp_path, method=method, epochs=4, network=alemi2018)
    assert record["status"] == "diverged" and len(record["history"]) < 4 and "test" not in record
    kept = sorted((tmp_path / f"work/tests/tiny/{method}/beta1_seed0_none").glob("checkpoint-*.npz"))
    with np.load(kept[-1], allow_pickle=False) as state:
        numbers = [state[name] for name in state.files if state[name].dtype.kind in "fiu"]
        assert numbers and all(np.isfinite(array).all() for array in numbers)
    stored = records.read(next((tmp_path / "results").rglob("*.json"))).record
    assert "diverged after" in stored["reason"]
    assert run(tmp_path, method=method, epochs=4, network=alemi2018) == (stored, True)


def test_a_live_lock_is_respected_and_a_dead_one_is_not(tmp_path):
    folder = tmp_path / "work/tests/tiny/echo/beta1_seed0_none"
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / "lock"), pytest.raises(InputError, match="another process"):
        run(tmp_path)
    script = (
        f"import filelock, time; filelock.FileLock({str(folder / 'lock')!r}).acquire(); print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    holder.stdout.readline()
    holder.kill()
    holder.wait()
    assert run(tmp_path)[0]["status"] == "finished"


def test_pseudo_inputs_start_from_training_images_and_too_many_are_refused(tmp_path):
    with pytest.raises(InputError, match="'pseudo_inputs' is 46, but tiny has 45 images"):
        run(tmp_path, method="vae-vamp", pseudo_inputs=46)
    run(tmp_path, method="iaf-vamp", pseudo_inputs=12, flow_units=(8, 8), learning_rate=1e-12)
    model = keras.saving.load_model(tmp_path / "work/tests/tiny/iaf-vamp/beta1_seed0_none/model.keras")
    training = tiny_images().floats("train").reshape(45, -1)
    for u in np.array(model.marginal.pseudo_inputs).reshape(12, -1):
        assert np.abs(training - u).max(1).min() < 1e-6


def test_records_made_before_a_setting_existed_stay_good(tmp_path):
    record, _ = run(tmp_path)
    path = tmp_path / "results/runs/tests/tiny/echo/beta1_seed0_none.json"
    del record["config"]["decoder_input"], record["kind"], record["config"]["kind"]
    record["config"] |= {"output_kernel": 4, "fashion_mnist_train_images": 60_000, "likelihood_samples": 0, "analysis": False}
    record["config"] |= {"flow_steps": 2, "pseudo_inputs": 750}  # once everybody's
    records.write(path, record)
    assert run(tmp_path)[1]


def test_too_few_images_for_a_batch_are_refused(tmp_path):
    with pytest.raises(InputError, match="'batch_size' is 50, but tiny has 45"):
        run(tmp_path, batch_size=50)


def test_released_fashion_mnist_takes_the_first_images_only(tmp_path):
    record, _ = run(tmp_path, dataset="fashion_mnist", train_images=20, epochs=1)
    assert record["data"]["train_images_used"] == 20 and record["fidelity"]["switches"]["train_images"] == 20


KILLED = ["train", "quickstart", "--deterministic", "width=0.1", "epochs=4", "batch_size=50", "learning_rate=1e-3"]
KILLED += ["beta_warmup_epochs=3"]


def test_killed_and_continued_equals_uninterrupted_bit_for_bit(tmp_path):
    def start(place):
        places = ["--results", str(tmp_path / place), "--work-dir", str(tmp_path / place / "work")]
        words = [sys.executable, str(ROOT / "run.py"), *KILLED, *places]
        with open(tmp_path / f"{place}.log", "a") as log:
            return subprocess.Popen(words, stdout=log, stderr=log, env=os.environ)

    def stop_after(process, epoch, number):
        folder = tmp_path / "killed/work/quickstart/digits/echo/beta0.5_seed0_own"
        deadline = time.time() + 120
        while not list(folder.glob(f"checkpoint-{epoch:09d}.npz")):
            assert process.poll() is None and time.time() < deadline, (tmp_path / "killed.log").read_text()
            time.sleep(0.02)
        process.send_signal(number)
        return process.wait()

    whole = start("whole")
    assert whole.wait() == 0, (tmp_path / "whole.log").read_text()
    assert stop_after(start("killed"), 1, signal.SIGTERM) == 75
    assert stop_after(start("killed"), 2, signal.SIGKILL) == -signal.SIGKILL
    assert start("killed").wait() == 0, (tmp_path / "killed.log").read_text()
    path = "runs/quickstart/digits/echo/beta0.5_seed0_own.json"
    one, other = (records.read(tmp_path / place / path).record for place in ("whole", "killed"))
    without_times = [[{k: v for k, v in entry.items() if k != "seconds"} for entry in r["history"]] for r in (one, other)]
    assert without_times[0] == without_times[1] and len(without_times[0]) == 4
    assert one["test"]["metrics"] == other["test"]["metrics"]
    models = [
        keras.saving.load_model(tmp_path / place / "work/quickstart/digits/echo/beta0.5_seed0_own/model.keras")
        for place in ("whole", "killed")
    ]
    for mine, theirs in zip(models[0].get_weights(), models[1].get_weights()):
        np.testing.assert_array_equal(mine, theirs)


def test_a_warm_up_of_beta_and_a_standardized_code_are_settings_of_a_run(tmp_path):
    record, _ = run(tmp_path, standardize=True, beta_warmup_epochs=2, epochs=3)
    assert record["config"]["standardize"] and record["config"]["beta_warmup_epochs"] == 2
    shares = [(entry["loss_nats"] - entry["distortion_nats"]) / entry["rate_nats"] for entry in record["history"]]
    np.testing.assert_allclose(shares, [3 / 16, 11 / 16, 1], atol=0.02)  # four steps an epoch: the mean of beta in them
    record, _ = run(tmp_path, method="vae", standardize=True)
    assert record["config"].get("standardize") is None  # not one of its settings


def test_a_refused_setting_does_not_stand_in_the_way_of_its_correction(tmp_path):
    settings = {"method": "vae-vamp", "name": "mine"}
    with pytest.raises(InputError, match="'pseudo_inputs' is 50, but tiny has 45"):
        run(tmp_path, pseudo_inputs=50, **settings)
    assert run(tmp_path, pseudo_inputs=5, **settings)[0]["status"] == "finished"


def test_a_training_of_fewer_steps_than_lie_between_checkpoints_trains(tmp_path):
    record, _ = run(tmp_path, method="vae", epochs=None, steps=5, checkpoint_steps=10)
    assert len(record["history"]) == 1 and record["status"] == "finished"


def test_other_data_under_the_same_name_are_noticed_by_a_run_that_continues_and_one_that_measures(tmp_path):
    def others():
        images = tiny_images()
        return dataclasses.replace(images, splits={name: 1 - x for name, x in images.splits.items()})

    settings = tiny(method="vae")
    place = Place(settings, tools(tmp_path), None)
    place.data("tiny")
    place.save(1, {"x": np.zeros(2)})
    assert Place(settings, tools(tmp_path), None).restore() is not None
    with pytest.raises(InputError, match="checkpoints made of other data of the name tiny"):
        Place(settings, tools(tmp_path, others), None).restore()
    run(tmp_path, method="vae", name="whole")
    measurement = likelihood.Settings(study="measured", model=tiny(method="vae", name="whole"), samples=2)
    with pytest.raises(InputError, match="was trained on other data of the name tiny"):
        run_settings(measurement, tools(tmp_path, others))
    assert run_settings(measurement, tools(tmp_path))[0].finished


def test_a_measurement_that_is_not_finite_leaves_a_record_that_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_training, "evaluate", lambda *_: {"rate_nats": {"mean": math.inf, "standard_error": 1.0}})
    record, _ = run(tmp_path, method="vae")
    assert record["status"] == "diverged" and "rate_nats.mean is inf" in record["reason"]
    assert not records.read_all(tmp_path / "results")[0].finished


def test_damaged_settings_beside_checkpoints_are_said_in_one_line(tmp_path):
    path = tmp_path / "work/tests/tiny/vae/beta1_seed0_none/config.json"
    path.parent.mkdir(parents=True)
    for content in ("{", "[1]", "\x00"):
        path.write_text(content)
        with pytest.raises(InputError, match="is damaged"):
            run(tmp_path, method="vae")


@pytest.mark.parametrize("distortion", ["gaussian", "squared_error"])
def test_vectors_of_any_range_train_and_no_likelihood_means_no_elbo(tmp_path, distortion):
    x = np.random.default_rng(0).normal(0, 3, (60, 7)).astype(np.float32)
    splits = {"train": x[:45], "test": x[45:]}
    data = ImageData("vectors", "normal", "made here", splits, limits=(float(x.min()), float(x.max())))
    record, _ = run(tmp_path, lambda: data, method="vae", distortion=distortion)
    unit = {"gaussian": "nats", "squared_error": "sse"}[distortion]
    assert set(record["test"]["metrics"]) == {"rate_nats", f"distortion_{unit}", *(["neg_elbo_nats"] * (unit == "nats"))}
    assert "examples" not in record and f"distortion_{unit}" in record["history"][0]
    found = records.read_all(tmp_path / "results")
    assert tables.write(tmp_path / "results", "tests", found) and figures.write(tmp_path / "results", "tests", found) == []
    with pytest.raises(InputError, match="expected examples between 0 and 1.*distortion=gaussian"):
        run(tmp_path, lambda: data, method="vae", name="bernoulli")


def test_images_of_a_size_that_the_network_cannot_take_are_padded_and_the_record_says_so(tmp_path):
    images = {split: x[:, :7, :6] for split, x in tiny_images().splits.items()}
    data = ImageData("small", "cut", "made here", images, 1)
    record, _ = run(tmp_path, lambda: data, network=alemi2018, method="vae", epochs=1)
    assert record["data"]["padded_to"] == [8, 8, 1] and record["examples"]["images"]["shape"] == [10, 8, 8, 1]
    assert record["data"]["sha256"] == data.sha256


def test_a_dataset_without_a_test_split_is_tested_on_training_images_and_the_record_says_so(tmp_path):
    data = ImageData("alone", "bars", "made here", {"train": tiny_images().splits["train"]}, 1)
    record, _ = run(tmp_path, lambda: data, method="vae", epochs=1)
    assert record["test"]["split"] == "train" and record["test"]["images"] == 45
