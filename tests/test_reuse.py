import numpy as np
import pytest

from echo_tf import analysis, records, reuse, studies
from echo_tf.config import RunConfig
from echo_tf.data import ImageData
from echo_tf.training import train
from tests.test_training import TINY, run, tiny_images


def again(tmp_path, load=tiny_images, **settings):
    """A run that fails if it is trained: it has no network."""
    return train(RunConfig(**{**TINY, **settings}), None, load, tmp_path / "results", tmp_path / "work", verbose=0)


def test_a_training_of_one_study_serves_another_and_the_record_says_so(tmp_path):
    first, _ = run(tmp_path, method="vae", likelihood_samples=10)
    (tmp_path / "results/runs/damaged.json").write_text("{")
    record, existed = again(tmp_path, method="vae", study="second", preset="paper", variant="baseline")
    assert existed and record["same_training_as"] == "tests/tiny/vae/beta1_seed0_none"
    assert record["test"]["metrics"] == first["test"]["metrics"] and record["history"] == first["history"]
    assert record["config"] == RunConfig(**{**TINY, **{k: record["config"][k] for k in ("method", *reuse.PLACE)}}).model_dump()
    assert record["test"]["log_likelihood"] == reuse.NOT_ASKED_FOR  # as if the run had been trained for this study
    path = tmp_path / "results/runs/second/tiny/vae/baseline_beta1_seed0_paper.json"
    assert records.read(path)["same_training_as"] in records.in_words(records.read(path))
    (tmp_path / "results/runs/damaged.json").unlink()
    third = RunConfig(**{**TINY, "method": "vae", "study": "third"})
    assert [state.word for state in studies.survey([third], tmp_path / "results", tmp_path)] == ["elsewhere"]
    (tmp_path / "results/runs/tests/tiny/vae/beta1_seed0_none.json").unlink()
    third, _ = again(tmp_path, method="vae", study="third")
    assert third["same_training_as"] == "tests/tiny/vae/beta1_seed0_none"


def test_an_analysis_goes_with_the_record_that_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "analyse", lambda model, x, **_: {"here": np.arange(3)})
    monkeypatch.setattr(analysis, "key_numbers", lambda found: {"number": 1})
    run(tmp_path, analysis=True)
    record, _ = again(tmp_path, analysis=True, study="second", preset="paper")
    assert record["analysis"] == {"file": "beta1_seed0_paper.analysis.npz", "number": 1}
    with np.load(tmp_path / "results/runs/second/tiny/echo/beta1_seed0_paper.analysis.npz") as stored:
        np.testing.assert_array_equal(stored["here"], np.arange(3))
    plain, _ = again(tmp_path, study="third")
    assert "analysis" not in plain


@pytest.mark.parametrize(
    "settings", [{"seed": 1}, {"beta": 2.0}, {"name": "mine"}, {"likelihood_samples": 20}, {"deterministic": True}]
)
def test_another_training_or_more_to_measure_or_a_name_of_its_own_is_not_served(tmp_path, settings):
    record, _ = run(tmp_path, method="vae", likelihood_samples=10)
    config = {**TINY, "method": "vae", "study": "second"}
    assert reuse.serves(record, RunConfig(**config))
    assert not reuse.serves(record, RunConfig(**{**config, **settings}))
    assert not reuse.serves({**record, "status": "diverged"}, RunConfig(**config))


def test_other_pixels_are_trained_on_anew(tmp_path):
    run(tmp_path, method="vae")
    data = tiny_images()
    other = ImageData(data.name, data.variant, data.source, {s: x[:, :, ::-1] for s, x in data.splits.items()}, 1)
    record, existed = run(tmp_path, lambda: other, method="vae", study="second")
    assert not existed and "same_training_as" not in record
