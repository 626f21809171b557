"""What `run.py data` does: say what is there, check it, import it, fetch it."""

from echo_tf.data import preparing
from echo_tf.data.catalog import CATALOG
from echo_tf.data.loading import data_directory, find_prepared
from echo_tf.errors import InputError


def main(options):
    """One of the actions list, verify, import and fetch. Returns the exit status."""
    directory = data_directory(options.data_dir)
    if options.action == "import":
        print("wrote", preparing.import_files(options.name, options.files, directory))
    elif options.action == "fetch":
        print("wrote", preparing.fetch(options.name, directory))
    elif options.action == "verify":
        return _verify(options.names or list(CATALOG), directory)
    else:
        _list(directory)
    return 0


def _list(directory):
    print(f"data directory: {directory}")
    for name, known in CATALOG.items():
        prepared = find_prepared(name, directory)
        canonical = known.file and (directory / known.file).is_file()
        found = prepared or (known.file if canonical else "with scikit-learn" if not known.file else f"missing; {known.get}")
        print(f"{name:14} {' / '.join(f'{n:,} {split}' for split, n in known.sizes.items()):45} {found}")


def _verify(names, directory):
    failed = False
    for name, found in preparing.verify(names, directory):
        failed |= isinstance(found, InputError)
        print(f"{name:14} {found}" if isinstance(found, InputError) else f"{name:14} ok: {found.source} ({found.variant})")
    return 2 if failed else 0
