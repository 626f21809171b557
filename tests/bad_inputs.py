"""Bad inputs by the hundred, from a seed: settings, studies, records, checkpoints, data files. None may end in a traceback.

python -m tests.bad_inputs [HOW MANY [SEED]]
"""

import contextlib
import copy
import io
import json
import random
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

import run
from echo_tf.errors import InputError
from echo_tf.kinds.autoencoder import Settings
from echo_tf.runs import checkpoints

VALUES = [
    "-1",
    "0",
    "1e400",
    ".nan",
    ".inf",
    "''",
    "null",
    "[]",
    "{}",
    "[1, {a: 2}]",
    "true",
    "99999999999999999999",
    "..",
    "../..",
    "a b",
]
VALUES += [
    "\x00",
    "ä",
    "'%s'",
    "1.5",
    "!!python/object:os.system x",
    "&a [*a]",
    "2026-13-45",
    "[" * 500,
    "x" * 5000,
    "on",
    "1e-300",
    "echo",
]
NODES = [None, -1, 0, 1.5, "", "x", [], {}, [1], {"a": 1}, True, 10**30, "\u2028"]


def of_settings(rng, folder):
    """Settings of a run: names and values that are wrong in one way or another."""
    known = [*Settings.model_fields, "network_settings.output_kernel"]
    words = []
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(known)
        key = rng.choice([key, key, key, key[:-1], key.upper(), "", f"{key}.{key}"])
        words.append(f"{key}{rng.choice(['=', '=', '=', '==', ':'])}{rng.choice(VALUES)}")
    return ["train", rng.choice(["echo/table1", "echo/likelihood", "quickstart"]), *words]


def of_studies(rng, folder):
    """A study's file with bytes changed, lines lost or doubled."""
    lines = rng.choice(sorted(run.CONFIGS.rglob("*.yaml"))).read_text().splitlines()
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(lines))
        change = rng.choice(["drop", "double", "indent", "garble", "value"])
        if change == "drop":
            lines[place] = ""
        elif change == "double":
            lines.insert(place, lines[rng.randrange(len(lines))])
        elif change == "indent":
            lines[place] = " " * rng.randint(1, 5) + lines[place]
        elif change == "value":
            lines[place] = f"{lines[place].partition(':')[0]}: {rng.choice(VALUES)}"
        else:
            letters = list(lines[place] or " ")
            letters[rng.randrange(len(letters))] = rng.choice("{}[]:,&*!|>'\"%@`\t\x07ß")
            lines[place] = "".join(letters)
    (folder / "study.yaml").write_text("\n".join(lines), encoding="utf-8")
    return ["study", str(folder / "study.yaml"), "--list"]


def of_records(rng, folder):
    """A record with a part replaced, or cut short."""
    record = json.loads(rng.choice(sorted((run.RESULTS / "runs").rglob("*quick.json"))).read_text())
    for _ in range(rng.randint(1, 3)):
        node = record
        while True:
            key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.7:
                node = node[key]
                continue
            if isinstance(node, dict) and rng.random() < 0.4:
                del node[key]
            else:
                node[key] = copy.deepcopy(rng.choice(NODES))
            break
        if not record:
            break
    text = json.dumps(record)
    text = text if rng.random() < 0.8 else text[: rng.randrange(len(text))]
    path = folder / "results/runs/echo/table1/binary_mnist/vae/beta1_seed0_quick.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return rng.choice([["tables"], ["figures"], ["study", "echo/table1", "--preset", "quick", "--list"]])


def of_checkpoints(rng, folder):
    """A checkpoint with a byte changed, or cut short."""
    arrays = {"model/0000": np.arange(6.0).reshape(2, 3), "optimizer/0000": np.array(3)}
    checkpoints.save(folder, 1, arrays, [{"epoch": 1}])
    path = folder / "checkpoint-000000001.npz"
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content[: rng.randrange(len(content))]) if rng.random() < 0.3 else bytes(content))
    return lambda: checkpoints.restore(folder, {name: array.shape for name, array in arrays.items()})


def of_data(rng, folder):
    """A file of images that is damaged, or holds what no images are."""
    numbers = np.random.default_rng(rng.randrange(2**31))
    images = numbers.integers(
        0, rng.choice([2, 17, 200, 256]), (12, *rng.choice([(8, 8), (1, 8, 8), (8, 8, 2), (8,), (3, 3, 3)]))
    )
    images = rng.choice(
        [images, images * 1.1, images - 5, images.astype(complex), images.astype(str), images[:0], images * np.nan]
    )
    name = rng.choice(["a.npz", "train.npy", "a.csv", "a.mat", "a.h5", "train-images-idx3-ubyte", "a.amat", "a.txt", "a.png"])
    buffer = io.BytesIO()
    with contextlib.suppress(TypeError, ValueError):
        if name.endswith("npz"):
            np.savez(
                buffer,
                **{rng.choice(["x_train", "train", "x", "y"]): images, rng.choice(["x_test", "y_train", "z"]): images[:5]},
            )
        elif name.endswith("csv"):
            np.savetxt(buffer, images.reshape(len(images), -1), delimiter=",", fmt="%s")
        else:
            np.save(buffer, images)
    content = bytearray(buffer.getvalue() or b"\0")
    for _ in range(rng.choice([0, 0, 1, 8])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    (folder / name).write_bytes(bytes(content))
    return ["data", "import", rng.choice(["mine", "mine", "Mine", "digits", "../x"]), str(folder / name)]


SOURCES = (of_settings, of_studies, of_records, of_checkpoints, of_data)


def attempt(given, folder):
    """What came of an input: (exit status, what was said on stderr); an exception that escapes is a traceback."""
    said, out = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(out):
        try:
            if callable(given):
                given()
                return 0, ""
            places = [
                "--results",
                str(folder / "results"),
                "--work-dir",
                str(folder / "work"),
                "--data-dir",
                str(folder / "data"),
            ]
            # what is valid after all is not trained
            with mock.patch("echo_tf.runs.runner.run", side_effect=InputError("valid")):
                return run.main([*given, *places]), said.getvalue()
        except InputError as error:
            return 2, str(error)
        except SystemExit as error:  # argparse
            return error.code, said.getvalue().splitlines()[-1]


def failures(number, seed=0):
    """(source, input, what went wrong) of each bad input that ended in a traceback or in more than its lines."""
    found = []
    for i in range(number):
        rng = random.Random(f"{seed}/{i}")
        source = SOURCES[i % len(SOURCES)]
        with tempfile.TemporaryDirectory() as place:
            given = source(rng, Path(place))
            try:
                status, said = attempt(given, Path(place))
            except Exception as error:
                found.append((source.__name__, given, f"{type(error).__name__}: {error}"))
                continue
            lines = [line for line in said.splitlines() if not line.startswith("passed over: ")]
            if status not in (0, 2) or len(lines) > 1 or "Traceback" in said:
                found.append((source.__name__, given, f"status {status}: {said[:300]}"))
    return found


if __name__ == "__main__":
    number, seed = (int(word) for word in [*sys.argv[1:], *("300", "0")[len(sys.argv) - 1 :]][:2])
    wrong = failures(number, seed)
    for source, given, what in wrong:
        print(f"{source}: {given}\n    {what}")
    print(f"{number} bad inputs of seed {seed}: {len(wrong)} ended in a traceback, or in more than a line")
    sys.exit(bool(wrong))
