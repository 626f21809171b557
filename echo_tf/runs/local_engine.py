"""The local engine: the runs of a study one after another in this process."""

import sys
import traceback
from collections.abc import Callable, Sequence

from echo_tf.errors import InputError, Interrupted, InUse
from echo_tf.runs.interrupts import StopRequest
from echo_tf.runs.place import Tools, find
from echo_tf.runs.records import STATUSES, Result
from echo_tf.runs.settings import Settings

HELD = "held by another process"


def split_done(runs: Sequence[Settings], tools: Tools) -> tuple[list[Settings], dict[str, str]]:
    """What an engine starts from: the runs without a record, and {run path: outcome} of the others.

    An outcome is "finished", "diverged", `HELD`, or what went wrong.
    """
    todo, outcomes = [], {}
    for settings in runs:
        try:
            result = find(settings, tools.results)
        except InputError as error:
            outcomes[str(settings.run_path)] = str(error)
            continue
        if result is None:
            todo.append(settings)
        else:
            outcomes[str(settings.run_path)] = result.record["status"]
    return todo, outcomes


def run_local(
    runs: Sequence[Settings], tools: Tools, run: Callable[[Settings], Result], say=print, again: bool = False
) -> dict[str, str]:
    """Does the runs of a study one after another; one that fails does not stop the others.

    A run that another process is at work on is passed over and tried again at the end.

    Args:
        runs: the settings of each.
        tools: what says where records are.
        run: does one.
        say: prints a line.
        again: hand it what has a record, too.

    Returns:
        {run path: outcome}, see `split_done`.

    Raises:
        Interrupted: on SIGTERM or SIGINT.
    """
    todo, outcomes = (list(runs), {}) if again else split_done(runs, tools)
    done = len(outcomes)
    if done and todo:
        say(f"{done} of {len(runs)} runs are there already")
    with StopRequest() as stop:
        for second in (False, True):
            for number, settings in enumerate(todo, done + 1):
                path = str(settings.run_path)
                if second and outcomes[path] != HELD:
                    continue
                stop.check()
                say(f"[{number}/{len(runs)}] {path}")
                outcomes[path] = _attempt(run, settings)
                if outcomes[path] == HELD:
                    say(f"{path} is {HELD}: {'left to it' if second else 'going on, and back to it at the end'}")
    return outcomes


def _attempt(run, settings):
    try:
        return run(settings).record["status"]
    except Interrupted:
        raise
    except InUse:
        return HELD
    except Exception as error:  # whatever it is, the other runs of the study may do better
        if not isinstance(error, InputError):
            traceback.print_exc()
        return describe_error(error)
    finally:
        from echo_tf.guards import clear_session  # not before: it brings Keras, which run.py starts with its messages hidden

        clear_session()  # or the memory of every run's model and graphs is kept to the end of the study


def describe_error(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, InputError) else f"{type(error).__name__}: {lines[0]}"


def conclude(outcomes: dict[str, str], say=print) -> int:
    """Says what came of a study's runs and which of them went wrong.

    Returns:
        The exit status: 1 if a run diverged or failed, else 75 if another process holds one, else 0.
    """
    words = [word if word in (*STATUSES, HELD) else "failed" for word in outcomes.values()]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    say(f"{len(words)} run{'s' * (len(words) != 1)}{': ' * bool(counts)}{counts}")
    for (path, outcome), word in zip(outcomes.items(), words):
        if word != "finished":
            print(f"{path}: {word}{f' ({outcome})' if word == 'failed' else ''}", file=sys.stderr)
    if set(words) - {"finished", HELD}:
        return 1
    return 75 if HELD in words else 0
