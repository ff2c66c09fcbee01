from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon import keys
from daemon.keys import KEY_BYTES, KeyFileError


def test_a_written_key_is_read_back_and_closed_to_others(tmp_path: Path) -> None:
    path, key = tmp_path / "authkey", keys.generate()
    keys.write(path, key)
    assert keys.read(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.generate() != key


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0o377)
    try:
        keys.write(tmp_path / "authkey", keys.generate())
    finally:
        os.umask(before)
    assert (tmp_path / "authkey").stat().st_mode & 0o777 == 0o600


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(b"precious")
    with pytest.raises(KeyFileError, match="it exists already and is left as it is"):
        keys.write(path, keys.generate())
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_use_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "authkey"
    keys.write(path, keys.generate())
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        keys.read(path)


@pytest.mark.parametrize("size", [0, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_of_the_wrong_length_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=f"a key has 32 bytes and this file {size}"):
        keys.read(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="vipcast keygen"):
        keys.read(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        keys.read(tmp_path / "pipe")
    with pytest.raises(KeyFileError, match="mkdir -p"):
        keys.write(tmp_path / "no" / "key", keys.generate())


@pytest.mark.root
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    keys.write(path, keys.generate())
    os.chown(path, 12345, 12345)
    with pytest.raises(KeyFileError, match=r"belongs to user 12345.*chown 0 "):
        keys.read(path)
