"""Shared fixtures. Tests on real data skip, with the reason, where the data directory does not have them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as run.py does
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that wait for each other while two workers test

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # models/ and run.py are used from the clone


@pytest.fixture
def real_data():
    """The data directory with the canonical files, or a skip."""
    directory = Path(os.environ.get("ECHO_TF_DATA", "/nowhere"))
    if not (directory / "binarized_mnist.npz").is_file():
        pytest.skip(f"ECHO_TF_DATA={directory} does not hold binarized_mnist.npz")
    return directory


@pytest.fixture
def encodings():
    """Encodings of the scale a trained model has: |loc| <= 1, log_scale below log 0.8359."""
    rng = np.random.default_rng(0)
    loc = np.tanh(rng.normal(size=(40, 6)))
    log_scale = np.log(0.8359) - np.logaddexp(0, -3 * rng.normal(size=(40, 6)))
    return loc, log_scale
