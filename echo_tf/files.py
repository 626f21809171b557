"""Files that are never half-written, and their hashes."""

import hashlib
import os
import re
import socket
import tempfile
import time
from pathlib import Path

from echo_tf.errors import InputError

OLD = 86_400  # seconds after which a temporary file is nobody's


def write_atomically(path, content):
    """Writes bytes or text to `path` by way of a synced temporary file beside it, making its folders.

    Raises:
        InputError: if the place cannot be written; the old file, if any, is then as it was.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=_mark(), delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}. Make room or give another folder.") from error


def sweep(folder):
    """Removes the temporary files that processes which were killed have left in a folder.

    They are those of this machine whose process is gone, and any that is older than a day.
    """
    for path in Path(folder).glob(".*.part"):
        found = re.fullmatch(r".*\.(\d+)@(.*)\.part", path.name)
        if found is None:
            continue
        try:
            if path.stat().st_mtime < time.time() - OLD or (found[2] == _machine() and not _alive(int(found[1]))):
                path.unlink()
        except OSError:  # somebody else was quicker
            continue


def _mark():
    """The end of a temporary file's name, which says whose it is."""
    return f".{os.getpid()}@{_machine()}.part"


def _machine():
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]


def _alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def check_writable(folder):
    """Raises InputError unless files can be made in `folder`, before hours are spent on what would go there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable."):  # of its own name: runs start together
            pass
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}. Make room or give another folder.") from error


def sha256(*parts):
    """Hex SHA-256 of a file (a path) or of bytes-like parts one after another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(Path(part).read_bytes() if isinstance(part, (str, Path)) else part)
    return digest.hexdigest()


def _sync_folder(folder):
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
