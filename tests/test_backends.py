import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT


def start(backend):
    """A process that prints its numbers under this backend."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    script = ROOT / "tests" / "backend_numbers.py"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, str(script)], stdout=pipe, stderr=pipe, text=True, env=environment)


def numbers_of(process):
    out, error = process.communicate()
    assert process.returncode == 0, error
    return json.loads(out.splitlines()[-1])


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_jax_and_tensorflow_give_the_same_numbers():
    tensorflow, jax = map(numbers_of, [start("tensorflow"), start("jax")])  # both at once
    assert tensorflow.keys() == jax.keys()
    assert tensorflow.pop("flow_refused") is None and "KERAS_BACKEND=tensorflow, which is jax" in jax["flow_refused"]
    refused = tensorflow.pop("refused")
    assert jax.pop("refused") == refused and "batch_size=9" in refused
    np.testing.assert_allclose(tensorflow["betas"], [0, 1, 2], atol=1e-4)
    assert tensorflow["measured_in_fit"] == [1, 2] and tensorflow["warmed_up"] == 1
    for name, values in tensorflow.items():
        np.testing.assert_allclose(jax[name], values, rtol=2e-4, atol=2e-5, err_msg=name)
    assert all(numbers[f"{name}_trains"] for numbers in (tensorflow, jax) for name in ("echo", "vae", "info-vae", "vae-vamp"))
