import json
import os
import signal
from pathlib import Path

import filelock
import pytest

from echo_tf import guards
from echo_tf.errors import InputError, Interrupted
from echo_tf.kinds import autoencoder
from echo_tf.runs import kind_of, local_engine, records, studies, survey
from echo_tf.runs import settings as settings_module
from echo_tf.runs.interrupts import StopRequest
from echo_tf.runs.place import Place, model_path
from echo_tf.runs.resolving import resolve
from echo_tf.runs.runner import run as run_settings
from echo_tf.runs.studies import Study, read_study
from tests.small_runs import TINY, tools

CONFIGS = Path(__file__).parent.parent / "configs"
BASE = {key: value for key, value in TINY.items() if key not in ("study", "method")}


def a_study(**parts):
    axes = {"method": ["echo", "vae"], "beta": [0.5, 1, 2]}
    return Study(**{"study": "tests", "description": "d", "base": BASE, "axes": axes, "presets": {"paper": {}}, **parts})


def names(configs):
    return [f"{config.method}/{config.run_name}" for config in configs]


def test_a_study_is_the_product_of_its_axes_the_last_changing_fastest():
    assert names(studies.expand(a_study()))[:4] == [
        "echo/beta0.5_seed0_paper",
        "echo/beta1_seed0_paper",
        "echo/beta2_seed0_paper",
        "vae/beta0.5_seed0_paper",
    ]
    assert len(studies.expand(a_study())) == 6


def test_the_settings_of_a_zip_vary_together():
    zips = [{"dataset": ["tiny", "large"], "latent_dim": [3, 9]}]
    found = studies.expand(a_study(zips=zips, presets={"paper": {}, "small": {"dataset": "tiny", "latent_dim": 2}}))
    assert len(found) == 12 and {(c.dataset, c.latent_dim) for c in found} == {("tiny", 3), ("large", 9)}
    small = studies.expand(a_study(zips=zips, presets={"small": {"dataset": "tiny", "latent_dim": 2}}))
    assert len(small) == 6 and {(c.dataset, c.latent_dim) for c in small} == {("tiny", 2)}


def test_what_a_study_and_a_preset_extend_goes_before_what_they_say(tmp_path):
    def write(name, **parts):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"study": name, "description": "", "kind": "autoencoder", **parts}))

    write(
        "old", base={**BASE, "method": "vae"}, variants={"a": {}}, presets={"short": {"epochs": 3, "beta": 2, "variant": "a"}}
    )
    write("new", extends="old", base={"latent_dim": 7}, presets={"short": {"extends": "old", "beta": 4}, "paper": {}})
    (run,) = studies.expand(read_study("new", tmp_path), "short")
    assert (run.latent_dim, run.epochs, run.beta, run.method, run.variant) == (7, 3, 4, "vae", None)
    write("newer", extends="new", presets={"short": {"extends": "new", "epochs": 1}})
    (run,) = studies.expand(read_study("newer", tmp_path), "short")
    assert (run.latent_dim, run.epochs, run.beta) == (7, 1, 4)
    write("wrong", extends="old", presets={"shrot": {"extends": "old"}})
    with pytest.raises(InputError, match="old has the presets short, got 'shrot'"):
        read_study("wrong", tmp_path)
    write("wrong", presets={"short": {"extends": 5}})
    with pytest.raises(InputError, match="extends 5, which is no name of a study"):
        read_study("wrong", tmp_path)
    write("round", presets={"short": {"extends": "round"}})
    with pytest.raises(InputError, match="extends or measures itself"):
        read_study("round", tmp_path)


@pytest.mark.parametrize("zipped", [{"dataset": ["a", "b"], "latent_dim": [3]}, {"dataset": [], "latent_dim": []}])
def test_zips_of_different_lengths_and_empty_ones_are_refused(zipped):
    with pytest.raises(InputError, match="equally many values, and at least one.*dataset has"):
        studies.expand(a_study(zips=[zipped]))


def test_a_preset_pins_an_axis_or_replaces_its_values_and_train_takes_the_first():
    study = a_study(presets={"short": {"method": "vae", "beta": [0.1, 0.2], "epochs": 1}})
    assert names(studies.expand(study)) == ["vae/beta0.1_seed0_short", "vae/beta0.2_seed0_short"]
    assert resolve(study).beta == 0.1 and resolve(study, None, ["beta=7"]).beta == 7 and resolve(study).epochs == 1


def test_variants_name_their_runs_and_may_replace_axes():
    variants = {"baseline": {}, "ring": {"method": "echo", "scheme": "ring"}}
    study = a_study(variants=variants, presets={"paper": {}, "one": {"variant": "ring", "beta": 1}})
    found = studies.expand(study)
    assert len(found) == 9 and names(found)[-1] == "echo/ring_beta2_seed0_paper" and found[-1].scheme == "ring"
    assert names(studies.expand(study, "one")) == ["echo/ring_beta1_seed0_one"]
    assert len(studies.expand(study, None, ["variant=ring"])) == 3
    assert resolve(study).variant == "baseline" and resolve(study, None, ["variant=ring"]).scheme == "ring"
    with pytest.raises(InputError, match="did you mean 'ring'"):
        resolve(study, None, ["variant=rong"])


def test_a_setting_that_a_method_of_a_variant_does_not_take_is_refused():
    with pytest.raises(InputError, match="scheme is not one of method 'vae'"):
        studies.expand(a_study(variants={"ring": {"scheme": "ring"}}))


def test_two_runs_with_one_record_path_are_refused_with_what_differs():
    with pytest.raises(InputError, match=r"have the name tests/tiny/echo/beta0.5_seed0_paper.*latent_dim: 3 -> 4.*variants"):
        studies.expand(a_study(zips=[{"latent_dim": [3, 4]}]))


def test_a_setting_varies_in_one_place_only():
    with pytest.raises(ValueError, match="beta varies in more than one place"):
        a_study(zips=[{"beta": [1], "seed": [0]}])


def test_only_chooses_runs_by_value():
    assert names(studies.expand(a_study(), None, ["beta=0.5,2e0", "method=vae"])) == [
        "vae/beta0.5_seed0_paper",
        "vae/beta2_seed0_paper",
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bata=1", "did you mean 'beta'"),
        ("beta=3", "0.5, 1.0, 2.0 here, got '3'"),
        ("method=ehco", "did you mean 'echo'"),
        ("beta", r"axis=value\[,value\]"),
    ],
)
def test_only_with_an_unknown_axis_or_value_names_those_that_are_there(word, message):
    with pytest.raises(InputError, match=message):
        studies.expand(a_study(), None, [word])


@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_outside_the_list_is_refused(index):
    with pytest.raises(InputError, match="indices 0 to 5"):
        studies.pick(studies.expand(a_study()), index)
    assert studies.pick(studies.expand(a_study()), 5).run_name == "beta2_seed0_paper"


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_of_every_committed_study_expands(path):
    study = read_study(path)
    for preset in study.presets:
        assert bool(studies.expand(study, preset)) == bool(study.base or study.axes)
    if path.parent != CONFIGS:
        assert set(study.presets) == {"paper", "short", "quick", "smoke"}


@pytest.fixture
def do(tmp_path):
    """Does the runs of a study in tmp_path; `before(config)` is called first and may raise."""

    def do(configs, before=lambda config: None, lines=None):
        def run(config):
            before(config)
            return run_settings(config, tools(tmp_path))[0]

        return local_engine.run_local(configs, tools(tmp_path), run, say=(lines if lines is not None else []).append)

    return do


def states(configs, tmp_path):
    return [state.word for state in survey.survey(configs, tools(tmp_path))]


def test_a_run_that_fails_or_diverges_does_not_stop_the_rest(do, tmp_path, capsys, monkeypatch):
    configs = studies.expand(a_study(axes={"method": ["vae"], "seed": [0, 1, 2]}))
    schedule = {"paper": lambda epoch, epochs, base: 1e30 if current.seed == 1 else base}
    monkeypatch.setattr("echo_tf.kinds._training.SCHEDULES", schedule)

    def before(config):
        nonlocal current
        current = config
        if config.seed == 0:
            raise RuntimeError("no memory left\nand more")

    current = None
    outcomes = do(configs, before)
    assert list(outcomes.values()) == ["RuntimeError: no memory left", "diverged", "finished"]
    assert local_engine.conclude(outcomes) == 1
    said = capsys.readouterr()
    assert "3 runs: 1 failed, 1 diverged, 1 finished" in said.out and "failed (RuntimeError: no memory left)" in said.err
    assert states(configs, tmp_path) == ["missing", "diverged", "finished"]
    assert (
        local_engine.conclude({"a": "finished"}) == 0 and local_engine.conclude({"a": "finished", "b": local_engine.HELD}) == 75
    )


def test_an_interrupted_study_says_what_is_unfinished_and_continues(do, tmp_path, monkeypatch):
    configs = studies.expand(a_study(axes={"method": ["vae"], "seed": [0, 1, 2]}))

    class Stopping(Place):
        """Sends SIGTERM to this process once the second run has its first checkpoint."""

        def save(self, *arguments):
            super().save(*arguments)
            if self.settings.seed == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    def run(config):
        return run_settings(config, tools(tmp_path))[0]

    monkeypatch.setattr("echo_tf.runs.runner.Place", Stopping)
    with pytest.raises(Interrupted):
        local_engine.run_local(configs, tools(tmp_path), run, say=lambda line: None)
    monkeypatch.undo()
    assert states(configs, tmp_path) == ["finished", "unfinished", "missing"]
    listed = survey.listing(configs, tools(tmp_path))
    assert "1 of 2 epochs" in listed and "3 runs: 1 finished, 1 unfinished, 1 missing; left to do: " in listed
    lines, started = [], []
    assert set(do(configs, lambda config: started.append(config.seed), lines).values()) == {"finished"}
    assert lines == ["1 of 3 runs are there already", *(f"[{n}/3] {configs[n - 1].run_path}" for n in (2, 3))]
    assert started == [1, 2] and states(configs, tmp_path) == ["finished"] * 3


def test_a_stop_between_runs_or_during_the_end_of_one_stops_the_study(tmp_path):
    configs = studies.expand(a_study(axes={"method": ["vae"], "seed": [0, 1]}))

    def run(config):
        with StopRequest():  # as in a run that is past its last check
            os.kill(os.getpid(), signal.SIGTERM)
        return records.Result(tmp_path, {"status": "finished"}, config)

    with pytest.raises(Interrupted):
        local_engine.run_local(configs, tools(tmp_path), run, say=lambda line: None)


def test_a_run_that_another_process_holds_is_passed_over_and_tried_again(do, tmp_path):
    configs = studies.expand(a_study(axes={"method": ["vae"], "seed": [0, 1]}))
    folder = tmp_path / "work" / configs[0].run_path
    folder.mkdir(parents=True)
    lock, lines = filelock.FileLock(folder / "lock"), []
    lock.acquire()
    outcomes = do(configs, lambda config: lock.release() if config.seed == 1 else None, lines)
    assert set(outcomes.values()) == {"finished"} and len([line for line in lines if "held" in line]) == 1
    assert [line[:5] for line in lines if line[0] == "["] == ["[1/2]", "[2/2]", "[1/2]"]


def test_a_record_of_another_configuration_is_refused_and_listed_so(do, tmp_path):
    configs = studies.expand(a_study(axes={"method": ["vae"]}))
    do(configs)
    changed = [config.model_copy(update={"epochs": 3}) for config in configs]
    assert states(changed, tmp_path) == ["refused"]
    assert ["epochs: 2 -> 3" in outcome for outcome in do(changed).values()] == [True]


def test_time_left_is_estimated_from_finished_runs_of_any_study_by_the_number_of_images(do, tmp_path):
    do(studies.expand(a_study(study="others", axes={"method": ["vae"]})))
    [record] = (result.record for result in records.read_all(tmp_path / "results"))
    pace = record["train_seconds"] / (len(record["history"]) * record["data"]["train_images_used"])

    def left(**axes):
        configs = studies.expand(a_study(axes=axes))
        return [state.seconds for state in survey.survey(configs, tools(tmp_path))]

    images = {record["config"]["dataset"]: record["data"]["train_images_used"], "omniglot": 24_345}
    for dataset, number in images.items():
        assert left(method=["vae"], dataset=[dataset], epochs=[4]) == [pytest.approx(4 * number * pace)]
    assert left(method=["echo"]) == left(method=["vae"], seed=[1]), "no Echo run yet: any method's pace with this network"
    assert isinstance(left(method=["echo"])[0], kind_of.Guess) and not isinstance(
        left(method=["vae"], seed=[1])[0], kind_of.Guess
    )
    assert left(method=["vae"], dataset=["unheard_of"]) == left(method=["vae"], width=[3.0]) == [None]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "unknown"),
        (kind_of.Guess(12_600), "a guess: 3.5 h"),
        (40, "40 s"),
        (720, "12 min"),
        (12_600, "3.5 h"),
        (181_440, "2.1 days"),
    ],
)
def test_durations_in_words(seconds, words):
    assert survey.duration(seconds) == words


def test_no_graph_of_a_run_outlives_it(do):
    """What TensorFlow keeps of one run would add up over a study."""
    import gc

    if guards.keras.backend.backend() != "tensorflow":
        pytest.skip("graphs are TensorFlow's")
    from tensorflow.python.framework.func_graph import FuncGraph

    def graphs():
        return sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())

    configs = studies.expand(a_study(axes={"method": ["vae", "echo"], "seed": [0, 1]}))
    do(configs[:1])
    before = graphs()
    do(configs[1:])
    assert graphs() <= before


def test_one_run_of_a_measurement_is_that_of_the_study_variant_by_variant():
    study = read_study("ais/curves", CONFIGS)
    for settings in studies.expand(study, "paper"):
        found = resolve(study, "paper", [f"variant={settings.model.variant}"])
        assert found == settings
    one = resolve(read_study("echo/table3", CONFIGS), "smoke")
    assert one in studies.expand(read_study("echo/table3", CONFIGS), "smoke") and one.preset == "smoke"
    assert resolve(read_study("echo/table1", CONFIGS), "smoke", ["dataset=digits"]).preset == "smoke"
    own = resolve(study, "smoke", ["num_temperatures=400"])
    assert own.preset == "own" and own.run_name.endswith("_own") and own.model.preset == "smoke"


def test_how_exactly_a_run_repeats_makes_it_no_other(tmp_path):
    study = read_study("ais/curves", CONFIGS)
    plain, exact = (resolve(study, "smoke", words) for words in ([], ["deterministic=true"]))
    assert exact.deterministic and not exact.model.deterministic and exact.run_path == plain.run_path
    assert not settings_module.difference(plain, exact)
    model = plain.model.model_copy(update={"latent_dim": 7})
    changed = plain.model_copy(update={"model": model})
    assert settings_module.difference(plain, changed) == ["model.latent_dim: 2 -> 7"]


def test_what_has_a_record_is_handed_on_where_it_is_asked_for_again(do, tmp_path):
    configs = studies.expand(a_study(), only=["beta=1"])
    do(configs)
    seen = []
    local_engine.run_local(configs, tools(tmp_path), lambda settings: seen.append(settings) or None, again=True)
    assert seen == configs


def test_a_model_that_is_cut_off_counts_as_gone_and_checkpoints_of_nobody_are_refused(do, tmp_path):
    [config] = studies.expand(a_study(), only=["beta=1", "method=vae"])
    do([config])
    result = records.read(records.path_of(config, tmp_path / "results"))
    path = model_path(result, tmp_path / "work")
    path.write_bytes(path.read_bytes()[:2000])
    assert model_path(result, tmp_path / "work") is None
    place = Place(config, tools(tmp_path), None)
    place.save(1, {}, [])
    (place.folder / "config.json").unlink()
    with pytest.raises(InputError, match="no config.json"):
        place.restore()


def test_the_time_of_a_method_without_records_is_that_of_the_likest_times_what_it_took_of_it_elsewhere():
    def record(method, network, seconds):
        settings = autoencoder.Settings(**{**TINY, "method": method, "network": network})
        done = {"train_seconds": seconds, "data": {"train_images_used": 50_000}}
        return records.Result(Path(), done, settings)

    small = [record("vae", "kingma2014", 10.0), record("vae-vamp", "kingma2014", 45.0), record("vae-maf", "kingma2014", 30.0)]
    large = [record("vae", "alemi2018", 200.0), record("vae-maf", "alemi2018", 210.0)]
    asked = {**TINY, "network": "alemi2018", "dataset": "binary_mnist", "epochs": 6}
    found = autoencoder.seconds_left(autoencoder.Settings(**{**asked, "method": "vae-vamp"}), 0, small + large)
    assert isinstance(found, kind_of.Guess) and found == pytest.approx(3 * 200.0 * 4.5)  # 6 epochs for 2, not by the MAF
    known = autoencoder.seconds_left(autoencoder.Settings(**{**asked, "method": "vae-maf"}), 3, small + large)
    assert not isinstance(known, kind_of.Guess) and known == pytest.approx(1.5 * 210.0)
    alone = autoencoder.seconds_left(autoencoder.Settings(**{**asked, "method": "iaf-vamp"}), 0, large)
    assert isinstance(alone, kind_of.Guess) and alone == pytest.approx(3 * 205.0)
