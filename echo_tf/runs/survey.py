"""How far the runs of a study are: from records and checkpoints alone, without Keras."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from echo_tf.errors import InputError
from echo_tf.runs import checkpoints, kind_of, records, reuse
from echo_tf.runs.kind_of import Guess
from echo_tf.runs.place import Tools, find
from echo_tf.runs.settings import Settings


class State(NamedTuple):
    """How far a run is.

    word: "finished", "diverged", "unfinished", "missing", "elsewhere": the same work is recorded in another study and
        will be taken over, or "refused": its record is damaged or another configuration's.
    done: how much of it, in the unit of its `amount`.
    seconds: estimate of the time that is left, a `Guess` where it is from other work, None where nothing tells.
    """

    word: str
    done: int
    seconds: float | None


def survey(runs: Sequence[Settings], tools: Tools, every: Sequence[records.Result] | None = None) -> list[State]:
    """The `State` of each run. Time is a rough guide: it is that of the records' machines. `every`: all records, where they
    have been read."""
    known = [result for result in (records.read_all(tools.results) if every is None else every) if result.finished]
    works = {}
    for result in known:
        works.setdefault((result.settings.kind, kind_of.same_work(result.settings)), []).append(result)
    of_kind = {settings.kind: [r for r in known if r.settings.kind == settings.kind] for settings in runs}
    return [_state(settings, works, of_kind[settings.kind], tools) for settings in runs]


def _state(settings, works, of_kind, tools):
    try:
        result = find(settings, tools.results)
    except InputError:
        return State("refused", 0, 0.0)
    if result is not None:
        return State(result.record["status"], 0, 0.0)
    if any(reuse.serves(other, settings) for other in works.get((settings.kind, kind_of.same_work(settings)), ())):
        return State("elsewhere", 0, 0.0)
    done = checkpoints.done(Path(tools.work, settings.run_path))
    return State("unfinished" if done else "missing", done, kind_of.seconds_left(settings, done, of_kind))


def listing(runs: Sequence[Settings], tools: Tools) -> str:
    """A line for each run, with its index, state, path and the time that is left, and a line of totals."""
    states = survey(runs, tools)
    lines = []
    for index, (settings, state) in enumerate(zip(runs, states)):
        total, unit = settings.amount or ("", "")
        done = f", {state.done:,} of {total:,} {unit}" if state.word == "unfinished" and total else ""
        left = "" if state.seconds == 0 else f"  ({duration(state.seconds)})"
        lines.append(f"{index:4}  {state.word:10}  {settings.run_path}{done}{left}")
    words = [state.word for state in states]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    return "\n".join(
        [*lines, f"{len(runs)} run{'s' * (len(runs) != 1)}{': ' * bool(counts)}{counts}; left to do: {left_to_do(states)}"]
    )


def left_to_do(states: Sequence[State]) -> str:
    """The time that is left for some runs, in words."""
    known = [state.seconds for state in states if state.seconds]
    unknown = sum(state.seconds is None for state in states)
    total = Guess(sum(known)) if any(isinstance(seconds, Guess) for seconds in known) else sum(known)
    return " + ".join([duration(total)] * bool(known) + [f"unknown for {unknown}"] * bool(unknown)) or "nothing"


def duration(seconds: float | None) -> str:
    """Seconds in words: "unknown" for None, "40 s", "12 min", "3.5 h", "2.1 days", "a guess: 3.5 h"."""
    if seconds is None:
        return "unknown"
    if isinstance(seconds, Guess):
        return f"a guess: {duration(float(seconds))}"
    for limit, unit, form in ((99, 1, "{:.0f} s"), (99 * 60, 60, "{:.0f} min"), (48 * 3600, 3600, "{:.1f} h")):
        if seconds <= limit:
            return form.format(seconds / unit)
    return f"{seconds / 86400:.1f} days"
