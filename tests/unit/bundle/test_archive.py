"""The archive is written whole or not at all; one from elsewhere is read with suspicion."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import resource
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle import archive, manifest
from daemon.bundle.archive import BundleError
from daemon.bundle.manifest import Manifest, NodeEntry

FILES = {
    "manifest.json": b"{}",
    "a1/status.json": b'{"a": 1}',
    "a1/journal.txt": b"x" * 100_000,
    "a2/empty.txt": b"",
}
ABOUT = Manifest("demo", "a1", "2026-11-22T10:00:00+00:00", "0.1.0", {"a1": NodeEntry(7), "a2": NodeEntry(9)})


def packed() -> bytes:
    made = io.BytesIO()
    archive.pack(made, "vipcast-demo", FILES)
    return made.getvalue()


WHOLE = packed()


def test_what_is_written_is_read_again_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    archive.write(path, "vipcast-demo", FILES)
    assert archive.read(path) == FILES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["b.tar.gz"]


def test_a_file_that_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_text("mine")
    with pytest.raises(BundleError, match="there is already a"):
        archive.write(path, "vipcast-demo", FILES)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["b.tar.gz"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file or directory"):
        archive.write(tmp_path / "none" / "b.tar.gz", "vipcast-demo", FILES)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BundleError, match="No space left on device"):
        archive.write(tmp_path / "b.tar.gz", "vipcast-demo", FILES)
    assert os.listdir(tmp_path) == []


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for member, body in members:
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    made.seek(0)
    return made


def named(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/shadow"
    return member


@pytest.mark.parametrize(
    "member",
    [
        named("../../etc/passwd"),
        named("/etc/passwd"),
        named("x/../../y"),
        named("x/.ssh/authorized_keys"),
        named("alone"),
        named("x/a1/link", tarfile.SYMTYPE),
        named("x/a1/hard", tarfile.LNKTYPE),
        named("x/a1/device", tarfile.CHRTYPE),
        named("x/a1/pipe", tarfile.FIFOTYPE),
        named("x/a1/b\nc"),
    ],
    ids=lambda member: member.name,
)
def test_a_member_that_no_bundle_has_is_refused(member: tarfile.TarInfo) -> None:
    with pytest.raises(BundleError, match="a member that no bundle has"):
        archive.unpack(tar_of((named("x/a1/status.json"), b"{}"), (member, b"")))


def test_what_unpacks_to_more_than_a_bundle_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "WHOLE_BYTES_MAX", 1 << 20)
    bomb = tar_of((named("x/a1/a.txt"), bytes(800_000)), (named("x/a1/b.txt"), bytes(800_000)))
    assert len(bomb.getvalue()) < 10_000
    with pytest.raises(BundleError, match="unpacks to more than 1 MiB"):
        archive.unpack(bomb)


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    header = named("x/a1/a.txt")
    header.size = archive.FILE_BYTES_MAX + 1
    with pytest.raises(BundleError, match="larger than a file of a bundle"):
        archive.unpack(io.BytesIO(gzip.compress(header.tobuf() + bytes(10240))))


@given(st.data())
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    """Of the packed bytes or of those inside: cut off, and with bytes changed."""
    inside = data.draw(st.booleans())
    raw = bytearray(gzip.decompress(WHOLE) if inside else WHOLE)
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, min(len(raw) - 1, 3000)))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    with contextlib.suppress(BundleError):
        archive.unpack(io.BytesIO(gzip.compress(bytes(raw)) if inside else bytes(raw)))


def test_the_node_that_knows_most_is_chosen() -> None:
    files = {"manifest.json": manifest.encode(ABOUT), "a1/view.json": b"{}", "a2/view.json": b"{}"}
    assert manifest.best_informed(manifest.decode(files), files) == "a2"
    del files["a2/view.json"]
    assert manifest.best_informed(manifest.decode(files), files) == "a1"
    del files["a1/view.json"]
    with pytest.raises(BundleError, match="no node in it has told"):
        manifest.best_informed(manifest.decode(files), files)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "it has no manifest.json"),
        (b"{", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (manifest.encode(ABOUT).replace(b'"version": 1', b'"version": 2'), "use a newer one"),
        (manifest.encode(ABOUT).replace(b"vipcast-support-bundle", b"crm_report"), "'crm_report'"),
    ],
)
def test_a_manifest_of_something_else_is_refused(body: bytes | None, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        manifest.decode({} if body is None else {"manifest.json": body})


def gnu_sparse(name: str, size: int) -> bytes:
    """A header that says `size` bytes and has none of them (GNU tar's old format of files with holes)."""
    member = tarfile.TarInfo(name)
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:410] = b"%011o\0%011o\0" % (size, 0)
    header[483:495] = b"%011o\0" % size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def pax_header() -> bytes:
    """One that another header follows: tarfile reads that within this one."""
    member, record = tarfile.TarInfo("x"), b"7 a=bc\n"
    member.type, member.size = tarfile.XHDTYPE, len(record)
    return member.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")


@pytest.mark.parametrize(
    ("unpacked", "said"),
    [
        (gnu_sparse("top/a1/view.json", 60 << 20), "a member that no bundle has"),
        (tarfile.TarInfo("top/a1/x").tobuf() * 2, "comes twice"),
        (pax_header() * 3000, "no whole"),
    ],
)
def test_tricks_with_the_format_are_refused(unpacked: bytes, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        archive.unpack(io.BytesIO(gzip.compress(unpacked + bytes(1024))))


WRITES_TOO_MUCH = """
import os, sys
from pathlib import Path
from daemon.bundle import archive
try:
    archive.write(Path(sys.argv[1]), "top", {"a1/noise.txt": os.urandom(300_000)})
except archive.BundleError as error:
    print(error)
"""


def test_a_disk_without_room_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The kernel refuses writes beyond a limit with EFBIG, where a full disk says ENOSPC."""
    ended = subprocess.run(
        [sys.executable, "-c", WRITES_TOO_MUCH, str(tmp_path / "b.tar.gz")],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert ended.stdout == f"cannot write {tmp_path}/b.tar.gz: File too large\n"
    assert os.listdir(tmp_path) == []
