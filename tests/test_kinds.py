"""The contract of kinds of run, and the proof that a kind is one file: see echo_tf/kinds/README.md."""

import json
import os
import signal

import pytest

import echo_tf.kinds
import run as command_line
from echo_tf import figures, tables
from echo_tf.errors import InputError, Interrupted
from echo_tf.kinds import (
    aae,
    ais,
    autoencoder,
    bidirectional,
    classifier,
    data_bounds,
    disentangle,
    echo_analysis,
    gan,
    isometry,
    likelihood,
    variational,
)
from echo_tf.kinds import toy as toys
from echo_tf.kinds._networks import check_network
from echo_tf.runs import kind_of, local_engine, records, survey
from echo_tf.runs.place import Place
from echo_tf.runs.resolving import resolve
from echo_tf.runs.runner import missing, run
from echo_tf.runs.studies import Study, expand, read_study
from models import wu2017
from tests.conftest import ROOT
from tests.small_runs import TINY, tiny, tools

SMALL_NETWORKS = {"width": 0.01, "latent_dim": 2, "epochs": 2, "batch_size": 10, "samples": 20}
SMALLEST = {
    "autoencoder": lambda: tiny(method="vae", beta=0.5, epochs=3),
    "likelihood": lambda: likelihood.Settings(study="more", samples=11, model=tiny(method="vae", beta=0.5, epochs=3)),
    "echo_analysis": lambda: echo_analysis.Settings(study="more", model=tiny(beta=0.5)),
    "ais": lambda: curve(),
    "data_bounds": lambda: data_bounds.Settings(
        study="more",
        dataset="tiny",
        betas=(0.1, 1.0),
        train_images=20,
        lower_images=20,
        num_images=3,
        points=4,
        components=2,
        steps=2,
    ),
    "toy": lambda: toys.Settings(study="tests", source="mix", loss="down", multipliers=(5, 100), epochs=2, **POINTS),
    "isometry": lambda: isometry.Settings(study="more", model=SMALLEST["toy"]()),
    "disentangle": lambda: disentangle.Settings(
        study="more",
        group_size=4,
        num_train=60,
        num_eval=20,
        num_points=40,
        model=tiny(beta=0.5, gamma=2, discriminator_units=(5,)),
    ),
    "gan": lambda: gan.Settings(study="more", dataset="tiny", penalty_weight=1.0, **SMALL_NETWORKS),
    "aae": lambda: aae.Settings(study="more", dataset="tiny", encoder="stochastic", **SMALL_NETWORKS),
    "classifier": lambda: classifier.Settings(study="more", dataset="labelled", width=0.05, epochs=2, batch_size=10),
    "variational": lambda: variational.Settings(
        study="more",
        model=tiny(method="vae", epochs=3, distortion="squared_error"),
        betas=(0.1, 1.0),
        epochs=1,
        batch_size=10,
        encoder_width=0.01,
        num_images=3,
        samples=2,
    ),
    "bidirectional": lambda: bidirectional.Settings(study="more", betas=(1.0,), num_images=2, model=curve()),
}


POINTS = {"points": 300, "batch_size": 100, "width": 0.1}


def curve(**more):
    given = {"distortion": "own", "num_temperatures": 12, "num_betas": 3, "max_beta": 2, "num_images": 2, "num_chains": 2}
    return ais.Settings(study="more", model=tiny(method="vae", beta=0.5, epochs=3), leapfrog_steps=2, **{**given, **more})


UNITS = ("_nats", "_sse", "_seconds", "_bytes")
COUNTS = ("parameters", "samples_per_image", "draws", "_marginals", "beta", "effective_chains", "_share", "classes", "_mmd")
COUNTS += ("_score", "multiplier", "latent", "alive", "variance", "derivative", "derivative_jvp", "norm")
COUNTS += ("_sd",)  # of a distortion


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    from functools import partial

    from echo_tf import analysis

    monkeypatch.setattr(analysis, "analyse", partial(analysis.analyse, samples_per_image=2, noise_batches=20))


@pytest.mark.parametrize("name", kind_of.kinds())
def test_every_kind_performs_stops_continues_skips_and_can_be_read(name, tmp_path):
    settings, given = SMALLEST[name](), tools(tmp_path)
    for needed in missing(settings, given):
        run(needed, given)
    assert missing(settings, given) == [] and settings.kind == name
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Place, "check", lambda place: (_ for _ in ()).throw(Interrupted("stopped")))
        run(settings, given)
    assert not records.path_of(settings, given.results).exists()
    result, existed = run(settings, given)
    assert not existed and result.finished and run(settings, given)[1]
    assert json.loads(result.path.read_text())["config"] == settings.recorded() == result.settings.recorded()
    assert result.settings.run_path == settings.run_path
    for row in result.rows():
        for column, value in row.items():
            assert isinstance(value, str | None) or column.endswith((*UNITS, *COUNTS)), f"{column} has no unit"
    assert kind_of.line(result.record).count("\n") == 0
    assert survey.listing([settings], given).splitlines()[0].split()[1] == "finished"


def test_table_and_figure_of_every_kind_come_from_records_alone(tmp_path):
    given = tools(tmp_path)
    for name in kind_of.kinds():
        settings = SMALLEST[name]()
        for needed in (*missing(settings, given), settings):
            run(needed, given)
    every = records.read_all(given.results)
    assert {result.settings.kind for result in every} == set(kind_of.kinds())
    for study in ("tests", "more"):
        assert tables.write(given.results, study, every)
        assert all(path.is_file() for path in figures.write(given.results, study, every))


TOY = '''
"""A random walk: a kind of run of one's own."""
from typing import ClassVar
import numpy as np
import pydantic
from echo_tf.runs.settings import Settings as Core

class Settings(Core):
    """steps: how far. width: of a step."""
    folders: ClassVar = ("width",)
    kind: str = "walk"
    steps: int = pydantic.Field(ge=1)
    width: float = 1.0
    after: bool = False

    @property
    def amount(self):
        return self.steps, "steps"

def needs(settings):
    return [settings.model_copy(update={"after": False, "variant": None})] if settings.after else []

def perform(settings, place):
    state = place.restore({"at": (), "generator": (624,)})
    generator = np.random.RandomState(settings.seed)
    done, at = 0, 0.0
    if state is not None:
        done, at = state.done, float(state.arrays["at"])
        generator.set_state(("MT19937", state.arrays["generator"], state.notes, 0, 0.0))
    if settings.after:
        at += place.needed(needs(settings)[0]).rows()[0]["distance_nats"]
    for step in range(done + 1, settings.steps + 1):
        at += settings.width * generator.uniform(-1, 1)
        name, keys, position, *_ = generator.get_state()
        place.save(step, {"at": np.array(at), "generator": keys}, position)
        place.check()
    place.attach("path", {"end": np.array(at)})
    return {"distance": at}

def rows(record):
    return [{"distance_nats": record["distance"]}]
'''
STUDY = {"study": "walks", "description": "d", "kind": "walk", "base": {"steps": 9}, "presets": {"tiny": {}}}
STUDY |= {"axes": {"width": [0.5, 2.0], "seed": [0, 1]}, "variants": {"": {}, "on": {"after": True, "width": 2.0, "seed": 0}}}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds/walk.py").write_text(TOY)
    monkeypatch.setattr(echo_tf.kinds, "__path__", [*echo_tf.kinds.__path__, str(tmp_path / "kinds")])


def test_a_kind_is_one_file_found_by_its_name(toy, tmp_path, capsys):
    (tmp_path / "walks.yaml").write_text(json.dumps(STUDY))
    places = ["--results", str(tmp_path / "results"), "--work-dir", str(tmp_path / "work")]

    def command(*words):
        assert command_line.main([*words, *places]) == 0, capsys.readouterr()
        return capsys.readouterr().out

    assert "5 runs: 5 missing" in command("study", str(tmp_path / "walks.yaml"), "--list")
    said = command("reproduce", str(tmp_path / "walks.yaml"))
    assert "5 runs: 5 finished" in said and "| tiny | on |" in said
    assert "5 runs: 5 finished" in command("study", str(tmp_path / "walks.yaml"), "--list")
    written = (tmp_path / "results/tables/walks_rows.csv").read_text()
    assert written in [(command("tables"), (tmp_path / "results/tables/walks_rows.csv").read_text())[1]]
    assert len(written.splitlines()) == 6 and written.splitlines()[0] == "preset,variant,seed,width,after,distance_nats"
    [on] = [r for r in records.read_all(tmp_path / "results") if r.settings.after]
    assert list(on.record["attached"]) == ["path"] and on.arrays("path")["end"] == on.record["distance"]


def test_a_toy_that_is_stopped_anywhere_ends_where_it_would_have(toy, tmp_path):
    settings = kind_of.kind_of("walk").Settings(study="walks", steps=30, seed=3)
    whole, _ = run(settings, tools(tmp_path / "whole"))

    class Stopping(Place):
        def save(self, done, *arguments):
            super().save(done, *arguments)
            if done % 10 == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    given = tools(tmp_path / "stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echo_tf.runs.runner.Place", Stopping)
        for done in (10, 20):
            with pytest.raises(Interrupted):
                run(settings, given)
            assert survey.survey([settings], given)[0][:2] == ("unfinished", done)
    result, _ = run(settings, given)
    assert result.record["distance"] == whole.record["distance"]


def test_a_kind_that_is_not_there_or_lacks_a_part_is_said(tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text("def rows(record): return []")
    monkeypatch.setattr(echo_tf.kinds, "__path__", [*echo_tf.kinds.__path__, str(tmp_path)])
    for name, message in (
        ("autoencodr", "did you mean 'autoencoder'"),
        ("half", "lacks Settings, perform"),
        ("../x", "must be one of"),
    ):
        with pytest.raises(InputError, match=message):
            expand(Study(**{**STUDY, "kind": name}))


def test_a_study_of_measurements_has_a_run_for_each_of_those_that_it_measures(tmp_path):
    models = Study(study="models", description="d", base={**TINY, "method": "vae"}, axes={"beta": [0.5, 1.0], "seed": [0, 1]})
    study = Study(study="more", description="d", kind="likelihood", base={"samples": 5, "seed": 1})
    study._measured = models
    assert [str(s.run_path) for s in expand(study)] == [
        f"more/tiny/vae/beta{beta}_seed1_paper_likelihood" for beta in ("0.5", "1")
    ]
    assert len(expand(study, None, ["beta=1"])) == 1
    outcomes = local_engine.run_local(
        expand(study), tools(tmp_path), lambda s: run(s, tools(tmp_path))[0], say=lambda line: None
    )
    assert all("needs the run models/tiny/vae" in outcome for outcome in outcomes.values())


def test_a_training_by_steps_checkpoints_by_steps_and_continues(tmp_path):
    settings = {
        "method": "vae",
        "epochs": None,
        "steps": 12,
        "checkpoint_steps": 3,
        "schedule": "constant",
        "deterministic": True,
    }
    settings = autoencoder.Settings(**{**TINY, **settings})  # 4 steps are an epoch
    whole, _ = run(settings, tools(tmp_path / "whole"))
    assert [entry["step"] for entry in whole.record["history"]] == [3, 6, 9, 12]

    class Stopping(Place):
        def save(self, done, *arguments):
            super().save(done, *arguments)
            if done == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    given = tools(tmp_path / "stopped")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("echo_tf.runs.runner.Place", Stopping)
        run(settings, given)
    assert "6 of 12 steps" in survey.listing([settings], given)
    result, _ = run(settings, given)
    assert result.record["test"]["metrics"] == whole.record["test"]["metrics"]


@pytest.mark.parametrize("method", ["vae-vamp", "vae-maf", "echo"])
def test_a_run_stopped_between_its_last_checkpoint_and_its_record_ends_with_the_same_bits(tmp_path, method):
    settings = tiny(method=method, pseudo_inputs=12, flow_units=(8,), deterministic=True)
    whole, _ = run(settings, tools(tmp_path / "whole"))
    given = tools(tmp_path / "stopped")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("echo_tf.kinds._training.measure", lambda *_: (_ for _ in ()).throw(Interrupted("stopped")))
        run(settings, given)
    result, _ = run(settings, given)
    assert result.record["test"]["metrics"] == whole.record["test"]["metrics"]
    assert result.record["examples"] == whole.record["examples"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"depth": 0}, "depth must be a whole number from 1"),
        ({"depth": -1}, "depth must be a whole number from 1"),
        ({"depth": True}, "depth must be a whole number from 1 .*, got True"),
        ({"depth": 2.5}, "depth must be a whole number"),
        ({"depth": 10**9}, "depth must be a whole number"),
        ({"activation": 3}, "activation must be text, as 'tanh', got 3"),
        ({"deepth": 3}, "may be depth, activation, got 'deepth'"),
    ],
)
def test_settings_of_a_network_are_of_the_types_of_its_defaults(given, words):
    with pytest.raises(InputError, match=words):
        check_network(tiny(network="wu2017", network_settings=given), wu2017)
    check_network(tiny(network="wu2017", network_settings={"depth": 2, "activation": "relu"}), wu2017)


@pytest.mark.parametrize("name", ["lower_images", "points", "components"])
def test_bounds_of_data_take_no_more_than_their_images(name):
    with pytest.raises(InputError, match=f"'{name}' is 201, more than train_images, 200"):
        resolve(read_study("ais/data", ROOT / "configs"), "smoke", [f"{name}=201"])


def test_more_training_images_than_there_are_are_refused_before_the_first_step(tmp_path):
    with pytest.raises(InputError, match="'train_images' is 5000, but tiny has 45 training images"):
        run(tiny(train_images=5000), tools(tmp_path))
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").rglob("*.json"))
