"""`make install` from source: what the package has, below any prefix, and gone with `make uninstall`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.package.conftest import ROOT

pytestmark = [pytest.mark.package, pytest.mark.root, pytest.mark.timeout(900)]

DEBIANS_OWN = ("usr/share/doc/", "usr/share/lintian/")


def make(target: str, tree: Path, *words: str) -> None:
    subprocess.run(
        ["make", "--no-print-directory", target, f"DESTDIR={tree}", *words],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=600,
    )


def files(tree: Path) -> dict[str, Path]:
    return {str(path.relative_to(tree)): path for path in tree.rglob("*") if not path.is_dir()}


def test_what_make_installs_is_what_the_package_has(package: Path, tmp_path: Path) -> None:
    made, unpacked = tmp_path / "made", tmp_path / "unpacked"
    make("install", made, "UNITDIR=/lib/systemd/system")
    subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], check=True, timeout=120)
    ours, theirs = files(made), files(unpacked)
    as_packed = {f"{name}.gz" if name.startswith("usr/share/man/") else name: path for name, path in ours.items()}
    assert set(as_packed) == {name for name in theirs if not name.startswith(DEBIANS_OWN)}
    own = [name for name in ours if "/daemon/" in name or name.startswith(("lib/systemd", "usr/bin", "usr/sbin"))]
    assert len(own) > 200
    assert [name for name in own if ours[name].read_bytes() != theirs[name].read_bytes()] == []


def test_below_another_prefix_everything_finds_its_parts_and_can_be_taken_away(tmp_path: Path) -> None:
    make("install", tmp_path, "PREFIX=/usr/local")
    assert {path.name for path in (tmp_path / "usr").iterdir()} == {"local"}
    assert {path.name for path in tmp_path.iterdir()} == {"usr", "etc"}
    script = """
        set -e
        mount --bind "$1/usr/local" /usr/local
        cd /
        /usr/local/bin/vipcast --version
        test $(/usr/local/sbin/vipcastd --check 2>&1 | grep -c Traceback) = 0
        /usr/local/sbin/vipcast-runner --help >/dev/null
        for unit in /usr/local/lib/systemd/system/vipcast*.service; do
            grep -Eo '^Exec[A-Za-z]+=[-+@]*/usr/[^ ]+' "$unit" | sed 's/^[^/]*//' | xargs -n 1 test -x
            systemd-analyze verify "$unit"
        done
        if grep -rE "/usr/s?bin/vipcast|/usr/lib/vipcast" /usr/local/lib/systemd /usr/local/bin /usr/local/sbin; then
            exit 1  # (a `!` before it would not end the script: set -e leaves that out)
        fi
        man --path=/usr/local/share/man -w vipcastd || test -s /usr/local/share/man/man8/vipcastd.8
    """
    alone = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(tmp_path))
    done = subprocess.run(alone, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("vipcast ")
    make("uninstall", tmp_path, "PREFIX=/usr/local")
    assert files(tmp_path) == {}
