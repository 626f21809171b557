"""One run, from its settings to its record: checkpointed, resumable, never done twice. Enters the kind once, at `perform`."""

import time
from pathlib import Path

import filelock

from echo_tf.errors import InUse
from echo_tf.files import check_writable, sweep
from echo_tf.runs import checkpoints, kind_of, records, reuse
from echo_tf.runs.interrupts import StopRequest
from echo_tf.runs.place import Place, Tools, find, find_anywhere, model_path
from echo_tf.runs.settings import Settings


def run(settings: Settings, tools: Tools, patience: float = 0, again: bool = False) -> tuple[records.Result, bool]:
    """Does one run and records it; continues what is unfinished and skips what is done, in this study or another. What it needs
    of its own study, the preliminary round of a curve, is done first.

    Args:
        settings: of the run.
        tools: what the command line hands to all runs.
        patience: seconds to wait for another process that is at work on this run.
        again: do what is done once more, for its model; its record stays as it is.

    Returns:
        (the result, whether its record was there already). The record's status is "finished" or "diverged".

    Raises:
        InputError: for other settings under the run's name, a run that it needs and that is missing, or a place that cannot
            be written.
        InUse: for a run that another process is at work on.
        Interrupted: on SIGTERM or SIGINT.
    """
    result = find(settings, tools.results)
    if result is not None and not (again and model_path(result, tools.work) is None):
        return result, True
    path, folder = records.path_of(settings, tools.results), Path(tools.work, settings.run_path)
    for place in (path.parent, folder):
        check_writable(place)
        sweep(place)
    try:
        with filelock.FileLock(folder / "lock", timeout=patience), StopRequest() as stop:
            result = find(settings, tools.results)  # again: the process that had the lock may have finished the run
            if result is None and not again:
                result = reuse.take_over(settings, tools)
            if result is not None and not again:
                return result, True
            for needed in kind_of.needs(settings):
                if needed.study == settings.study and find_anywhere(needed, tools) is None:
                    run(needed, tools, patience)
                    stop.check()
            return _perform(settings, tools, path, stop, result), False
    except filelock.Timeout:
        raise InUse(f"another process is at work in {folder}: wait for it, or give this run another name.") from None


def missing(settings: Settings, tools: Tools) -> list[Settings]:
    """The runs that must be done before this one and have no record, first things first."""
    found = []
    for needed in kind_of.needs(settings):
        if find_anywhere(needed, tools) is None:
            found += [other for other in (*missing(needed, tools), needed) if other not in found]
    return found


def _perform(settings, tools, path, stop, known):
    place = Place(settings, tools, stop)
    for needed in kind_of.needs(settings):
        place.needed(needed)
    started = time.perf_counter()
    _begin(settings)
    payload = dict(kind_of.kind_of(settings.kind).perform(settings, place))
    if known is not None:
        checkpoints.remove(place.folder)
        return known
    seconds, files = time.perf_counter() - started, {}
    for name, arrays in sorted(place.attached.items()):  # first: a record says that they are there
        files[name] = records.write_arrays(path.with_name(f"{path.stem}.{name}.npz"), arrays)
    record = _envelope(settings, place, payload, files, seconds)
    trouble = records.trouble_with(record) if record["status"] == "finished" else None
    if trouble:
        record |= {"status": "diverged", "reason": trouble}
    records.write(path, record)
    if record["status"] == "finished":
        checkpoints.remove(place.folder)  # only now: until the record is there, they are all that a further attempt has
    return records.read(path)


def _begin(settings):
    """Puts Keras into the state in which every run begins, whatever ran before in this process."""
    import keras

    keras.config.set_floatx("float32")  # whatever another project has written into Keras's own configuration
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(settings.dtype_policy)
    if settings.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)


def _envelope(settings, place, payload, files, seconds):
    """The record around what a kind measured. A kind may give a status other than "finished", and add to what is said of the
    data."""
    from echo_tf.runs.surroundings import describe, describe_data

    record = {"kind": settings.kind, "status": payload.pop("status", "finished"), "config": settings.recorded()}
    if settings.switches:
        record["fidelity"] = {"word": settings.fidelity, "switches": settings.switches}
    described, *_ = [*(describe_data(data) for data in place.seen.values()), {}]
    described = {**described, **payload.pop("data", {})}
    if described:
        record["data"] = described
    if files:
        record["attached"] = files
    if place.models:
        record["models"] = place.models
    return {**record, "seconds": round(seconds, 1), **payload, **describe()}
