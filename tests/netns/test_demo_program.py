"""`make demo` as a program: its exit status, its card, and what is left when somebody interrupts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import wait_until
from tests.lab.host import REPOSITORY
from tests.lab.namespaces import status_of
from tests.lab.running import running

pytestmark = pytest.mark.root

DEMO = [sys.executable, "-m", "tests.lab.demo"]


def own_labs(pid: int) -> list[tuple[Path, list[int]]]:
    return [(lab.directory, [init for init in lab.hosts.values() if init]) for lab in running() if lab.pid == pid]


def test_the_demo_keeps_every_promise_and_says_how_to_repeat_each() -> None:
    done = subprocess.run(DEMO, cwd=REPOSITORY, capture_output=True, text=True, timeout=200, check=False)
    card = done.stdout.partition("What was promised")[2]
    verdicts = re.findall(r"^   (pass|FAIL)  .*  make \S+", card, re.MULTILINE)
    assert "FAIL" not in card, card
    assert len(verdicts) >= 10
    assert done.returncode == 0
    assert "\033[" not in done.stdout, "no terminal, no colours"
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(number: signal.Signals) -> None:
    demo = subprocess.Popen(DEMO, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert demo.stdout is not None
    with demo.stdout:
        for line in demo.stdout:
            if "vipcast resource create webserver" in line:
                break
        ((directory, inits),) = own_labs(demo.pid)
        demo.send_signal(number)
        said = demo.stdout.read()
    assert demo.wait(20) == 130
    assert "Interrupted" in said
    assert not directory.exists()
    assert [pid for pid in inits if status_of(pid) is not None] == []


def test_a_kept_laboratory_is_up_afterwards_until_it_is_told_to_end() -> None:
    done = subprocess.run(
        [*DEMO, "--keep", "--quick"], cwd=REPOSITORY, capture_output=True, text=True, timeout=200, check=False
    )
    said = re.search(r"stays up \(process (\d+)\)", done.stdout)
    assert said is not None, done.stdout
    keeper = int(said.group(1))
    try:
        assert done.returncode == 0, done.stdout
        ((directory, _),) = own_labs(keeper)
        assert "lab-shell" in done.stdout
        assert "lab-down" in done.stdout
        shell = subprocess.run(
            [sys.executable, "-m", "tests.lab.shell", "a2"],
            cwd=REPOSITORY,
            input="hostname; vipcast resource; exit 7\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert shell.returncode == 7
        assert "VIP:3" in shell.stdout
    finally:
        os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: status_of(keeper) is None, 20, f"end of {keeper}")
    assert not directory.exists()
