"""The Ray engine: the runs of a study as tasks on the machines of a Ray cluster.

A task trains one run, as the local engine would, and returns its record as text, with its analysis if there is one;
the driver writes them where they are not there yet, so results need no shared storage. Checkpoints do: a run whose worker
or node dies is started again, and continues if the new worker sees the work directory of the old.
"""

import json
import os
import socket
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tqdm

import echo_tf
from echo_tf import records
from echo_tf.data import load_once
from echo_tf.errors import InputError, Interrupted, InUse
from echo_tf.files import write_atomically
from echo_tf.guards import clear_session
from echo_tf.interrupts import StopRequest
from echo_tf.studies import HELD, describe_error, split_done
from echo_tf.training import train

MAX_RETRIES = 5  # of one run, after deaths of its worker or node
LOCK_PATIENCE = 120  # seconds that a run, started again, waits for the lock of a predecessor that is still dying
GOODBYE = 20  # seconds that interrupted runs have to stop at a batch
PASSED_ON = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Places(NamedTuple):
    """Folders, as the workers see them: the data, the records, and checkpoints with logs and models."""

    data: str
    results: str
    work: str


class Share(NamedTuple):
    """What a run takes of a machine, by which Ray decides how many stand on it at a time."""

    cpus: float = 1
    gpus: float = 0


def run_ray(configs, networks, places, address=None, share=None, say=tqdm.tqdm.write):
    """Does the runs of a study on a Ray cluster.

    Args:
        configs: a list of `RunConfig`.
        networks: network name -> module of a package whose folder is sent to the workers.
        places: `Places`. Records are written to its `results` by the driver too.
        address: of the cluster; None: RAY_ADDRESS, else a cluster on this machine for as long as the study takes.
        share: a `Share`; None is one core and no GPU.
        say: prints a line.

    Returns:
        {run path: outcome}, see `split_done`.

    Raises:
        InputError: without Ray, without the cluster, or without the GPUs that a run is to have.
        Interrupted: on SIGTERM or SIGINT; runs that have begun stop and keep their checkpoints.
    """
    ray = _import_ray()
    todo, outcomes = split_done(configs, places.results)
    if not todo:
        return outcomes
    share = share or Share()
    _connect(ray, networks, address or os.environ.get("RAY_ADDRESS") or "local", share)
    try:
        task = ray.remote(_run).options(
            num_cpus=share.cpus, num_gpus=share.gpus, max_retries=MAX_RETRIES, retry_exceptions=[Interrupted]
        )
        waiting = {task.remote(config, networks[config.network], places): config for config in todo}
        with StopRequest() as stop, tqdm.tqdm(total=len(configs), initial=len(outcomes), unit="run") as bar:
            try:
                while waiting:
                    stop.check()
                    for reference in ray.wait(list(waiting), timeout=0.5)[0]:
                        config = waiting.pop(reference)
                        outcomes[str(config.run_path)] = _collect(ray, reference, config, places, say)
                        bar.update()
            except Interrupted:
                _cancel(ray, list(waiting))
                raise
    finally:
        ray.shutdown()
    return outcomes


def _import_ray():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # or Ray reports to its makers
    try:
        import ray
    except ImportError:
        raise InputError("--engine ray needs Ray, which is not installed: pip install -e '.[ray]'") from None
    return ray


def _connect(ray, networks, address, share):
    """Joins the cluster and sends it this code, so that the workers run what the driver's user sees."""
    packages = {Path(module.__file__).parent for module in [echo_tf, *networks.values()]}
    variables = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    variables |= {
        records.GIT_STATE: json.dumps(records.git_state()),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # several runs share a device: none may take all of its memory
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    # without this every run would start as many threads as the machine has cores
    variables.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, round(share.cpus))))
    try:
        _knock(address)
        ray.init(
            address=address,
            runtime_env={"py_modules": sorted(map(str, packages)), "env_vars": variables},
            log_to_driver=False,
            logging_level="error",
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"no Ray cluster at {address!r} ({describe_error(error)}): start one with ray start --head, or leave --address out."
        ) from error
    there = ray.cluster_resources()
    for kind, wanted, option in (("CPU", share.cpus, "--cpus-per-run"), ("GPU", share.gpus, "--gpus-per-run")):
        if address == "local" and there.get(kind, 0) < wanted:
            ray.shutdown()
            raise InputError(f"{option} is {wanted:g}, but this machine offers Ray {there.get(kind, 0):g}: ask for less.")


def _knock(address):
    """Raises OSError if nothing answers at host:port, where Ray itself would try for minutes and then end the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _run(config, network, places):
    """In a worker: one run, to its record as text and the bytes of its analysis, None where it has none."""
    load = partial(load_once, config.dataset, places.data)
    try:
        record, _ = train(config, network, load, places.results, places.work, verbose=0, patience=LOCK_PATIENCE)
    finally:
        clear_session()  # Ray gives this process the next run too
    beside = record.get("analysis", {}).get("file")
    found = records.path_of(config, places.results).with_name(beside).read_bytes() if beside else None
    return json.dumps(record), found


def _collect(ray, reference, config, places, say):
    """Writes the record of a run that has ended, unless it is there, and returns the run's outcome."""
    try:
        text, found = ray.get(reference)
        record, path = json.loads(text), records.path_of(config, places.results)
        if not path.exists():
            if found is not None:  # first: a record says that it is there
                write_atomically(path.with_name(record["analysis"]["file"]), found)
            records.write(path, record)
        outcome, words = record["status"], records.in_words(record)
    except InUse:
        outcome = words = HELD
    except (ray.exceptions.RayError, InputError) as error:
        cause = getattr(error, "cause", None) or error
        outcome = words = describe_error(cause)
    say(f"{config.run_path}: {words}")
    return outcome


def _cancel(ray, references):
    for reference in references:
        ray.cancel(reference, force=False)
    ray.wait(references, num_returns=len(references), timeout=GOODBYE)
