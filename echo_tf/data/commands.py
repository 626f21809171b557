"""What `run.py data` does: say what is there, check it, import it, fetch it."""

from echo_tf.data import canonical, prepared
from echo_tf.data.catalog import CATALOG
from echo_tf.data.dataset import sizes_in_words
from echo_tf.data.loading import data_directory, load
from echo_tf.errors import InputError


def main(options) -> int:
    """One of the actions list, verify, import and fetch. Returns the exit status."""
    directory = data_directory(options.data_dir)
    if options.action == "import":
        _import(options, directory)
    elif options.action == "fetch":
        _fetch(options.name, directory)
    elif options.action == "verify":
        return _verify(options.names or [*CATALOG, *prepared.own_names(directory)], directory)
    else:
        _list(directory)
    return 0


def _import(options, directory):
    from echo_tf.data import preparing

    imported = preparing.import_files(
        options.name,
        options.files,
        directory,
        limits=getattr(options, "range", None),
        test_fraction=getattr(options, "test_fraction", None),
        shape=getattr(options, "shape", None),
    )
    for note in imported.notes:
        print("note:", note)
    print(f"wrote {options.name}: {imported.data.summary}: {imported.folder}")


def _fetch(name, directory):
    from echo_tf.data import preparing

    folder = preparing.fetch(name, directory)
    print(f"{name}: {load(name, directory).summary} -> {folder}")


def _list(directory):
    print(f"data directory: {directory}")
    for name, known in CATALOG.items():
        print(_line(name, ", ".join(sizes_in_words(known.sizes)), _where(name, known, directory)))
    for name in prepared.own_names(directory):
        try:
            described = prepared.describe(prepared.find(name, directory))
            print(_line(name, described.summary, described.folder))
        except InputError as error:
            print(_line(name, "", error))


def _where(name, known, directory):
    try:
        folder = prepared.find(name, directory)
    except InputError as error:
        return error
    if folder is not None:
        return folder
    if canonical.are_there(name, directory):
        return " ".join(known.files)
    return f"missing; {known.get}" if known.files else "with scikit-learn"


def _line(name, sizes, found):
    return f"{name:14} {sizes:45} {found}"


def _verify(names, directory):
    failed = False
    for name in names:
        try:
            data = load(name, directory)
            known = f"as {data.checked} says" if data.checked else "no known hash"
            print(f"{name:14} ok: {data.summary}; {known}; {data.source} ({data.variant})", flush=True)
        except InputError as error:
            failed = True
            print(f"{name:14} {error}", flush=True)
    return 2 if failed else 0
