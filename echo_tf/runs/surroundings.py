"""What a record says of where its numbers were made: versions, commit, hardware, data."""

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

import keras
import numpy as np

PACKAGES = ("keras", "tensorflow", "tensorflow-probability", "jax", "numpy", "tensorflow-datasets", "scikit-learn")
GIT_STATE = "ECHO_TF_GIT_STATE"  # a worker of a cluster runs a copy of the code: its driver says here which


def describe() -> dict:
    """Versions, commit and hardware at the time of the call."""
    versions = {"python": platform.python_version()}
    for package in ("echo_tf", *PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "backend": keras.backend.backend(),
        "git": git_state(),
        "hardware": {"processor": _processor(), "cores": os.cpu_count(), "accelerators": _accelerators()},
        "written": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def describe_data(data) -> dict:
    """What a record says of a dataset."""
    sizes = {split: len(x) for split, x in data.splits.items()}
    values = {"image_shape": list(data.image_shape), "maximum": data.maximum}
    return {"name": data.name, "variant": data.variant, "source": data.source, "sizes": sizes, **values, "sha256": data.sha256}


def digest_of(model: keras.Model) -> str:
    """A hash of a model's weights: the same for a model that was saved and loaded, on any machine."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def git_state() -> dict | None:
    """Commit of the code and number of files changed since, None outside a clone."""
    if GIT_STATE in os.environ:
        return json.loads(os.environ[GIT_STATE])

    def git(*words):
        here = Path(__file__).parent
        return subprocess.run(["git", "-C", here, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = [line for line in git("status", "--porcelain").splitlines() if "results/" not in line]
        return {"commit": git("rev-parse", "HEAD"), "changed_files": len(changed)}
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _accelerators():
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    import tensorflow as tf

    return [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in tf.config.list_physical_devices("GPU")]
