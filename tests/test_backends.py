import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT


def numbers(backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    script = ROOT / "tests" / "backend_numbers.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_jax_and_tensorflow_give_the_same_numbers():
    tensorflow, jax = numbers("tensorflow"), numbers("jax")
    assert tensorflow.keys() == jax.keys()
    assert tensorflow.pop("flow_refused") is None and "KERAS_BACKEND=tensorflow, which is jax" in jax["flow_refused"]
    for name, values in tensorflow.items():
        np.testing.assert_allclose(jax[name], values, rtol=2e-4, atol=2e-5, err_msg=name)
    assert all(numbers[f"{name}_trains"] for numbers in (tensorflow, jax) for name in ("echo", "vae", "info-vae", "vae-vamp"))
