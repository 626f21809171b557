"""The Ray engine: the runs of a study as tasks on the machines of a Ray cluster.

A task trains one run, as the local engine would, and returns its record as text, with its analysis if there is one;
the driver writes them where they are not there yet, so results need no shared storage. Checkpoints do: a run whose worker
or node dies is started again, and continues if the new worker sees the work directory of the old.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import tqdm

import echo_tf
from echo_tf.errors import InputError, Interrupted, InUse
from echo_tf.files import write_atomically
from echo_tf.runs import kind_of, records
from echo_tf.runs.interrupts import StopRequest
from echo_tf.runs.local_engine import HELD, describe_error, split_done
from echo_tf.runs.place import Tools
from echo_tf.runs.runner import run
from echo_tf.runs.settings import Settings

MAX_RETRIES = 5  # of one run, after deaths of its worker or node
LOCK_PATIENCE = 120  # seconds that a run, started again, waits for the lock of a predecessor that is still dying
GOODBYE = 20  # seconds that interrupted runs have to stop at a batch
PASSED_ON = ("KERAS_BACKEND", "ECHO_TF_KINDS", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Share(NamedTuple):
    """What a run takes of a machine, by which Ray decides how many stand on it at a time."""

    cpus: float = 1
    gpus: float = 0


def run_ray(
    runs: Sequence[Settings],
    networks: Mapping[str, ModuleType],
    data: str,
    tools: Tools,
    address: str | None = None,
    share: Share | None = None,
    say: Callable = tqdm.tqdm.write,
) -> dict[str, str]:
    """Does the runs of a study on a Ray cluster.

    Args:
        runs: the settings of each.
        networks: network name -> module of a package whose folder is sent to the workers.
        data: the data directory, as the workers see it.
        tools: its folders, as the workers see them. Records are written to its `results` by the driver too.
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
    todo, outcomes = split_done(runs, tools)
    if not todo:
        return outcomes
    share = share or Share()
    _connect(ray, networks, address or os.environ.get("RAY_ADDRESS") or "local", share)
    try:
        task = ray.remote(_run).options(
            num_cpus=share.cpus, num_gpus=share.gpus, max_retries=MAX_RETRIES, retry_exceptions=[Interrupted]
        )
        places = tuple(str(Path(folder).resolve()) for folder in (tools.results, tools.work, *tools.also))
        waiting = {task.remote(settings, dict(networks), data, places): settings for settings in todo}
        with StopRequest() as stop, tqdm.tqdm(total=len(runs), initial=len(outcomes), unit="run") as bar:
            try:
                while waiting:
                    stop.check()
                    for reference in ray.wait(list(waiting), timeout=0.5)[0]:
                        settings = waiting.pop(reference)
                        outcomes[str(settings.run_path)] = _collect(ray, reference, settings, tools, say)
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
    from echo_tf.runs.surroundings import GIT_STATE, git_state

    packages = {Path(module.__file__).parent for module in [echo_tf, *networks.values()]}
    variables = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    variables |= {
        GIT_STATE: json.dumps(git_state()),
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
        there = ray.cluster_resources()
    except Exception as error:  # Ray has many, some of no class of their own, for a cluster that does not come up
        ray.shutdown()
        raise InputError(
            f"no Ray cluster at {address!r} ({describe_error(error)}): start one with ray start --head, or leave --address out."
        ) from error
    for kind, wanted, option in (("CPU", share.cpus, "--cpus-per-run"), ("GPU", share.gpus, "--gpus-per-run")):
        if address == "local" and there.get(kind, 0) < wanted:
            ray.shutdown()
            raise InputError(f"{option} is {wanted:g}, but this machine offers Ray {there.get(kind, 0):g}: ask for less.")


def _knock(address):
    """Raises OSError if nothing answers at host:port, where Ray itself would try for minutes and then end the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _run(settings, networks, data, places):
    """In a worker: one run, to its record as text and its attached files, name -> bytes."""
    from echo_tf.data import load_once
    from echo_tf.guards import clear_session

    results, work, *also = places
    tools = Tools(networks.__getitem__, partial(load_once, directory=data), results, work, tuple(also), verbose=0)
    try:
        result, _ = run(settings, tools, patience=LOCK_PATIENCE)
    finally:
        clear_session()  # Ray gives this process the next run too
    names = [f"{result.path.stem}.{name}.npz" for name in result.record.get("attached", ())]
    return json.dumps(result.record), {name: result.path.with_name(name).read_bytes() for name in names}


def _collect(ray, reference, settings, tools, say):
    """Writes the record of a run that has ended, unless it is there, and returns the run's outcome."""
    try:
        text, files = ray.get(reference)
        record, path = json.loads(text), records.path_of(settings, tools.results)
        if not path.exists():
            for name, content in files.items():  # first: a record says that they are there
                write_atomically(path.with_name(name), content)
            records.write(path, record)
        outcome, words = record["status"], kind_of.line(record)
    except InUse:
        outcome = words = HELD
    except (ray.exceptions.RayError, InputError) as error:
        cause = getattr(error, "cause", None) or error
        outcome = words = describe_error(cause)
    say(f"{settings.run_path}: {words}")
    return outcome


def _cancel(ray, references):
    for reference in references:
        ray.cancel(reference, force=False)
    ray.wait(references, num_returns=len(references), timeout=GOODBYE)
