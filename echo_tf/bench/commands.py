"""Speed of whole commands and of what a study does beside training: `run.py bench study commands`."""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from echo_tf.bench.timing import ROOT
from echo_tf.bench.training import BATCH, random_images
from echo_tf.runs import records

# a command run by a small process: what getrusage says of a child may be its parent's memory
PEAK_OF = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def bench_study(network):
    """What a study does beside the epochs and the test of its runs: set-up, checkpoints, logs, examples, records."""
    from echo_tf.data import ImageData
    from echo_tf.kinds.autoencoder import Settings
    from echo_tf.runs.local_engine import run_local
    from echo_tf.runs.place import Tools
    from echo_tf.runs.runner import run as run_settings

    steps = 20  # an epoch
    images = random_images(steps * BATCH).astype(np.uint8)
    data = ImageData("noise", "random", "made here", {"train": images, "test": images[: 2 * BATCH]}, 1)
    base = {"study": "bench", "dataset": "noise", "method": "vae", "batch_size": BATCH}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(lambda name: network, lambda name: data, f"{folder}/results", f"{folder}/work", verbose=0)

        def run(settings):
            result, _ = run_settings(settings, tools)
            found.append(result.record)
            return result

        for epochs in (1, 4):  # the first run warms up
            started = time.perf_counter()
            runs = [Settings(**base, epochs=epochs, name=f"epochs{epochs}")]
            run_local(runs, tools, run, say=lambda line: None)
            seconds = time.perf_counter() - started
    record = found[-1]
    beside = (seconds - record["train_seconds"] - record["test"]["seconds"]) / epochs
    step = statistics.median(entry["seconds"] for entry in record["history"]) / steps
    yield f"beside training and test, a run of {epochs} epochs takes {beside:.2f} s an epoch"
    yield f"of an epoch of 500 steps like these: {100 * beside / (500 * step):.2f} % (aim 2 % or less)"


def bench_commands(network):
    """Whole commands: those that need no tensors, and the quickstart from nothing."""
    light = (["--help"], ["data", "list"], ["study", "echo/rd_curves", "--list"], ["train", "echo/tabel1"])
    for words in light:
        found = []
        for _ in range(7):
            started = time.perf_counter()
            subprocess.run([sys.executable, ROOT / "run.py", *words], capture_output=True, check=False)
            found.append(time.perf_counter() - started)
        aim = 0.3 if words == ["--help"] else 1
        yield f"run.py {' '.join(words)}: {statistics.median(found):.2f} s (aim {aim} or less)"
    with tempfile.TemporaryDirectory() as folder:
        places = ["--results", shutil.copytree(ROOT / "results", f"{folder}/results")]
        started = time.perf_counter()
        for command in ("tables", "figures"):
            subprocess.run([sys.executable, ROOT / "run.py", command, *places], capture_output=True, check=True)
        seconds = time.perf_counter() - started
        number = len(records.read_all(ROOT / "results"))
        yield f"every table and figure from the {number} records: {seconds:.0f} s (aim 60 or less)"
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        words = [sys.executable, ROOT / "run.py", "--results", f"{folder}/results", "--work-dir", f"{folder}/work"]
        done = subprocess.run([sys.executable, "-c", PEAK_OF, *words], capture_output=True, text=True, check=True)
        peak = int(done.stdout) / 2**20
        yield f"quickstart: {time.perf_counter() - started:.0f} s (aim 240 or less), {peak:.2f} GiB (aim 2 or less)"
