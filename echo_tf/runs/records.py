"""The record of a run: one small JSON file that says what was measured, and everything it depended on."""

import base64
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import zlib
from pathlib import Path

import keras
import numpy as np

from echo_tf.config import completed
from echo_tf.errors import InputError
from echo_tf.files import write_atomically

FORMAT = 1
PACKAGES = ("keras", "tensorflow", "tensorflow-probability", "jax", "numpy", "tensorflow-datasets", "scikit-learn")
NOT_OF_A_CONFIGURATION = ("seed", "name", "deterministic", "analysis")  # what does not change the law of the numbers
GIT_STATE = "ECHO_TF_GIT_STATE"  # a worker of a cluster runs a copy of the code: its driver says here which


def path_of(config, results):
    """Where the record of a run stands."""
    return Path(results, "runs", config.run_path).with_name(f"{config.run_name}.json")


def write(path, record):
    """Writes a record, whole or not at all."""
    write_atomically(path, json.dumps({"format": FORMAT, **record}, indent=1) + "\n")


def read(path):
    """Reads a record. Raises InputError if the file is not one."""
    try:
        record = json.loads(Path(path).read_text())
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']!r}, known is {FORMAT}")
        record["status"], record["config"]["method"]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a record of a run ({error}): remove it and run again.") from error
    return record


def read_all(results, study=None):
    """All records below results/runs, of one study or of all, in the order of their paths."""
    return [read(path) for path in sorted(Path(results, "runs", study or "").rglob("*.json"))]


def by_configuration(results, study):
    """The finished runs of a study in lists, one a configuration; the runs of a list differ in seed and name alone."""
    groups = {}
    for record in read_all(results, study):
        if record["status"] == "finished" and record["config"]["study"] == study:
            settings = {key: value for key, value in completed(record["config"]).items() if key not in NOT_OF_A_CONFIGURATION}
            groups.setdefault(json.dumps([settings, record["data"]["variant"]], sort_keys=True), []).append(record)
    return [sorted(group, key=lambda record: record["config"]["seed"]) for group in groups.values()]


def set_apart(config, others, known=()):
    """The settings in which a recorded configuration differs from others, as words "key value"; not those in `known`."""
    keys = [key for key in config if key not in (*NOT_OF_A_CONFIGURATION, *known)]
    return [f"{key} {config[key]}" for key in keys if any(other.get(key) != config[key] for other in others)]


def in_words(record):
    """What came of a run, for a line of output."""
    if record["status"] != "finished":
        return f"diverged after {len(record['history'])} epochs (last finite checkpoint kept)"
    rate, distortion, neg_elbo = (
        record["test"]["metrics"][name]["mean"] for name in ("rate_nats", "distortion_nats", "neg_elbo_nats")
    )
    shared = f" (trained as {record['same_training_as']})" if "same_training_as" in record else ""
    return f"rate {rate:.2f}, distortion {distortion:.2f}, -ELBO {neg_elbo:.2f} nats per test image{shared}"


def describe_data(data):
    """What a record says of the dataset."""
    sizes = {split: len(x) for split, x in data.splits.items()}
    return {"name": data.name, "variant": data.variant, "source": data.source, "sizes": sizes, "sha256": data.sha256}


def describe_surroundings():
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


def pack_images(images):
    """Images in [0, 1] as text: 8-bit, zlib, base64."""
    pixels = np.round(255 * np.asarray(images)).astype(np.uint8)
    return {"shape": list(pixels.shape), "zlib_base64": base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode()}


def unpack_images(packed):
    """The inverse of `pack_images`, up to the rounding to 8 bits."""
    pixels = np.frombuffer(zlib.decompress(base64.b64decode(packed["zlib_base64"])), np.uint8)
    return pixels.reshape(packed["shape"]) / 255.0


def git_state():
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
