"""Changes one line of the library at a time and runs its module's tests: a change that none of them notices is a gap.

    python tests/mutants.py [--only theory/] [--jobs 2]

The changes stand in mutants.yaml, by module, with the tests that ought to notice. Each is made in a copy of the tracked files,
never here, and tried in a process forked from one that has imported TensorFlow. What comes of it is kept in build/mutants.jsonl
and tried anew only where the change, its module or its tests are others since; tests/MUTANTS.md is the page made of it.
"""

import argparse
import gc
import hashlib
import importlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOUND, PAGE = ROOT / "build" / "mutants.jsonl", ROOT / "tests" / "MUTANTS.md"
OUTCOMES = {0: "survived", 1: "noticed", 2: "noticed", -signal.SIGKILL: "hung"}  # by status; 2: not even collected


def changes():
    """{"module", "old", "new", "tests", "why"} of each change in the list; why: the reason where none can notice."""
    listed = yaml.safe_load((ROOT / "tests" / "mutants.yaml").read_text(encoding="utf-8"))
    return [
        {"module": module, "old": old, "new": new, "tests": group["tests"], "why": "", **(more[0] if more else {})}
        for module, group in listed.items()
        for old, new, *more in group["changes"]
    ]


def changed(change, root=ROOT):
    """The module's text with the change made. ValueError unless the old text stands in it exactly once."""
    text = (root / "echo_tf" / change["module"]).read_text(encoding="utf-8")
    if (number := text.count(change["old"])) != 1:
        raise ValueError(f"{change['module']}: {change['old']!r} stands in it {number} times: mend tests/mutants.yaml.")
    return text.replace(change["old"], change["new"])


def key_of(change, root=ROOT):
    """A hash of the changed module and its tests: what was found holds while it stays."""
    tests = [(root / "tests" / name).read_text(encoding="utf-8") for name in change["tests"]]
    return hashlib.sha256("\0".join([change["module"], changed(change, root), *tests]).encode()).hexdigest()[:16]


def tested(tests, place, limit):
    """(status, seconds, log) of tests in a copy, run in a process of their own and ended after `limit` seconds."""
    began = time.monotonic()
    if not (pid := os.fork()):
        code = 70
        try:
            os.setsid()  # it is ended with what it starts
            os.chdir(place)
            for stream in (1, 2):
                os.dup2(os.open("log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND), stream)
            os.environ["PYTHONPATH"], sys.dont_write_bytecode = str(place), True
            sys.path[:] = [str(place), *(p for p in sys.path if Path(p).resolve() not in (ROOT, ROOT / "tests"))]
            asked = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", f"--basetemp={place}/tmp"]
            code = sys.modules["pytest"].main([*asked, *(f"tests/{name}" for name in tests)])
            if not sys.modules["echo_tf"].__file__.startswith(str(place)):
                code = 71  # another echo_tf was tested
        finally:
            os._exit(int(code))  # whatever happened: it must not go on as its parent would
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        time.sleep(0.05)
        if time.monotonic() > began + limit:
            os.killpg(pid, signal.SIGKILL)
    log = (place / "log").read_text(encoding="utf-8", errors="replace")
    return os.waitstatus_to_exitcode(ended[1]), time.monotonic() - began, log


def try_group(group):
    """Tries changes that share their tests, once these have passed unchanged, and writes down what comes of each."""
    place, tests = Path(tempfile.mkdtemp(prefix="mutants_")), group[0]["tests"]
    try:
        subprocess.run(f"git ls-files -z | tar -c --null -T - | tar -x -C {place}", shell=True, check=True, cwd=ROOT)
        status, usual, log = tested(tests, place, 1800)
        if status != 0:
            return print(f"{' '.join(tests)}: status {status} on the unchanged library\n{log[-3000:]}", flush=True)
        for change in group:
            key, path = key_of(change, place), place / "echo_tf" / change["module"]
            original = path.read_text(encoding="utf-8")
            path.write_text(changed(change, place), encoding="utf-8")
            status, seconds, log = tested(tests, place, 60 + 5 * usual)
            path.write_text(original, encoding="utf-8")
            by = "".join(re.findall(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", log, re.M)[:1])
            line = {"key": key, "result": OUTCOMES[status], "seconds": round(seconds), "by": by}
            print(f"{line['result']:8} {seconds:4.0f} s  {change['module']}: {change['new']!r}  {by}", flush=True)
            with open(FOUND, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def found():
    """{key: what came of a change} of all that have been tried."""
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.touch()
    return {line["key"]: line for line in map(json.loads, FOUND.read_text(encoding="utf-8").splitlines())}


def page(every, found):
    """The table by module and what was not noticed, in Markdown."""
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    tried = [(change, found[key_of(change)]["result"]) for change in every if key_of(change) in found]
    noticed = [change for change, result in tried if result == "noticed"]
    lines = ["# Changed formulas, and whether the tests notice", "", "Made by `python tests/mutants.py`.", ""]
    lines += [f"{date.today()}, commit {commit}: {len(every)} changes, {len(tried)} tried, {len(noticed)} noticed"]
    lines[-1] += f" ({len(noticed) / max(len(tried), 1):.1%})."
    lines += ["", "| module | changes | tried | noticed |", "| --- | ---: | ---: | ---: |"]
    for module in dict.fromkeys(change["module"] for change in every):
        numbers = [sum(c["module"] == module for c in part) for part in (every, [c for c, _ in tried], noticed)]
        lines.append("| " + " | ".join([module, *map(str, numbers)]) + " |")
    for change, result in tried:
        if result != "noticed":
            old, new = (" ".join(change[part].split()) for part in ("old", "new"))
            lines += ["", f"{change['module']}, {result}: `{old}` → `{new}`. {change['why'] or 'No reason given.'}"]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="changes whose module, old or new text has this in it")
    parser.add_argument("--jobs", type=int, default=2, help="changes tried at once (2)")
    asked, every, known, groups = parser.parse_args(), changes(), found(), {}
    for change in every:
        if any(asked.only in change[part] for part in ("module", "old", "new")) and key_of(change) not in known:
            groups.setdefault(tuple(change["tests"]), []).append(change)
    print(f"{len(every)} changes, {sum(map(len, groups.values()))} to try.", flush=True)
    if groups:
        os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg")
        of_flows = "tensorflow_probability.python.distributions"
        for slow in ("tensorflow", "keras", of_flows, "matplotlib.pyplot", "scipy.stats", "sklearn.ensemble", "pytest"):
            importlib.import_module(slow)  # but no operation runs: its threads would not live on in a fork
        gc.freeze()  # what lives now is not looked through in every fork
        with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
            pool.map(try_group, groups.values(), chunksize=1)
    text = page(every, found())
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
