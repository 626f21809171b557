"""Studies: a study is a list of runs. Which they are, how far they are, and the engine that does them one by one."""

import sys
import traceback
from pathlib import Path
from typing import NamedTuple

from echo_tf import checkpoints, records, reuse
from echo_tf.config import difference, validated
from echo_tf.data import CATALOG
from echo_tf.errors import InputError, Interrupted, InUse, nearest
from echo_tf.grids import combinations
from echo_tf.guards import clear_session
from echo_tf.interrupts import StopRequest
from echo_tf.training import find_record

HELD = "held by another process"


class State(NamedTuple):
    """How far a run is.

    word: "finished", "diverged", "unfinished", "missing", "elsewhere": the same training is recorded in another study and
        will be taken over, or "refused": its record is another configuration's.
    epochs: epochs done.
    seconds: estimate of the training time that is left, None where nothing tells.
    """

    word: str
    epochs: int
    seconds: float | None


def expand(study, preset=None, only=()):
    """All runs of a study, always in the same order.

    Args:
        study: a `Study`.
        preset: a key of its presets; None is "paper" where there is one.
        only: strings "axis=value[,value]"; runs with other values are left out.

    Returns:
        A list of `RunConfig`.

    Raises:
        InputError: for settings that do not hold, an axis or a value that the study does not have, or two runs whose
            records would stand at one path.
    """
    runs = {}
    for values in combinations(study, preset):
        config = validated(values, study.variants.get(values.get("variant"), ()))
        other = runs.setdefault(config.run_path, config)
        if other is not config:
            changes = "; ".join(difference(other.model_dump(), config.model_dump())) or "nothing"
            raise InputError(
                f"two runs of {study.study} have the name {config.run_path}, they differ in {changes}: "
                "give them names of their own by making them variants."
            )
    return _chosen(study, list(runs.values()), only)


def _chosen(study, configs, only):
    for word in only:
        axis, equals, choices = word.partition("=")
        if not equals or axis not in study.varying:
            known = ", ".join(study.varying)
            raise InputError(
                f"{study.study} varies {known}: 'only' takes axis=value[,value], got {word!r}{nearest(axis, study.varying)}."
            )
        there = list(dict.fromkeys(getattr(config, axis) for config in configs))
        chosen = []
        for text in choices.split(","):
            found = [value for value in there if _reads_as(text, value)]
            if not found:
                known = list(map(str, there))
                raise InputError(f"{axis} has the values {', '.join(known)} here, got {text!r}{nearest(text, known)}.")
            chosen += found
        configs = [config for config in configs if getattr(config, axis) in chosen]
    return configs


def _reads_as(text, value):
    try:
        return text == str(value) or float(text) == float(value)
    except (TypeError, ValueError):
        return False


def pick(configs, index):
    """The run of a number in `listing`. Raises InputError if there is none."""
    if not 0 <= index < len(configs):
        raise InputError(f"the runs have the indices 0 to {len(configs) - 1}, got {index}.")
    return configs[index]


def survey(configs, results, work):
    """The `State` of each run, from the records and checkpoints alone.

    Time is estimated from the finished runs of all studies with the same network, batches and method (or any method,
    where there is none of this one), by the number of training images: a rough guide, as they may be another machine's.
    """
    known = _read_known(results)
    return [_state(config, known, results, work) for config in configs]


class _Known(NamedTuple):
    """What the records of all studies tell.

    stored: path -> record.
    trained: `reuse.training` -> the finished records of it.
    paces: kind of run -> seconds an image, of each finished run.
    """

    stored: dict
    trained: dict
    paces: dict


def _read_known(results):
    known = _Known({}, {}, {})
    for path in Path(results, "runs").rglob("*.json"):
        record = known.stored[path] = records.read(path)
        if record["status"] == "finished":
            known.trained.setdefault(reuse.training(record["config"]), []).append(record)
            visits = len(record["history"]) * record["data"]["train_images_used"]
            for kind in _kinds(record["config"]):
                known.paces.setdefault(kind, []).append(record["train_seconds"] / visits)
    return known


def _kinds(settings):
    """What runs of one pace have in common, with the method and without it."""
    kind = tuple(settings.get(key) for key in ("network", "width", "latent_dim", "batch_size", "dtype_policy"))
    return (*kind, settings["method"]), kind


def _state(config, known, results, work):
    settings = config.model_dump()
    record = known.stored.get(records.path_of(config, results))
    if record is not None:
        word = "refused" if difference(record["config"], settings) else record["status"]
        return State(word, len(record["history"]), 0.0)
    if any(reuse.serves(other, config) for other in known.trained.get(reuse.training(settings), ())):
        return State("elsewhere", 0, 0.0)
    epochs = checkpoints.epochs_done(Path(work, config.run_path))
    pace = next((known.paces[kind] for kind in _kinds(settings) if kind in known.paces), None)
    images = _num_train_images(config, known.stored.values())
    seconds = (config.epochs - epochs) * images * sum(pace) / len(pace) if pace and images else None
    return State("unfinished" if epochs else "missing", epochs, seconds)


def _num_train_images(config, stored):
    """How many images the run will train on, as far as is known without loading them."""
    if config.dataset in CATALOG:
        return CATALOG[config.dataset].sizes["train"]
    alike = (record["data"] for record in stored if record["config"]["dataset"] == config.dataset)
    return next((data["train_images_used"] for data in alike), None)


def listing(configs, results, work):
    """A line for each run, with its index, state, path and the time that is left, and a line of totals."""
    states = survey(configs, results, work)
    lines = []
    for index, (config, state) in enumerate(zip(configs, states)):
        epochs = f", {state.epochs} of {config.epochs} epochs" if state.word == "unfinished" else ""
        left = "" if state.seconds == 0 else f"  ({duration(state.seconds)})"
        lines.append(f"{index:4}  {state.word:10}  {config.run_path}{epochs}{left}")
    words = [state.word for state in states]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    known = [state.seconds for state in states if state.seconds is not None]
    unknown = len(states) - len(known)
    left = " + ".join([duration(sum(known))] * any(known) + [f"unknown for {unknown}"] * bool(unknown)) or "nothing"
    return "\n".join([*lines, f"{len(configs)} runs: {counts}; left to train: {left}"])


def duration(seconds):
    """Seconds in words: "unknown" for None, "40 s", "12 min", "3.5 h", "2.1 days"."""
    if seconds is None:
        return "unknown"
    for limit, unit, form in ((99, 1, "{:.0f} s"), (99 * 60, 60, "{:.0f} min"), (48 * 3600, 3600, "{:.1f} h")):
        if seconds <= limit:
            return form.format(seconds / unit)
    return f"{seconds / 86400:.1f} days"


def split_done(configs, results):
    """What an engine starts from: the runs without a record, and {run path: outcome} of the others.

    An outcome is "finished", "diverged", `HELD`, or what went wrong.
    """
    todo, outcomes = [], {}
    for config in configs:
        try:
            record = find_record(config, results)
        except InputError as error:
            outcomes[str(config.run_path)] = str(error)
            continue
        if record is None:
            todo.append(config)
        else:
            outcomes[str(config.run_path)] = record["status"]
    return todo, outcomes


def run_local(configs, results, run, say=print):
    """Does the runs of a study one after another in this process; one that fails does not stop the others.

    A run that another process is at work on is passed over and tried again at the end.

    Args:
        configs: a list of `RunConfig`.
        results: the results folder.
        run: (config) -> record.
        say: prints a line.

    Returns:
        {run path: outcome}, see `split_done`.

    Raises:
        Interrupted: on SIGTERM or SIGINT.
    """
    todo, outcomes = split_done(configs, results)
    done = len(outcomes)
    if done and todo:
        say(f"{done} of {len(configs)} runs are there already")
    with StopRequest() as stop:
        for again in (False, True):
            for number, config in enumerate(todo, done + 1):
                path = str(config.run_path)
                if again and outcomes[path] != HELD:
                    continue
                stop.check()
                say(f"[{number}/{len(configs)}] {path}")
                outcomes[path] = _attempt(run, config)
                if outcomes[path] == HELD:
                    say(f"{path} is {HELD}: {'left to it' if again else 'going on, and back to it at the end'}")
    return outcomes


def _attempt(run, config):
    try:
        return run(config)["status"]
    except Interrupted:
        raise
    except InUse:
        return HELD
    except Exception as error:  # whatever it is, the other runs of the study may do better
        if not isinstance(error, InputError):
            traceback.print_exc()
        return describe_error(error)
    finally:
        clear_session()  # or the memory of every run's model and graphs is kept to the end of the study


def describe_error(error):
    """An exception in one line."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, InputError) else f"{type(error).__name__}: {lines[0]}"


def conclude(outcomes, say=print):
    """Says what came of a study's runs and which of them went wrong.

    Returns:
        The exit status: 1 if a run diverged or failed, else 75 if another process holds one, else 0.
    """
    words = [word if word in ("finished", "diverged", HELD) else "failed" for word in outcomes.values()]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    say(f"{len(words)} run{'s' * (len(words) != 1)}: {counts}")
    for (path, outcome), word in zip(outcomes.items(), words):
        if word != "finished":
            print(f"{path}: {word}{f' ({outcome})' if word == 'failed' else ''}", file=sys.stderr)
    if {"diverged", "failed"} & set(words):
        return 1
    return 75 if HELD in words else 0
