import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from echo_tf import files
from echo_tf.errors import InputError


def test_content_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    files.write_atomically(path, "old")
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_one_clear_line(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_atomically(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot write .*No space left on device"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        files.check_writable(tmp_path / "results" / "runs")


def test_hash_is_that_of_hashlib(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == files.sha256(b"a", b"bc") == hashlib.sha256(b"abc").hexdigest()


def test_runs_that_start_together_do_not_disturb_each_other_s_probe(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: files.check_writable(tmp_path / "runs"), range(200)))
    assert list((tmp_path / "runs").iterdir()) == []


def test_temporary_files_of_processes_that_are_gone_are_swept_away_and_others_stay(tmp_path):
    script = "import sys; from echo_tf import files; open(f'{sys.argv[1]}/.a{files._mark()}', 'w').close()"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "ECHO_TF_LAZY": "1"}, check=True)
    mine = tmp_path / f".b{files._mark()}"
    old, strange = tmp_path / ".c.1@elsewhere.part", tmp_path / ".part"
    for path in (mine, old, strange):
        path.write_text("")
    os.utime(old, (0, 0))
    assert len(list(tmp_path.iterdir())) == 4
    files.sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, strange}
