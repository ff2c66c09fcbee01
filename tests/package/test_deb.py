"""The Debian package: the same bytes from the same commit, faultless to lintian, and gone when it is purged."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.conftest import build
from tests.package.debian import Debian, mirror

pytestmark = [pytest.mark.package, pytest.mark.root, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Debian]:
    debian = Debian(tmp_path_factory.mktemp("debian"), mirror())
    (debian.root / "tmp/vipcast.deb").write_bytes(package.read_bytes())
    debian.must("apt-get -qq update")
    yield debian
    subprocess.run(["rm", "-rf", "--one-file-system", str(debian.root)], check=True, timeout=120)


def test_two_folders_build_the_same_bytes(package: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "a-folder-with-another-name")
    assert other.read_bytes() == package.read_bytes()


def test_lintian_finds_nothing(package: Path) -> None:
    changes = next((package.parents[1] / "build/deb").glob("*.changes"))
    told = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", str(changes)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert told.returncode == 0, told.stdout


def test_a_clean_debian_takes_it_and_is_clean_again(debian: Debian) -> None:
    debian.must("apt-get install -qq -y --no-install-recommends /tmp/vipcast.deb")
    assert debian.must("vipcast --version").startswith("vipcast ")
    assert debian.must("getent group vipcast vipcast-ro").count("\n") == 2
    assert debian.run("python3 -c 'import daemon'").returncode == 1
    refused = debian.run("vipcast status")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert debian.run("vipcastd --check").returncode == 78
    debian.must("/usr/bin/python3 -IBc 'import sys; sys.path.insert(0, \"/usr/lib/vipcast\"); import daemon.main'")

    debian.must("mkdir -p /etc/vipcast /var/lib/vipcast && touch /etc/vipcast/authkey /var/lib/vipcast/cluster.db")
    debian.must("apt-get remove -qq -y vipcast")
    assert debian.run("ls /usr/lib/vipcast").returncode != 0
    debian.must("ls /etc/vipcast/authkey /var/lib/vipcast/cluster.db")
    debian.must("apt-get install -qq -y --no-install-recommends /tmp/vipcast.deb")
    debian.must("apt-get purge -qq -y vipcast")
    left = debian.must("find / -xdev -name '*vipcast*' -not -path '/proc/*' -not -path '/tmp/*'")
    assert left == ""
