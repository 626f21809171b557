"""Tables and figures of the isometric analysis, from records made here."""

import math

import numpy as np
import pandas as pd
import pytest

from echo_tf import figures, tables
from echo_tf.kinds import _isometry, isometry, toy
from echo_tf.runs import records
from echo_tf.runs.studies import Study
from echo_tf.tables.isometric_toys import trainings

FORMS = {
    "tables": ["isometric_ablation", "isometric_table1"],
    "figures": ["isometric_ablation", "isometric_losses", "isometric_scatter"],
}
STUDY = Study(study="own", description="d", base={"epochs": 1}, **FORMS)
COLUMNS = ("inverse_variance", "derivative", "derivative_jvp", "norm", "norm_plus_variance", "norm_sd", "derivative_sd")
ESTIMATES = ("prior", "bound", "posterior_unweighted", "posterior", "objective")


def training(norm, multiplier=100.0):
    table = {"latent": [0, 1, 2], "kl_nats": [1.2, 0.6, 0.02], **{name: [norm] * 3 for name in COLUMNS}, "alive": [True] * 3}
    losses = {"rate_nats": 2.0, "coding_loss": 0.01, "transform_loss": 0.001, "theoretical_coding_loss": 0.015}
    losses |= {"distortion": 0.011, "objective_nats": 3.1, "mean_abs_cosine": 0.1}
    some = dict.fromkeys(ESTIMATES, norm)
    shared = {"multiplier": multiplier, "weights": "averaged", "table": table, "losses": losses}
    return {**shared, "correlations": some, "slopes": {"posterior": 1.0, "objective": 1.0}}


def put(results, norm, name, preset="own", **settings):
    own = {
        "study": "toys",
        "source": "mix",
        "loss": "square",
        "multipliers": (100.0,),
        "points": 200,
        "preset": preset,
        **settings,
    }
    model = toy.Settings(**own, name=name)
    one = isometry.Settings(study="own", model=model, preset=preset, name=name)
    path = records.path_of(one, results)
    written = {"kind": "isometry", "status": "finished", "config": one.recorded(), "trainings": [training(norm)]}
    records.write(path, {**written, "data": {"variant": "mix"}, "attached": ["scatter"]})
    records.write_arrays(path.with_name(f"{path.stem}.scatter.npz"), {"100": np.log(norm * np.ones((6, 5)))})


def material(results):
    every = records.read_all(results)
    return tables.Material(results, "own", every, every)


@pytest.fixture
def results(tmp_path):
    """Trainings of 10 and of 1,000 epochs, the latter of two seeds."""
    put(tmp_path, 0.1, "short", epochs=10)
    put(tmp_path, 0.8, "long", epochs=1000)
    put(tmp_path, 0.9, "longer", epochs=1000, seed=1)
    return tmp_path


def test_trainings_of_other_settings_are_not_averaged_and_have_files_of_their_own(results):
    paths = figures.write(results, "own", records.read_all(results), STUDY)
    names = sorted(str(path).rpartition("/")[2] for path in paths)
    folder = results / "figures" / "own"
    assert len(set(names)) == len(names) == 2 + 2 + 2 + 3  # ablations, ratios, losses; scatters of three
    for epochs, norm in ((10, 0.1), (1000, 0.85)):
        assert pd.read_csv(folder / f"mix_square_own_epochs{epochs}.csv")["norm_z1"].item() == pytest.approx(norm)
        assert f"own_epochs{epochs}_ratios.png" in names and f"own_epochs{epochs}_losses.png" in names
    assert "mix_square_own_epochs1000_seed1_scatter.png" in names


def test_tables_say_which_training_a_row_is_of(results):
    text = "\n".join(tables.write(results, "own", records.read_all(results), STUDY, results))
    assert text.count("own, epochs 10 |") > 1 and text.count("own, epochs 1000 |") > 2
    table = pd.read_csv(results / "tables" / "own_ablation.csv")
    assert sorted(table["epochs"]) == [10, 1000, 1000] and "apart" not in table


def test_trainings_of_equal_settings_are_called_by_their_preset_alone(tmp_path):
    for seed, source, multipliers in ((0, "mix", (100.0,)), (1, "mix", (100.0,)), (0, "norm", (100.0, 5.0))):
        put(tmp_path, 0.5, None, "paper", seed=seed, source=source, multipliers=multipliers)
    assert set(trainings(material(tmp_path))["apart"]) == {""}


def test_what_counts_as_alive_is_today_s_rule_whatever_a_record_says(results):
    """Records of before counted rates above 0.01 nats: the third dimension's 0.02 is none that tells anything."""
    for result in records.read_all(results):
        assert [row["alive"] for row in result.rows()] == [True, True, False]
        [one] = isometry.trainings(result.record)
        assert one["losses"]["theoretical_coding_loss"] == pytest.approx(2 * 0.01 / 2)
        assert "2 of 3 latent dimensions are alive" in isometry.line(result.record)
    echo = {**result.record, "trainings": [{**result.record["trainings"][0], "idle_nats": 0.58}]}
    assert [row["alive"] for row in isometry.rows(echo)] == [True, False, False]


def test_a_correlation_that_is_not_defined_is_none_in_a_record():
    assert _isometry._defined({"prior": math.nan, "bound": 0.5}) == {"prior": None, "bound": 0.5}
