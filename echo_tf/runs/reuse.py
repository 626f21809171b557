"""Work that studies share: what one study has done serves every other that asks for the same."""

from pathlib import Path

from echo_tf.files import write_atomically
from echo_tf.runs import kind_of, records
from echo_tf.runs.place import Tools
from echo_tf.runs.settings import Settings


def serves(result: records.Result, settings: Settings) -> bool:
    """Whether a record is of the work that a run asks for.

    A run that was given a name of its own is to be done, perhaps to see whether it comes out the same: nothing serves it.
    """
    if not result.finished or settings.name is not None or result.settings.kind != settings.kind:
        return False
    return kind_of.same_work(result.settings) == kind_of.same_work(settings)


def take_over(settings: Settings, tools: Tools) -> records.Result | None:
    """Writes the record of a run from that of the same work in another study, and returns it; None if there is none.

    The other must have been of the same data, pixel for pixel.
    """
    target = records.path_of(settings, tools.results)
    for other in records.read_all(tools.results, say=lambda line: None):  # another study's trouble is said elsewhere
        if not serves(other, settings) or not _same_data(other, settings, tools):
            continue
        record = {key: value for key, value in other.record.items() if key != "analysis"}  # of old records, with files
        record["config"] = settings.recorded()
        if settings.switches:
            record["fidelity"] = {"word": settings.fidelity, "switches": settings.switches}
        runs = Path(tools.results, "runs")
        record.setdefault("same_training_as", other.path.relative_to(runs).with_suffix("").as_posix())
        files = [(name, other.path.with_name(f"{other.path.stem}.{name}.npz")) for name in record.get("attached", ())]
        if not all(path.is_file() for _, path in files):
            continue
        for name, path in files:
            write_atomically(target.with_name(f"{target.stem}.{name}.npz"), path.read_bytes())
        records.write(target, record)
        return records.read(target)
    return None


def _same_data(other, settings, tools):
    data = other.record.get("data") or {}
    if "sha256" not in data:
        return True
    from echo_tf.runs.surroundings import describe_data  # which imports Keras

    asked = describe_data(tools.load(getattr(settings, "dataset", data["name"])))
    return all(asked[key] == data[key] for key in ("sha256", "image_shape", "maximum") if key in data)
