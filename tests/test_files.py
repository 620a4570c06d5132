"""Files are written whole or not at all."""

import os
import resource
import signal
import stat
import subprocess
import sys

import pytest

from mien.errors import CannotWrite
from mien.files import write_whole


def test_writes_and_replaces(tmp_path):
    target = tmp_path / "face.json"
    write_whole(target, b"old")
    write_whole(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["face.json"]


def test_permissions_follow_the_umask_and_the_replaced_file(tmp_path):
    target = tmp_path / "face.json"
    before = os.umask(0o027)
    try:
        write_whole(target, b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.chmod(0o600)
    write_whole(target, b"2")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_folder_of_that_name(tmp_path):
    (tmp_path / "face.glb").mkdir()
    with pytest.raises(CannotWrite, match=r"face\.glb: .*folder has that name"):
        write_whole(tmp_path / "face.glb", b"x")
    assert os.listdir(tmp_path) == ["face.glb"]


def test_a_missing_folder(tmp_path):
    with pytest.raises(CannotWrite, match=r"missing.face\.glb: .*No such file"):
        write_whole(tmp_path / "missing" / "face.glb", b"x")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CannotWrite, match="Permission denied"):
        write_whole(tmp_path / "face.glb", b"x")


def test_full_disk_keeps_the_old_file(tmp_path):
    """A limit on file sizes stands in for a full disk: the write fails in the middle with an OSError."""
    target = tmp_path / "face.glb"
    target.write_bytes(b"old")
    code = (
        "import sys; from mien.files import write_whole\n"
        "try: write_whole(sys.argv[1], bytes(100_000))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    run = subprocess.run(
        [sys.executable, "-B", "-c", code, str(target)], preexec_fn=limit, capture_output=True, text=True
    )
    assert run.stdout.startswith(f"CannotWrite {target}: cannot be written (File too large)")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["face.glb"]


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "face.glb", b"x")
    assert os.listdir(tmp_path) == []
