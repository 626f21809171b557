"""What the documents show works: their Python runs, their commands are commands, their links lead somewhere, and their tables
are those of results/."""

import re
import shlex

import keras
import numpy as np
import pandas as pd
import pytest

import echo_tf
import echo_tf.kinds
import run
from echo_tf.errors import InputError
from echo_tf.methods import METHODS
from echo_tf.runs import kind_of
from echo_tf.runs.resolving import resolve
from echo_tf.runs.runner import run as run_settings
from echo_tf.runs.studies import expand, read_study
from echo_tf.tables import documents
from tests.conftest import ROOT
from tests.small_runs import tools

PATHS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("results/*.md"))]
PATHS += [path for room in ("configs", "results", "models", "echo_tf") for path in sorted((ROOT / room).rglob("README.md"))]
PATHS = [path for path in PATHS if "own" not in path.parts]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PATHS}


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", TEXTS[name], re.DOTALL)


COMMANDS = [
    line.split(" # ")[0].strip()
    for name in TEXTS
    for text in blocks(name, "sh")
    for line in text.splitlines()
    if line.startswith("python run.py") and "{}" not in line
]
LINKS = [(name, link) for name, text in TEXTS.items() for link in re.findall(r"\]\((?!http)([^)]+)\)", text)]


def test_the_model_of_one_s_own_trains_and_is_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(blocks("README.md", "python")[0], names)
    assert names["model"].rate(names["data"]).shape == (1000,)
    assert keras.saving.load_model("model.keras").channel.num_terms == 99


def test_the_classifier_of_one_s_own_learns_with_few_nats():
    keras.utils.set_random_seed(0)
    names = {"keras": keras, "echo_tf": echo_tf}
    exec(blocks("models/README.md", "python")[1], names)
    measured = names["classifier"].evaluate(names["images"], names["labels"], batch_size=100, return_dict=True)
    assert measured["accuracy"] > 0.85 and 2 < measured["rate"] < 10  # ten classes are log 10 = 2.3 nats
    assert measured["loss"] > 0.05 * measured["rate"]


def test_the_kind_of_one_s_own_runs(tmp_path, monkeypatch):
    (tmp_path / "dice.py").write_text(blocks("echo_tf/kinds/README.md", "python")[0])
    monkeypatch.setattr(echo_tf.kinds, "__path__", [*echo_tf.kinds.__path__, str(tmp_path)])
    settings = kind_of.kind_of("dice").Settings(study="games", throws=100_000)
    result, _ = run_settings(settings, tools(tmp_path))
    assert result.rows()[0]["entropy_nats"] == pytest.approx(np.log(6), abs=1e-3)


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_is_one(command):
    options = run.parse(shlex.split(re.sub(r"\$\w+", "0", command))[2:])
    if options.command is run.command_train:
        resolve(read_study(options.config, run.CONFIGS), options.preset, options.settings)
    if options.command is run.command_study:
        assert expand(read_study(options.study, run.CONFIGS), options.preset, options.only)
    if options.command is run.command_reproduce:
        assert run.plans_of(options.names, options)


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_every_link_leads_somewhere(name, link):
    path, _, heading = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    assert target.exists()
    if heading:
        heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert heading in [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]


def test_the_documents_are_all_there_and_the_front_door_is_short():
    assert len(COMMANDS) > 15 and len(LINKS) > 20
    assert len(TEXTS["README.md"].encode()) < 7000
    assert all(f"{name}/README.md" in TEXTS for name in ("configs", "results", "models", "echo_tf/data", "echo_tf/kinds"))


def test_tables_in_the_documents_are_those_of_results_and_none_is_typed():
    for name, text in TEXTS.items():
        assert documents.renew(text, ROOT / "results/tables") == text, name
    assert sum(len(documents.PLACE.findall(text)) for text in TEXTS.values()) == 11


def test_every_column_of_tables_and_figures_is_explained():
    words = set(re.findall(r"[a-z0-9_]+", TEXTS["results/COLUMNS.md"]))
    affixes = (
        "^(published|printed|exact|closed_form|train|test|correlation|slope)_",
        "_standard_error|_std_over_seeds",
        "_z[123]$|_small$",
    )

    def explained(column):
        shorter = {re.sub(affix, "", column) for affix in affixes} - {column}
        return column in words or any(map(explained, shorter))

    paths = [path for room in ("tables", "figures") for path in sorted((ROOT / "results" / room).rglob("*.csv"))]
    columns = {column for path in paths for column in path.open(encoding="utf-8").readline().strip().split(",")}
    assert len(columns) > 100 and not [column for column in columns if not explained(column)]


def test_a_table_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("a,b_nats\n1,2.25\n2,\n")
    page = "<!-- table: t rows: {} columns: {} -->\n<!-- end of table -->"
    assert "| 1 | 2.2 |" in documents.renew(page.format("a=1", "a, b_nats"), tmp_path)
    for rows, columns in (("a=3", "a"), ("c=1", "a"), ("a=1", "d")):
        with pytest.raises(InputError, match="no rows a=3|cannot be made"):
            documents.renew(page.format(rows, columns), tmp_path)


def test_what_each_switch_of_fidelity_costs_is_as_the_records_have_it():
    titles = {method.title: name for name, method in METHODS.items()}
    table = pd.read_csv(ROOT / "results/tables/echo/ablation_fidelity.csv")
    changes = re.findall(r"([\w+-]+) ([\d.]+) → ([\d.]+)", TEXTS["configs/README.md"])
    assert len(changes) == 9
    for title, *values in changes:
        known = [f"{value:.1f}" for value in table[table["method"] == titles[title]]["neg_elbo_nats"]]
        assert set(values) <= set(known), title


def test_the_version_is_in_one_place():
    import importlib.metadata

    assert importlib.metadata.version("echo_tf") == echo_tf.__version__, "pip install -e . again"
    assert f"## {echo_tf.__version__}" in TEXTS["CHANGELOG.md"]
    assert f"version: {echo_tf.__version__}" in (ROOT / "CITATION.cff").read_text()
