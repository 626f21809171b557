import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def numbers():
    """What one device and two replicas make of the same data."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run([sys.executable, ROOT / "tests" / "replicas.py"], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_two_replicas_have_the_loss_and_the_step_of_one_device(numbers):
    one, two = numbers
    for name in ("loss", "fit_loss", "kernel"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_so_has_a_model_of_one_s_own_with_an_echo_layer(numbers):
    one, two = numbers
    np.testing.assert_allclose(two["own"]["rate"], one["own"]["rate"], rtol=1e-5)
    np.testing.assert_allclose(two["own"]["loss"], one["own"]["loss"], rtol=1e-5)
    np.testing.assert_allclose(one["own"]["loss"], 0.5 * np.array(one["own"]["rate"]), rtol=1e-5)
    np.testing.assert_allclose(two["own_bias"], one["own_bias"], rtol=1e-5)


def test_one_standardizing_map_serves_all_replicas(numbers):
    two = numbers[1]
    for name in ("mean", "deviation"):
        assert len(two[name]) == 2
        np.testing.assert_array_equal(two[name][0], two[name][1])
    assert (np.array(two["deviation"]) < 0.9).all()
