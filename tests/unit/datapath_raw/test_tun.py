"""Without a TUN the raw engine says so, and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from datapath.engine import DatapathError
from datapath.host import privileged
from datapath.raw import tun
from datapath.raw.engine import RawEngine

ROOT = Path(__file__).parents[3]


def test_a_kernel_without_tun_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(privileged, "TUN", str(tmp_path / "net" / "tun"))
    with pytest.raises(DatapathError, match=r"tun is missing.*modprobe tun.*nft engine"):
        RawEngine(tmp_path).start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_a_process_that_may_not_open_tun_is_told() -> None:
    script = (
        "from datapath.raw import tun\ntry:\n tun.require()\nexcept Exception as e:\n print(type(e).__name__, e)"
    )
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.stdout.startswith("DatapathError not permitted to open /dev/net/tun"), done.stderr


def test_something_that_is_no_tun_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(privileged, "TUN", str(tmp_path))
    with pytest.raises(DatapathError, match="cannot open"):
        tun.require()


@pytest.mark.parametrize("name", ["", "a-long-name"])
def test_a_device_name_that_leaves_no_room_for_labels_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatapathError, match="1 to 7 characters"):
        RawEngine(tmp_path, device=name)


def test_an_engine_that_was_not_started_says_so(tmp_path: Path) -> None:
    engine = RawEngine(tmp_path)
    with pytest.raises(DatapathError, match="not started"):
        engine.apply([])
    engine.renew(1)
    engine.close()
