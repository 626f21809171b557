import pytest

from echo_tf.data import ImageData
from echo_tf.runs import kind_of, records, reuse, survey
from echo_tf.runs.runner import run as run_settings
from tests.small_runs import run, tiny, tiny_images, tools


def again(tmp_path, **settings):
    """A run that fails if it is trained: it has no network."""
    result, existed = run_settings(tiny(**settings), tools(tmp_path, network=None))
    return result.record, existed


def test_a_training_of_one_study_serves_another_and_the_record_says_so(tmp_path):
    first, _ = run(tmp_path, method="vae")
    (tmp_path / "results/runs/damaged.json").write_text("{")
    there = {"study": "second", "preset": "paper", "variant": "baseline"}
    record, existed = again(tmp_path, method="vae", **there)
    assert existed and record["same_training_as"] == "tests/tiny/vae/beta1_seed0_none"
    assert record["test"] == first["test"] and record["history"] == first["history"]
    assert record["config"] == tiny(method="vae", **there).recorded()
    path = tmp_path / "results/runs/second/tiny/vae/baseline_beta1_seed0_paper.json"
    assert record["same_training_as"] in kind_of.line(records.read(path).record)
    (tmp_path / "results/runs/damaged.json").unlink()
    third = tiny(method="vae", study="third")
    assert [state.word for state in survey.survey([third], tools(tmp_path))] == ["elsewhere"]
    (tmp_path / "results/runs/tests/tiny/vae/beta1_seed0_none.json").unlink()
    third, _ = again(tmp_path, method="vae", study="third")
    assert third["same_training_as"] == "tests/tiny/vae/beta1_seed0_none"


def test_a_record_without_pixels_serves_and_one_of_other_pixels_does_not(tmp_path):
    run(tmp_path, method="vae")
    [result] = records.read_all(tmp_path / "results")
    there, second = result.record["data"], tiny(method="vae", study="second")
    for data, good in (({"variant": "a mixture", "points": 9}, True), (there, True), ({**there, "maximum": 16}, False)):
        other = result._replace(record={**result.record, "data": data})
        assert reuse._same_data(other, second, tools(tmp_path)) == good


def test_a_repetition_under_a_name_of_its_own_counts_once(tmp_path):
    for settings in ({}, {"name": "again"}, {"seed": 1}):
        run(tmp_path, method="vae", **settings)
    [group] = records.by_law(records.read_all(tmp_path / "results"))
    assert [(r.settings.seed, r.settings.name) for r in group] == [(0, None), (1, None)]


@pytest.mark.parametrize("settings", [{"seed": 1}, {"beta": 2.0}, {"name": "mine"}, {"deterministic": True}])
def test_another_training_or_a_name_of_its_own_is_not_served(tmp_path, settings):
    run(tmp_path, method="vae")
    [result] = records.read_all(tmp_path / "results")
    assert reuse.serves(result, tiny(method="vae", study="second"))
    assert not reuse.serves(result, tiny(method="vae", study="second", **settings))
    diverged = result._replace(record={**result.record, "status": "diverged"})
    assert not reuse.serves(diverged, tiny(method="vae", study="second"))


def test_other_pixels_are_trained_on_anew(tmp_path):
    run(tmp_path, method="vae")
    data = tiny_images()
    other = ImageData(data.name, data.variant, data.source, {s: x[:, :, ::-1] for s, x in data.splits.items()}, 1)
    record, existed = run(tmp_path, lambda: other, method="vae", study="second")
    assert not existed and "same_training_as" not in record
