import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest

import run
from echo_tf import bench, command_line, console, data
from echo_tf.data.catalog import FETCHABLE
from echo_tf.errors import Interrupted
from echo_tf.runs.interrupts import StopRequest
from echo_tf.runs.resolving import resolve
from echo_tf.runs.studies import read_study
from echo_tf.runs.yaml_text import read_yaml
from tests.conftest import ROOT

SMOKE = ["train", "echo/table1", "--preset", "smoke", "batch_size=50"]


def without_heartbeats(text):
    return "".join(line for line in text.splitlines(True) if not line.startswith("run.py: still at work"))


@pytest.fixture
def places(tmp_path):
    return ["--results", str(tmp_path / "results"), "--work-dir", str(tmp_path / "work")]


@pytest.fixture
def process(places):
    """Runs run.py in a process of its own, with results and work directories of its own; returns what became of it."""

    def process(*words, **environment):
        command = [sys.executable, str(ROOT / "run.py"), *map(str, words), *places]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
        done.stderr = without_heartbeats(done.stderr)
        return done

    return process


@pytest.fixture
def command(places, capsys):
    """Runs run.py's main in this process, which has imported everything; returns what it printed, (out, err)."""

    def command(*words, status=0):
        capsys.readouterr()
        found, said = run.main([*map(str, words), *places]), capsys.readouterr()
        assert found == status, said
        return said

    return command


def test_help_of_every_command_answers(process):
    commands = (["train"], ["study"], ["reproduce"], ["tables"], ["figures"], ["data"], ["data", "import"], ["bench"])
    for words in ([], *commands):
        done = process(*words, "--help")
        assert done.returncode == 0 and "usage" in done.stdout


def test_help_imports_nothing_heavy(process, tmp_path):
    (tmp_path / "keras.py").write_text("raise SystemExit('keras was imported')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('numpy was imported')")
    assert process("train", "--help", PYTHONPATH=str(tmp_path)).returncode == 0


def test_train_then_tables_then_train_again(process, command, tmp_path):
    done = process(*SMOKE, "method=vae")
    assert done.returncode == 0 and "-ELBO" in done.stdout, done.stderr
    assert "there already" in command(*SMOKE, "method=vae").out
    assert "| Digits | VAE |" in command("tables").out
    assert "published_neg_elbo_nats" in (tmp_path / "results/tables/echo/table1.csv").read_text()
    done = process(*SMOKE, "method=vae", "epochs=3")
    assert done.returncode == 2 and "epochs: 2 -> 3" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_study_lists_does_one_by_index_then_reproduce_does_the_rest(command):
    words = ["echo/rd_curves", "--preset", "smoke"]
    assert "4 runs: 4 missing; left to do: unknown for 4" in command("study", *words, "--list").out
    assert "1 run: 1 finished" in command("study", *words, "--only", "method=vae", "--index", 1).out
    listed = command("study", *words, "--list").out.splitlines()
    assert [line.split()[1] for line in listed[:4]] == ["missing", "missing", "missing", "finished"] and " s)" in listed[2]
    done = command("reproduce", *words).out
    assert "1 of 4 runs are there already" in done and "4 runs: 4 finished" in done and "| Digits | Echo | 0.3 |" in done
    figures = [line.removeprefix("figure: ") for line in done.splitlines() if line.startswith("figure: ")]
    assert all(Path(path).is_file() for path in figures)
    assert [Path(path).stem for path in figures] == ["digits_smoke_rate_distortion", "digits_smoke_samples"]


def test_without_a_command_the_quickstart_is_reproduced():
    options = run.parse([])
    assert (options.command, options.names, options.preset) == (run.command_reproduce, ["quickstart"], None)
    assert run.results_of(options, study=read_study("quickstart", run.CONFIGS)) == run.OWN_RESULTS


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["echo/table1", "--preset", "short", "seed=1"], run.RESULTS),
        (["echo/table1"], run.RESULTS),
        (["echo/table1", "epochs=1"], run.OWN_RESULTS),
        (["echo/table1", "dataset=mine"], run.OWN_RESULTS),
        (["echo/table1", "--preset", "smoke"], run.OWN_RESULTS),
        (["echo/table1", "epochs=1", "--results", "elsewhere"], Path("elsewhere")),
    ],
)
def test_what_no_study_has_does_not_enter_the_committed_results(words, place):
    options = run.parse(["train", *words])
    study = read_study(options.config, run.CONFIGS)
    assert run.results_of(options, resolve(study, options.preset, options.settings), study) == place


@pytest.mark.parametrize("name", ["quickstart", "echo/table1"])
def test_reproduce_ends_with_the_table_of_any_study_and_its_published_numbers(command, tmp_path, name):
    """The committed study with an epoch of training."""
    study = read_yaml((ROOT / "configs" / f"{name}.yaml").read_text())
    study["presets"] = {
        "one": {"method": "vae", "beta": 1, "epochs": 1, "dataset": "digits", "network": "kingma2014", "seed": 0}
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    assert "| Digits | VAE | 1 | one | 1 | 1 |" in command("reproduce", tmp_path / "study.yaml", "--preset", "one").out
    table = pd.read_csv(tmp_path / "results/tables" / f"{name}.csv")
    assert ("published_neg_elbo_nats" in table) == (name == "echo/table1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study", "echo/rd_curve"], "did you mean 'echo/rd_curves'"),
        (["study", "echo/rd_curves", "--only", "betta=1"], "did you mean 'beta'"),
        (["study", "echo/rd_curves", "--preset", "smoke", "--index", 4], "indices 0 to 3, got 4"),
        (["reproduce", "echo", "--preset", "shrot"], "did you mean 'short'"),
        (["reproduce", "ecko"], "no configuration 'ecko'"),
        (["train", "echo/tabel1"], "did you mean 'echo/table1'"),
        (["train", "echo/table1", "mehtod=echo"], "did you mean 'method'"),
        (["train", "echo/table1", "network=resnet"], "must be one of alemi2018, huang2020, kingma2014"),
        (["train", "echo/table1", "dataset=minst"], "no dataset 'minst'"),
        (["tables", "echo/table1"], "no finished runs"),
        (["figures", "echo/table1"], "no finished runs"),
        (["train", "echo/likelihood", "method=echo"], "density q(z|x) of an Echo channel is not known"),
        (["train", "echo/table1", "network_settings.output_kernal=5"], "network_settings' of alemi2018 may be output_kernel"),
        (["train", "echo/noise"], "has no runs"),
        (["train", "echo/table1", "seed=true"], "setting 'seed' is True: it must be a number"),
        (["train", "echo/table1", f"name={'a' * 151}"], "at most 150 characters"),
        (["study", "echo/table1", "--run", "echo/table1/a"], "has no run"),
        (["reproduce"], "the name of a paper (ais, disentangle, echo, isometric, theory) or of a study"),
        (["study"], "needs the name of a study, and no name was given"),
        (["study", "echo"], "echo is a paper: see study echo --list"),
        (["study", "echo", "--list", "--index", 1], "echo is a paper"),
        (["tables", "isometric"], "no records of isometric"),
        (["train", "echo/table1", "preset=short"], "take --preset short"),
        (["train", "echo/table1", "study=mine"], "it is the study that you name"),
        (["data", "import", "own", "missing.npz"], "does not exist"),
        (["data", "fetch", "omniglot"], "chardata.mat"),
    ],
)
def test_bad_input_is_one_line_and_status_2(command, words, message):
    said = command(*words, status=2).err
    assert message in said and said.count("\n") == 1, said


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            {"kind": "ais", "of": "ais/classifier", "base": {"num_temperatures": 9, "num_betas": 5, "max_beta": 1}},
            "lacks latent_dim",
        ),
        ({"kind": "likelihood", "of": "ais/curves"}, "lacks dataset, method"),
        ({"kind": "autoencoder", "of": "echo/table1"}, "'of' is for kinds that measure"),
    ],
)
def test_a_study_that_measures_what_it_cannot_is_refused_before_anything_is_trained(command, tmp_path, lines, message):
    (tmp_path / "study.yaml").write_text(json.dumps({"study": "own", "description": "", "presets": {"smoke": {}}, **lines}))
    said = command("study", tmp_path / "study.yaml", "--preset", "smoke", status=2).err
    assert message in said and said.count("\n") == 1, said


@pytest.mark.parametrize(
    ("backend", "words", "message"),
    [
        ("tensorflaw", SMOKE, "set KERAS_BACKEND to tensorflow or jax"),
        ("jax", [*SMOKE, "method=iaf-maf"], "flows use TensorFlow Probability and need KERAS_BACKEND=tensorflow"),
    ],
)
def test_a_backend_that_will_not_do_is_said_in_one_line(process, backend, words, message):
    if backend == "jax":
        pytest.importorskip("jax")
    done = process(*words, KERAS_BACKEND=backend)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]  # TensorFlow's own greetings may come before it


def test_results_that_cannot_be_written_are_said_before_training(command, tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    said = command(*SMOKE, status=2)
    assert "cannot write" in said.err and "Epoch" not in said.out


def test_tables_find_the_studies_wherever_they_are_called(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no finished runs" in command("tables", "ais/gans", status=2).err  # which extends another


def test_data_list_and_verify_name_every_dataset(command):
    listed = command("data", "list").out
    assert all(name in listed for name in data.CATALOG)
    assert "digits" in command("data", "verify", "digits").out


def test_real_data_verify(command, real_data):
    assert command("data", "verify").out.count(" ok: ") == len(data.CATALOG)


def test_training_runs_on_real_images(command, real_data, tmp_path):
    """A short pass over the real file, with its hash and variant in the record."""
    words = ["dataset=fashion_mnist", "network=kingma2014", "epochs=1"]
    command("train", "echo/table1", "--preset", "smoke", *words)
    record = json.loads((tmp_path / "results/runs/echo/table1/fashion_mnist/echo/beta1_seed0_own.json").read_text())
    assert record["data"]["sizes"] == {"train": 60_000, "test": 10_000} and "another order" in record["data"]["variant"]
    assert record["test"]["images"] == 10_000


@pytest.mark.parametrize("name", ["..", ".", "../configs", "/"])
def test_a_folder_that_is_no_paper_s_is_refused(name, tmp_path, capsys):
    assert run.main(["--results", str(tmp_path), "--work-dir", str(tmp_path), "reproduce", name]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and list(tmp_path.iterdir()) == []


def test_the_likelihood_of_a_trained_model_is_asked_for_afterwards_and_stands_in_the_table(command, tmp_path):
    words = ["batch_size=50", "method=vae"]
    said = command("train", "echo/likelihood", "--preset", "smoke", *words, status=2)
    assert "needs the run echo/table1/digits/vae/beta1_seed0_own first" in said.err
    command("train", "echo/table1", "--preset", "smoke", *words)
    assert "-log p(x)" in command("train", "echo/likelihood", "--preset", "smoke", *words).out
    command("tables")
    assert pd.read_csv(tmp_path / "results/tables/echo/table1.csv")["neg_log_likelihood_nats"].notna().all()


@pytest.mark.parametrize(
    "words",
    [["data", "list"], ["study", "echo/rd_curves", "--list"], ["tables"], ["figures", "echo/table1"], ["train", "echo/tabel1"]],
)
def test_what_needs_no_tensors_imports_no_keras(words, tmp_path):
    script = "import sys, run; run.main(sys.argv[1:]); assert not {'keras', 'tensorflow'} & set(sys.modules), 'imported'"
    shutil.copytree(ROOT / "results/runs/echo/table1", tmp_path / "runs/echo/table1")
    command = [sys.executable, "-c", script, *words, "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "ECHO_TF_LAZY": "1"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_modules_are_imported_is_one_line_and_status_75(tmp_path, number):
    slow = tmp_path / "keras.py"
    slow.write_text("import sys, time\nprint('importing', flush=True)\ntime.sleep(60)")
    words = [sys.executable, str(ROOT / "run.py"), *SMOKE, "--results", str(tmp_path / "r"), "--work-dir", str(tmp_path / "w")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 75
    assert without_heartbeats(said) == f"run.py: interrupted by {number.name}: run again to continue\n"


def test_the_help_texts_name_what_there_is():
    assert sorted(command_line.FETCHED.split(", ")) == sorted(FETCHABLE)
    parts = list(bench.PARTS)
    assert sorted(command_line.BENCHES.split(", ")) == sorted(parts)


def test_reproduce_trains_what_a_measurement_needs_and_once_more_where_a_model_is_gone(command, tmp_path):
    study = {"study": "mine", "description": "d", "kind": "likelihood", "of": str(tmp_path / "models.yaml")}
    study |= {"base": {"samples": 5}, "presets": {"tiny": {}}}
    settings = {"dataset": "digits", "network": "kingma2014", "width": 0.02, "latent_dim": 2, "epochs": 1, "method": "vae"}
    models = {"study": "models", "description": "d", "base": settings, "presets": {"tiny": {}}}
    for name, content in (("mine", study), ("models", models)):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(content))
    said = command("reproduce", tmp_path / "mine.yaml").out
    assert said.index("models/digits/vae/beta1_seed0_tiny") < said.index("-log p(x)")
    [(tmp_path / "results/runs" / path).unlink() for path in ("mine/digits/vae/beta1_seed0_tiny_likelihood.json",)]
    [path.unlink() for path in (tmp_path / "work").rglob("model.keras")]
    said = command("study", tmp_path / "mine.yaml", status=1)
    assert "train it again with: run.py study models" in said.err
    said = command("reproduce", tmp_path / "mine.yaml").out
    assert "its model is gone: it is trained again" in said and "1 run: 1 finished" in said


def test_what_runs_need_is_done_first_things_first_whatever_the_engine(monkeypatch):
    needs, done, batches = {"curve": ["model", "tuning"], "tuning": ["model"], "model": [], "other": []}, set(), []

    def missing(settings, tools):
        return [name for name in ("model", "tuning") if name in needs[settings] and name not in done]

    def run_all(runs, options, tools):
        batches.append(list(runs))
        done.update({*runs} - {"tuning"})  # which fails, and is not tried again
        return 0

    monkeypatch.setattr("echo_tf.runs.runner.missing", missing)
    monkeypatch.setattr("echo_tf.runs.place.find", lambda settings, folder: None)
    monkeypatch.setattr(run, "run_all", run_all)
    tools = type("Tools", (), {"results": None})
    stop = StopRequest()
    assert run.do_needed(["curve", "other"], None, tools, stop) == 0 and batches == [["model"], ["tuning"]]
    stop.received = signal.SIGTERM  # within a stage that ends all the same
    done.clear()
    with pytest.raises(Interrupted):
        run.do_needed(["curve"], None, tools, stop)
    assert batches[2:] == [["model"]]


@pytest.mark.parametrize("option", ["--preset", "--results", "--work-dir", "--data-dir"])
def test_an_option_that_is_given_empty_is_refused_and_not_the_default(option, capsys):
    with pytest.raises(SystemExit) as end:
        run.main(["train", "echo/table1", option, ""])
    assert end.value.code == 2 and f"argument {option}: it is empty" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["study", "echo/table1", "--index", "1_0"], ["study", "x", "--cpus-per-run", "1_0"]])
def test_numbers_of_options_are_read_as_those_of_settings(words, capsys):
    with pytest.raises(SystemExit) as end:
        run.main(words)
    assert end.value.code == 2 and "'1_0'" in capsys.readouterr().err


def test_studies_and_the_runs_of_a_paper_are_listed(command):
    listed = command("study", "--list").out.splitlines()
    assert len(listed) == len(list(run.CONFIGS.rglob("*.yaml"))) and any(line.startswith("echo/table1  ") for line in listed)
    listed = command("study", "disentangle", "--list", "--preset", "smoke").out
    assert "disentangle/models: " in listed and "disentangle/table2: " in listed and listed.count("left to do") == 2


def test_the_version_is_said(capsys):
    from echo_tf import __version__

    with pytest.raises(SystemExit) as end:
        run.main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"echo_tf {__version__}\n"


def test_tables_of_a_paper_are_those_of_its_studies_with_records(command, tmp_path):
    shutil.copytree(ROOT / "results/runs/echo/ablation_floor", tmp_path / "results/runs/echo/ablation_floor")
    command("tables", "echo")
    assert [path.stem for path in sorted((tmp_path / "results/tables/echo").glob("*.csv"))] == ["ablation_floor"]


def test_a_closed_or_ascii_stdout_is_no_traceback():
    words = f"{sys.executable} {ROOT / 'run.py'} study echo/table1 --preset quick --list"
    for shell in (f"{words} >&-", f"LC_ALL=C PYTHONIOENCODING=ascii {words}", f"{words} >&- 2>&-", f"{words} | true"):
        done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    beta = "import sys; from echo_tf.console import open_streams; open_streams(); print(chr(946))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "ECHO_TF_LAZY": "1"}
    assert subprocess.check_output([sys.executable, "-c", beta], env=environment, cwd=ROOT) == b"\\u03b2\n"


def test_silence_is_broken_by_a_line_that_says_on_what_work_goes_on():
    lines = []
    with console.Heartbeat(lines.append, seconds=0.2):
        console.working_on("a long import")
        time.sleep(1.0)
        silent = len(lines)
        for _ in range(40):
            print(".", end="", flush=True)
            time.sleep(0.02)
    assert silent >= 2 and "still at work on a long import, for " in lines[0]
    assert len(lines) <= silent + 1  # none while something was printed
    console.working_on("nothing that anybody watches")


def test_reproduce_draws_once_more_what_later_runs_belong_to_and_says_what_is_left(command, tmp_path):
    """A study whose summary shows what another measures of its models."""
    settings = {"dataset": "digits", "network": "kingma2014", "width": 0.02, "latent_dim": 2, "epochs": 1, "method": "vae"}
    folder = tmp_path / "studies"
    folder.mkdir()
    models = {"study": "models", "description": "d", "base": settings, "presets": {"tiny": {}}, "figures": []}
    likelihood = {"study": "more", "description": "d", "kind": "likelihood", "of": str(folder / "models.yaml")}
    likelihood |= {"base": {"samples": 5}, "presets": {"tiny": {}}}
    for name, content in (("models", models), ("more", likelihood)):
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    words = ["reproduce", folder / "more.yaml", folder / "models.yaml"]
    said = command(*words).out
    assert "study 1 of 2, models: d" in said and "study 2 of 2, more: d" in said
    assert "left to do: unknown for 1; with the studies to come: unknown for 2" in said
    assert said.index("-log p(x)") < said.index("models, once more, as further runs are recorded now")
    assert pd.read_csv(tmp_path / "results/tables/models.csv")["neg_log_likelihood_nats"].notna().all()
    again = command(*words).out
    assert "all of its runs are recorded in" in again and "--preset tiny --results FOLDER" in again and "once more" not in again


def test_a_run_whose_model_another_process_trains_is_left_to_it(command, tmp_path):
    words = ["--preset", "smoke", "--only", "method=vae"]
    [path] = [line.split()[2] for line in command("study", "echo/likelihood", *words, "--list").out.splitlines()[:1]]
    model = path.replace("echo/likelihood", "echo/table1").removesuffix("_likelihood")
    (tmp_path / "work" / model).mkdir(parents=True)
    with filelock.FileLock(tmp_path / "work" / model / "lock"):
        said = command("study", "echo/likelihood", *words, status=75)
    assert "1 run: 1 held by another process" in said.out


def test_in_a_file_silences_grow_while_one_work_lasts_and_a_work_within_gives_the_word_back():
    lines = []
    with console.Heartbeat(lambda line: lines.append((time.monotonic(), line)), seconds=0.1, longest=0.4):
        console.working_on("a training")
        before = console.working_on("the start of Keras")
        console.working_on(before)
        time.sleep(2.5)
    times = np.diff([when for when, line in lines if "a training" in line])
    assert len(times) == len(lines) - 1 <= 7 and (times[2:] >= 0.35).all()
