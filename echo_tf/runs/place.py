"""What a kind's work is given: its data and network, what it needs of other runs, checkpoints, and the request to stop."""

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import filelock
import numpy as np

import echo_tf
from echo_tf.errors import InputError, InUse
from echo_tf.files import write_atomically
from echo_tf.runs import checkpoints, records
from echo_tf.runs.settings import PLACE, Settings, difference, from_recorded
from echo_tf.runs.studies import OWN

WHOSE = "run.json"  # the entry of a model's file that says which run has trained it


class Tools(NamedTuple):
    """What the command line hands to all runs.

    network: the name of an architecture -> its module.
    load: the name of a dataset -> the dataset.
    results: the folder of the records.
    work: the folder of checkpoints, logs and trained models.
    also: further results folders in which runs that are needed may be.
    verbose: 1 for progress bars, 2 for lines, 0 for silence.
    """

    network: Callable[[str], ModuleType]
    load: Callable[[str], Any]
    results: str | Path = "results"
    work: str | Path = "work"
    also: tuple = ()
    verbose: int = 1


class ModelGone(InputError):
    """A run that is needed has its record, but its model is gone.

    settings: those of that run. results: the results folder of its record.
    """

    def __init__(self, settings, results, message):
        super().__init__(message)
        self.settings, self.results = settings, results

    def __reduce__(self):  # or Ray could not hand it on
        return ModelGone, (self.settings, self.results, str(self))


class Place:
    """Where one run is performed.

    folder: its folder in the work directory.
    verbose: as in `Tools`.
    seen: name -> dataset, of those that it has used.
    attached: name -> arrays that will stand beside its record.
    models: path of a run -> the digest of its model, of those that it has trained or measured.
    """

    def __init__(self, settings: Settings, tools: Tools, stop):
        self.settings, self.tools, self._stop = settings, tools, stop
        self.folder = Path(tools.work, settings.run_path)
        self.verbose = tools.verbose
        self.seen, self.attached, self.models, self._trained_on = {}, {}, {}, {}

    def check(self) -> None:
        """Raises Interrupted once the run has been asked to stop; to be called often."""
        self._stop.check()

    @property
    def progress(self) -> bool:
        """Whether to show progress bars."""
        return self.verbose == 1

    def data(self, name: str):
        """A dataset by its name."""
        if name not in self.seen:
            self.seen[name] = self.tools.load(name)
            self._refuse_other_data()
        return self.seen[name]

    def _refuse_other_data(self):
        """Raises InputError where a model that is measured was trained on other data than stand under that name now."""
        for name, (digests, again) in self._trained_on.items():
            if name in self.seen and self.seen[name].sha256 != digests:
                raise InputError(
                    f"the model that {self.settings.run_path} measures was trained on other data of the name {name}: {again}"
                )

    def network(self, name: str) -> ModuleType:
        """An architecture by its name."""
        return self.tools.network(name)

    def needed(self, settings: Settings) -> records.Result:
        """The record of a run that this one needs. Raises InputError, with the command that makes it, if it is not there;
        InUse if another process is at work on it."""
        result = find_anywhere(settings, self.tools)
        if result is None and is_held(Path(self.tools.work, settings.run_path)):
            raise InUse(
                f"{self.settings.run_path} needs {settings.run_path}, which another process is at work on: wait for it."
            )
        if result is None or not result.finished:
            raise InputError(f"{self.settings.run_path} needs the run {settings.run_path} first: {self._command(settings)}")
        return result

    def of_one_work(self, settings: Settings) -> list[records.Result]:
        """The record of a run that this one needs, and that of the run whose training it shares, if there is one."""
        result = self.needed(settings)
        shared = result.record.get("same_training_as")
        paths = [Path(folder, "runs", f"{shared}.json") for folder in (self.tools.results, *self.tools.also) if shared]
        return [result, *(records.read(path) for path in paths if path.is_file())]

    def model(self, settings: Settings):
        """The model that a run which this one needs has trained, as Keras saved it. Raises InputError as `needed`."""
        import keras

        result, again = self.needed(settings), f"{self._command(settings)} --again"
        data = result.record.get("data") or {}
        if "sha256" in data:
            self._trained_on[data["name"]] = data["sha256"], f"train it again with: {again}"
            self._refuse_other_data()
        path = model_path(result, self.tools.work)
        if path is None:
            raise ModelGone(
                settings,
                str(result.path).removesuffix(f"/runs/{settings.run_path}.json"),
                f"{self.settings.run_path} needs the model of {settings.run_path}, which has a record, but no sound "
                f"{Path(self.tools.work, settings.run_path)}/model.keras: train it again with: {again}",
            )
        _refuse_another_model(path, result.settings, again)
        echo_tf.load_all()  # a Ray worker has imported none
        try:
            model = keras.saving.load_model(path, compile=False)
        except Exception as error:  # a damaged archive fails in many ways
            said = " ".join(str(error).split())[:300]
            raise InputError(f"{path} cannot be loaded ({said}): remove it, and train it again with: {again}") from error
        self._note(settings, model)
        return model

    def _note(self, settings, model):
        from echo_tf.runs.surroundings import digest_of  # which imports Keras

        self.models[settings.run_path.as_posix()] = digest_of(model)

    def _command(self, settings):
        """The command that does a run that this one needs, in its places."""
        places = "" if self.tools.also else f" --results {self.tools.results} --work-dir {self.tools.work}"
        return f"{command(settings)}{places}"

    def keep(self, model) -> None:
        """Saves a trained model as the run's, whose settings stand in the file beside what Keras has written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        model.save(self.folder / "saving.keras")
        with zipfile.ZipFile(self.folder / "saving.keras", "a") as archive:
            archive.writestr(WHOSE, json.dumps(self.settings.recorded(), indent=1))
        (self.folder / "saving.keras").replace(self.folder / "model.keras")
        self._note(self.settings, model)

    def attach(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts arrays beside the record, as `<run>.<name>.npz`."""
        self.attached[name] = arrays

    def save(self, done: int, arrays: Mapping[str, np.ndarray], notes: Any = None) -> None:
        """Writes a checkpoint; see `checkpoints.save`."""
        path = self.folder / "config.json"
        if not (path.exists() and checkpoints.done(self.folder)):
            # only now: settings that the work refused must not stand in the way of their correction
            digests = {name: data.sha256 for name, data in self.seen.items()}
            write_atomically(self.folder / "data.json", json.dumps(digests, indent=1))
            write_atomically(path, json.dumps(self.settings.recorded(), indent=1))
        checkpoints.save(self.folder, done, arrays, notes, self.settings.recorded())

    def restore(self, shapes: Mapping[str, tuple] | None = None) -> checkpoints.State | None:
        """The newest readable checkpoint; see `checkpoints.restore`. Raises InputError if it is another configuration's, or
        made of other data."""
        path = self.folder / "config.json"
        if path.exists():
            refuse_another(_read_settings(path), self.settings, self.folder)
            there = _read_digests(self.folder / "data.json") if checkpoints.done(self.folder) else {}
            for name, digests in there.items():
                if self.data(name).sha256 != digests:
                    raise InputError(
                        f"{self.folder} has checkpoints made of other data of the name {name}: remove that folder."
                    )
        elif checkpoints.done(self.folder):
            raise InputError(f"{self.folder} has checkpoints and no config.json that says what they are of: remove the folder.")
        state = checkpoints.restore(self.folder, shapes)
        if state is not None and state.run is not None:
            refuse_another(from_recorded(state.run), self.settings, f"a checkpoint in {self.folder}")
        return state


def is_held(folder: Path) -> bool:
    """Whether another process is at work on the run of a folder in the work directory."""
    if not (folder / "lock").exists():
        return False
    try:
        with filelock.FileLock(folder / "lock", timeout=0):
            return False
    except (filelock.Timeout, PermissionError):
        return True


def _refuse_another_model(path, settings, again):
    """Raises InputError if a file holds the model of other work than a run's. Older versions have not said whose a model is."""
    try:
        with zipfile.ZipFile(path) as archive:
            if WHOSE not in archive.namelist():
                return
            trained = from_recorded(json.loads(archive.read(WHOSE)))
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): remove it, and train it again with: {again}") from error
    changes = difference(trained, settings.model_copy(update={key: getattr(trained, key) for key in PLACE}))
    if changes:
        raise InputError(
            f"{path} is the model of another run, {trained.run_path} ({'; '.join(changes)}): remove it, and train it again "
            f"with: {again}"
        )


def refuse_another(old: Settings, settings: Settings, place: Path | str) -> None:
    """Raises InputError if a record or checkpoint is of other settings than a run's."""
    changes = difference(old, settings)
    if changes:
        raise InputError(
            f"{place} belongs to another configuration ({'; '.join(changes)}): "
            "go back to it, give this run a name of its own (name=...), or remove that file or folder."
        )


def find(settings: Settings, results: str | Path) -> records.Result | None:
    """The record of a run, None if there is none. Raises InputError if it is damaged or another configuration's."""
    path = records.path_of(settings, results)
    if not path.exists():
        return None
    result = records.read(path)
    refuse_another(result.settings, settings, path)
    return result


def find_anywhere(settings: Settings, tools: Tools) -> records.Result | None:
    """The record of a run in any of the results folders, None if there is none."""
    for folder in (tools.results, *tools.also):
        result = find(settings, folder)
        if result is not None:
            return result
    return None


def model_path(result: records.Result, work: str | Path) -> Path | None:
    """Where the model of a finished run is: its own, or that of the run whose training it shares; None if it is gone, or cut
    off."""
    names = [result.settings.run_path, result.record.get("same_training_as")]
    paths = [Path(work, name, "model.keras") for name in names if name]
    return next((path for path in paths if path.is_file() and zipfile.is_zipfile(path)), None)


def command(settings: Settings) -> str:
    """The command that does one run, as far as it can be said in a line."""
    if settings.preset in (OWN, "none"):
        return f"run.py train {settings.study}, with the settings that make that run"
    return f"run.py study {settings.study} --preset {settings.preset} --run {settings.run_path}"


def _read_digests(path):
    """Name of a dataset -> its `sha256`, as `Place.save` wrote them; none where an older version has saved."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): remove {path.parent}.") from error


def _read_settings(path):
    try:
        return from_recorded(dict(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}), so that nobody can tell whose checkpoints stand beside it: remove {path.parent}."
        ) from error
