import json
from pathlib import Path

import pytest

from echo_tf import data

SMOKE = ["train", "echo/table1", "--preset", "smoke", "batch_size=50"]


def test_help_of_every_command_answers(command):
    commands = (["train"], ["study"], ["reproduce"], ["tables"], ["figures"], ["data"], ["data", "import"], ["bench"])
    for words in ([], *commands):
        done = command(*words, "--help")
        assert done.returncode == 0 and "usage" in done.stdout


def test_help_imports_nothing_heavy(command, tmp_path):
    (tmp_path / "keras.py").write_text("raise SystemExit('keras was imported')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('numpy was imported')")
    command("train", "--help", check=0, PYTHONPATH=str(tmp_path))


def test_train_then_tables_then_train_again(command, tmp_path):
    assert "-ELBO" in command(*SMOKE, "method=vae", check=0).stdout
    assert "there already" in command(*SMOKE, "method=vae", check=0).stdout
    assert "| Digits | VAE |" in command("tables", check=0).stdout
    assert "published_neg_elbo_nats" in (tmp_path / "results/tables/echo/table1.csv").read_text()
    done = command(*SMOKE, "method=vae", "epochs=3", check=2)
    assert "epochs: 2 -> 3" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_study_lists_does_one_by_index_then_reproduce_does_the_rest(command, tmp_path):
    words = ["echo/rd_curves", "--preset", "smoke"]
    assert "4 runs: 4 missing; left to train: unknown for 4" in command("study", *words, "--list", check=0).stdout
    assert "1 run: 1 finished" in command("study", *words, "--only", "method=vae", "--index", 1, check=0).stdout
    listed = command("study", *words, "--list", check=0).stdout.splitlines()
    assert [line.split()[1] for line in listed[:4]] == ["missing", "missing", "missing", "finished"] and " s)" in listed[2]
    done = command("reproduce", *words, check=0).stdout
    assert "1 of 4 runs are there already" in done and "4 runs: 4 finished" in done and "| Digits | Echo | 0.3 |" in done
    figures = [line.removeprefix("figure: ") for line in done.splitlines() if line.startswith("figure: ")]
    assert len(figures) == 3 and all(Path(path).is_file() for path in figures)
    assert {Path(path).stem for path in figures} == {"digits_smoke_rate_distortion", "digits_smoke_samples", "noise"}


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
        (["train", "echo/table1", "network=resnet"], "must be one of alemi2018, kingma2014"),
        (["train", "echo/table1", "dataset=minst"], "no dataset 'minst'"),
        (["tables", "echo/table1"], "no finished runs"),
        (["figures", "echo/table1"], "no finished runs"),
        (["train", "echo/table1", "method=vae", "analysis=true"], "method=echo"),
        (["data", "import", "own", "missing.npz"], "does not exist"),
        (["data", "fetch", "omniglot"], "chardata.mat"),
    ],
)
def test_bad_input_is_one_line_and_status_2(command, words, message):
    done = command(*words)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_results_that_cannot_be_written_are_said_before_training(command, tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    done = command(*SMOKE, check=2)
    assert "cannot write" in done.stderr and "Epoch" not in done.stdout


def test_data_list_and_verify_name_every_dataset(command):
    listed = command("data", "list", check=0).stdout
    assert all(name in listed for name in data.CATALOG)
    assert "digits" in command("data", "verify", "digits", check=0).stdout


def test_real_data_verify(command, real_data):
    done = command("data", "verify", check=0)
    assert done.stdout.count(" ok: ") == len(data.CATALOG)


def test_training_runs_on_real_images(command, real_data, tmp_path):
    """A short pass over the real file, with its hash and variant in the record."""
    words = ["dataset=fashion_mnist", "network=kingma2014", "epochs=1"]
    command("train", "echo/table1", "--preset", "smoke", *words, check=0)
    record = json.loads((tmp_path / "results/runs/echo/table1/fashion_mnist/echo/beta1_seed0_smoke.json").read_text())
    assert record["data"]["sizes"] == {"train": 60_000, "test": 10_000} and "another order" in record["data"]["variant"]
    assert record["test"]["images"] == 10_000
