"""The file by which a host is silenced."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.panic import FILE, Panic, PanicFile


def test_a_host_is_silenced_from_the_writing_of_the_file_to_its_removal(tmp_path: Path) -> None:
    file = PanicFile(tmp_path / "state")
    assert not file.is_on()
    assert file.read() is None
    file.write(Panic("ann", 1_700_000_000))
    assert file.is_on()
    assert PanicFile(tmp_path / "state").read() == Panic("ann", 1_700_000_000)
    assert file.remove()
    assert not file.is_on()
    assert not file.remove()


@pytest.mark.parametrize("content", [b"", b"not json", b'{"author": 3}', bytes(100_000)])
def test_a_file_that_nobody_can_read_silences_all_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    file = PanicFile(tmp_path)
    assert file.is_on()
    assert file.read() == Panic("somebody", 0)


def test_a_file_that_cannot_be_looked_at_counts_as_there(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert PanicFile(loop).is_on()
