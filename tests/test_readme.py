"""What the README shows works: its Python runs, its commands are commands, and its tables are those of results/."""

import json
import re
import shlex

import keras
import numpy as np
import pandas as pd
import pytest

import echo_tf
import run
from echo_tf.config import read_study, resolve
from echo_tf.methods import METHODS
from echo_tf.studies import expand
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
CODE = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    line.split(" # ")[0].strip()
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line.startswith("python run.py")
]


def test_the_model_of_one_s_own_trains_and_is_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(CODE[0], names)
    assert names["model"].rate(names["data"]).shape == (1000,)
    assert keras.saving.load_model("model.keras").channel.num_terms == 99


def test_the_classifier_of_one_s_own_learns_with_few_nats():
    keras.utils.set_random_seed(0)
    names = {"keras": keras, "echo_tf": echo_tf}
    exec(CODE[1], names)
    measured = names["classifier"].evaluate(names["images"], names["labels"], batch_size=100, return_dict=True)
    assert measured["accuracy"] > 0.85 and 2 < measured["rate"] < 10  # ten classes are log 10 = 2.3 nats
    assert measured["loss"] > 0.05 * measured["rate"]


def test_images_of_one_s_own_become_a_file_that_import_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("my_images.npy", np.random.default_rng(0).integers(0, 256, (1020, 8, 8)))
    exec(CODE[2], {})
    assert run.main(["--data-dir", str(tmp_path), "data", "import", "mine", "mine.npz"]) == 0
    assert run.main(["--data-dir", str(tmp_path), "data", "verify", "mine"]) == 0


def test_there_are_examples():
    assert len(CODE) == 3 and len(COMMANDS) > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command):
    options = run.parse(shlex.split(command)[2:])
    if options.command is run.command_train:
        resolve(read_study(options.config, ROOT / "configs"), options.preset, options.settings)
    if options.command is run.command_study:
        assert expand(read_study(options.study, ROOT / "configs"), options.preset, options.only)
    if options.command is run.command_reproduce:
        assert run.study_names(options.names)


def test_its_results_are_those_of_the_tables():
    titles = {method.title: name for name, method in METHODS.items()}
    rounded = {}
    for study in ("table1", "ablation_fidelity"):
        table = pd.read_csv(ROOT / f"results/tables/echo/{study}.csv")
        for row in table.to_dict("records"):
            values = [f"{row[name]:.1f}" for name in ("rate_nats", "distortion_nats", "neg_elbo_nats")]
            rounded.setdefault((study, row["method"]), []).append(values)
    row = r"^\| ([\w+-]+)(?:,[^|]*)? (?:\| short \| 20 \| 1 )?" + 3 * r"\| ([\d.]+) " + r"\|"  # method and its three numbers
    rows = re.findall(row, README, re.MULTILINE)
    assert len(rows) == 16
    for title, *values in rows:
        assert values in rounded["table1", titles[title]], title
    heads, paper, released = re.findall(
        r"^\| (?:−ELBO, `quick`|`fidelity=paper`|`fidelity=released`) \| (.*) \|$", README, re.MULTILINE
    )
    for title, *values in zip(*(line.split(" | ") for line in (heads, paper, released))):
        known = [value[-1] for value in rounded["ablation_fidelity", titles[title]]]
        assert set(values) <= set(known), title
    changes = re.findall(r"([\w+-]+) ([\d.]+) → ([\d.]+)", README)
    assert len(changes) == 9
    for title, *values in changes:
        known = [value[-1] for value in rounded["ablation_fidelity", titles[title]]]
        assert set(values) <= set(known), title


def test_its_ablations_are_those_of_the_records():
    start = README.index("### How Echo's noise is made and handed on")
    lines = README[start : README.index("## Data\n")].splitlines()
    rows = [[cell.split(" ±")[0] for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")]
    checked = 0
    for study, first, columns, beta in (
        ("ablation_noise", "what the decoder is given", (1, 2, 3), 1),
        ("ablation_noise", "", (1, 3, 4), 1),
        ("ablation_floor", "β = 6", (2, 3, 4), 6),
    ):
        known = pd.read_csv(ROOT / f"results/tables/echo/{study}.csv").to_dict("records")  # means over seeds
        for path in (ROOT / f"results/runs/echo/{study}").rglob("*.json"):  # and single runs
            record = json.loads(path.read_text())
            metrics = {name: value["mean"] for name, value in record["test"]["metrics"].items()}
            known.append({**metrics, "beta": record["config"]["beta"]})
        terms = [(row["rate_nats"], row["distortion_nats"]) for row in known if row["beta"] == beta]
        terms = {tuple(f"{value:.1f}" for value in (rate, distortion, distortion + beta * rate)) for rate, distortion in terms}
        heads = [i for i, row in enumerate(rows) if row[0] == first or (not first and "lowest rate" in row[:2])]
        for row in rows[heads[0] + 2 :]:
            if len(row) <= max(columns) or not re.fullmatch(r"[\d.]+", row[max(columns)]):
                break  # the next table's head
            assert tuple(row[i] for i in columns) in terms, row
            checked += 1
    assert checked == 17


@pytest.mark.parametrize("name", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_file_that_it_points_to_is_there(name):
    assert (ROOT / name).exists()
