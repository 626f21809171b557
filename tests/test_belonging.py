"""What belongs to a run says so: models, checkpoints, and the arrays beside a record."""

import shutil
import zipfile

import numpy as np
import pytest

from echo_tf.errors import InputError
from echo_tf.kinds import likelihood
from echo_tf.runs import checkpoints, records
from echo_tf.runs.place import WHOSE, Place
from echo_tf.runs.runner import run as run_settings
from tests.small_runs import run, tiny, tools


def model_of(place, name):
    return place / "work/tests/tiny/vae" / name / "model.keras"


def measured(place, **settings):
    wanted = likelihood.Settings(study="measured", model=tiny(method="vae", **settings), samples=3)
    return run_settings(wanted, tools(place))[0].record


def without_owner(path):
    """The model as versions before have saved it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != WHOSE}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def test_a_measurement_says_which_weights_it_measured_and_another_run_s_model_is_refused(tmp_path):
    mine, _ = run(tmp_path, method="vae")
    other, _ = run(tmp_path, method="vae", beta=2.0)
    assert measured(tmp_path)["models"] == mine["models"] and [*mine["models"]] == ["tests/tiny/vae/beta1_seed0_none"]
    assert [*mine["models"].values()] != [*other["models"].values()]
    path = model_of(tmp_path, "beta2_seed0_none")
    shutil.copy(model_of(tmp_path, "beta1_seed0_none"), path)
    with pytest.raises(InputError, match=r"is the model of another run, tests/tiny/vae/beta1_seed0_none \(beta: 1.0 -> 2.0"):
        measured(tmp_path, beta=2.0)
    without_owner(path)
    assert [*measured(tmp_path, beta=2.0)["models"].values()] == [*mine["models"].values()]  # so that it can be found out


def test_a_model_that_the_same_work_shares_is_taken(tmp_path):
    first, _ = run(tmp_path, method="vae")
    second, existed = run(tmp_path, method="vae", study="second")
    assert existed and second["models"] == first["models"]
    found = measured(tmp_path, study="second")["models"]
    assert found == {"second/tiny/vae/beta1_seed0_none": first["models"]["tests/tiny/vae/beta1_seed0_none"]}


class NeverStopped:
    def check(self):
        pass


def test_a_checkpoint_of_another_run_of_equal_shapes_is_refused(tmp_path):
    mine, other = (Place(tiny(method="vae", beta=beta), tools(tmp_path), NeverStopped()) for beta in (1.0, 2.0))
    for number, place in enumerate((mine, other)):
        place.save(1 + number, {"a": np.zeros(3)}, [])
    assert mine.restore({"a": (3,)}).done == 1
    shutil.copy(other.folder / "checkpoint-000000002.npz", mine.folder)
    with pytest.raises(InputError, match=r"a checkpoint in .* belongs to another configuration \(beta: 2.0 -> 1.0\)"):
        mine.restore({"a": (3,)})
    checkpoints.save(mine.folder, 3, {"a": np.ones(3)}, [])  # of a version that did not say whose it is
    assert mine.restore({"a": (3,)}).done == 3


def test_arrays_that_are_not_those_of_the_record_are_refused(tmp_path):
    path = tmp_path / "run.table.npz"
    digest = records.write_arrays(path, {"a": np.ones(2)})
    for attached in ({"table": digest}, ["table"]):
        result = records.Result(tmp_path / "run.json", {"attached": attached}, None)
        np.testing.assert_array_equal(result.arrays("table")["a"], np.ones(2))
    records.write_arrays(path, {"a": -np.ones(2)})
    result.arrays("table")  # an older record does not know
    with pytest.raises(InputError, match="run.table.npz is not the file that its record was written with"):
        result._replace(record={"attached": {"table": digest}}).arrays("table")
