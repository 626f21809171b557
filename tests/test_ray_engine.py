"""The Ray engine on a cluster of several nodes on this machine, with a worker killed and a node removed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from echo_tf.errors import InputError, InUse
from echo_tf.runs import checkpoints as checkpoint_files
from echo_tf.runs import local_engine, ray_engine, records, studies, survey
from echo_tf.runs.studies import read_study
from tests.conftest import ROOT
from tests.small_runs import tools

STUDY = """
study: on_ray
description: three runs, a few seconds each
base: {dataset: digits, network: kingma2014, width: 0.05, latent_dim: 4, batch_size: 50, epochs: 16, deterministic: true}
axes: {method: [echo], seed: [0, 1, 2]}
presets: {tiny: {}}
"""
# as many threads here as in a worker: how many there are decides the order in which floats are summed
ENVIRONMENT = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def start(study, place, *words):
    """The study in a process of its own, with results and checkpoints under `place`."""
    place.mkdir()
    places = ["--results", str(place / "results"), "--work-dir", str(place / "work")]
    with open(place / "log", "w") as log:
        command = [sys.executable, str(ROOT / "run.py"), "study", str(study), *words, *places]
        return subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT, cwd=place)


def wait_for(what, driver, place):
    deadline = time.time() + 600
    while not what():
        assert driver.poll() is None and time.time() < deadline, (place / "log").read_text()
        time.sleep(0.05)


def workers(node):
    """The process ids of the runs on a node."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = Path(f"/proc/{raylet}/task/{raylet}/children")
    if not children.exists():
        pytest.skip("needs /proc/PID/task/TID/children to find a worker of Ray")
    return [pid for pid in map(int, children.read_text().split()) if b"ray::_run" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def checkpoints(place, epochs):
    """The runs with at least so many epochs done and no record."""
    folders = {path.parent for path in (place / "work").rglob("checkpoint-*.npz")}
    return [folder for folder in folders if checkpoint_files.done(folder) >= epochs]


def histories(place):
    """What the newest checkpoint of each run remembers, times included: {run path: history}."""
    found = {}
    for folder in checkpoints(place, 1):
        with np.load(max(folder.glob("checkpoint-*.npz"))) as file:
            found[folder.relative_to(place / "work")] = json.loads(str(file["notes"]))
    return found


def without_times(record):
    history = [{key: value for key, value in entry.items() if key != "seconds"} for entry in record["history"]]
    return record["config"], history, record["test"]["metrics"], record["examples"], record["git"]["commit"], record["data"]


@pytest.fixture
def cluster():
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield cluster
    cluster.shutdown()


def test_a_study_survives_a_killed_worker_and_a_lost_node_and_equals_the_local_one(study, tmp_path, cluster):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    place = tmp_path / "ray"
    driver = start(study, place, "--engine", "ray", "--address", cluster.address)
    wait_for(lambda: len(checkpoints(place, 2)) == 2 and workers(nodes[0]), driver, place)
    before = histories(place)
    os.kill(workers(nodes[0])[0], signal.SIGKILL)
    wait_for(lambda: workers(nodes[1]), driver, place)
    cluster.remove_node(nodes[1], allow_graceful=False)
    local = start(study, tmp_path / "local")
    assert driver.wait(timeout=600) == 0, (place / "log").read_text()
    assert local.wait(timeout=600) == 0, (tmp_path / "local/log").read_text()
    mine, theirs = ([result.record for result in records.read_all(tmp_path / p / "results")] for p in ("ray", "local"))
    assert len(mine) == 3 and list(map(without_times, mine)) == list(map(without_times, theirs))
    after = {result.settings.run_path: result.record["history"] for result in records.read_all(place / "results")}
    for run, history in before.items():
        assert after[run][: len(history)] == history, "started from the beginning: an epoch done again takes another time"
    assert "3 runs: 3 finished" in (place / "log").read_text()


def test_sigterm_to_the_driver_stops_the_workers_and_the_study_can_be_continued(study, tmp_path, cluster):
    node, place = cluster.add_node(num_cpus=1), tmp_path / "ray"
    driver = start(study, place, "--engine", "ray", "--address", cluster.address)
    wait_for(lambda: checkpoints(place, 2), driver, place)
    driver.terminate()
    assert driver.wait(timeout=300) == 75, (place / "log").read_text()
    deadline = time.time() + 120
    while workers(node) and time.time() < deadline:
        time.sleep(0.1)
    assert not workers(node)
    states = survey.survey(studies.expand(read_study(study)), tools(place))
    assert "missing" in [state.word for state in states] and {"unfinished", "finished"} & {state.word for state in states}


def test_without_ray_the_error_says_how_to_get_it(monkeypatch, study, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[ray\]'"):
        ray_engine.run_ray(studies.expand(read_study(study)), {}, "", tools(tmp_path))


def test_an_address_where_no_cluster_answers_is_said_at_once(study, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    with pytest.raises(InputError, match="no Ray cluster at '127.0.0.1:1'.*ray start --head"):
        ray_engine.run_ray(studies.expand(read_study(study)), {}, "", tools(tmp_path), "127.0.0.1:1")


def test_the_driver_writes_a_record_that_did_not_reach_its_storage(study, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    config = studies.expand(read_study(study))[0]
    lines = []

    class Cluster:
        exceptions = ray.exceptions

        @staticmethod
        def get(reference):
            if isinstance(reference, Exception):
                raise reference
            return reference

    record = {"status": "diverged", "reason": "diverged after 0", "kind": "autoencoder", "config": config.recorded()}
    files = {"a.analysis.npz": b"arrays"}
    assert ray_engine._collect(Cluster, (json.dumps(record), files), config, tools(tmp_path), lines.append) == "diverged"
    path = records.path_of(config, tmp_path / "results")
    assert records.read(path).record["status"] == "diverged" and "diverged after 0" in lines[0]
    assert path.with_name("a.analysis.npz").read_bytes() == b"arrays"
    for error, outcome in [
        (InUse("busy"), local_engine.HELD),
        (InputError("no data"), "no data"),
        (ray.exceptions.WorkerCrashedError(), "WorkerCrashedError: "),
    ]:
        assert ray_engine._collect(Cluster, error, config, tools(tmp_path), lines.append).startswith(outcome)


@pytest.mark.parametrize("error", [Exception("The current node timed out during startup."), TimeoutError("no answer")])
def test_a_cluster_that_does_not_come_up_is_one_line_whatever_ray_raises(error):
    class Ray:
        def init(self, **_):
            raise error

        def shutdown(self):
            self.is_down = True

    ray = Ray()
    with pytest.raises(InputError, match=f"no Ray cluster at 'local' .*{error}"):
        ray_engine._connect(ray, {}, "local", ray_engine.Share())
    assert ray.is_down
