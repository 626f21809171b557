"""Runs that studies share: a training that one study has done serves every other that asks for the same."""

import json
from pathlib import Path

from echo_tf import records
from echo_tf.analysis import ENDING
from echo_tf.config import completed
from echo_tf.errors import InputError
from echo_tf.files import write_atomically

PLACE = ("study", "preset", "name", "variant")  # where a record stands: what is trained does not depend on it
MEASURED = ("likelihood_samples", "analysis")  # what is measured of a trained model: more may be there than is asked for
NOT_ASKED_FOR = {"none": "not asked for (likelihood_samples: 0)"}


def training(settings):
    """What of a configuration (a dict of settings, recorded ones too) decides its training, as text."""
    return json.dumps({k: v for k, v in completed(settings).items() if k not in (*PLACE, *MEASURED)}, sort_keys=True)


def serves(record, config):
    """Whether a record is of the training that a configuration asks for, with everything measured that it asks for.

    A run that was given a name of its own is to be trained, perhaps to see whether it comes out the same: nothing serves it.
    """
    if record["status"] != "finished" or config.name is not None:
        return False
    old, new = record["config"], config.model_dump()
    if training(old) != training(new):
        return False
    likelihood = config.method == "echo" or config.likelihood_samples in (0, old.get("likelihood_samples"))
    return likelihood and (not config.analysis or "analysis" in record)


def take_over(config, data, results):
    """Writes the record of a run from that of the same training in another study, and returns it; None if there is none.

    Args:
        config: the `RunConfig` of the run.
        data: its `ImageData`; the other training must have been on the same pixels.
        results: the results folder.
    """
    runs, target = Path(results, "runs"), records.path_of(config, results)
    for path in sorted(runs.rglob("*.json")):
        try:
            other = records.read(path)
        except InputError:
            continue  # another study's trouble
        if not serves(other, config) or other["data"]["sha256"] != data.sha256:
            continue
        record = {**other, "config": config.model_dump()}
        record.setdefault("same_training_as", str(path.relative_to(runs).with_suffix("")))
        if config.method != "echo" and not config.likelihood_samples:
            record["test"] = {**other["test"], "log_likelihood": NOT_ASKED_FOR}
        found = record.pop("analysis", None)
        if config.analysis:
            stored = path.with_name(found["file"])
            if not stored.is_file():
                continue
            record["analysis"] = {**found, "file": f"{config.run_name}{ENDING}"}
            write_atomically(target.with_name(record["analysis"]["file"]), stored.read_bytes())
        records.write(target, record)
        return record
    return None
