"""`vipcast cluster upgrade` over a real ssh, with services that systemd restarts: `make test-systemd`."""

from __future__ import annotations

import shlex

import pytest

from tests.lab.answers import answered_twice
from tests.lab.service import ADDRESS
from tests.lab.sshd import reachable_by_ssh
from tests.systemd.clients import Clients
from tests.systemd.cluster import losses, whole
from tests.systemd.lab import SERVICES, SystemdLab

pytestmark = [pytest.mark.root, pytest.mark.systemd]

COMMAND = f"systemctl restart {' '.join(SERVICES)}"


def test_all_hosts_are_upgraded_in_turn_and_no_client_notices(lab: SystemdLab) -> None:
    whole(lab)
    lost = losses(lab, "a2")
    before = {machine.name: machine.main_pid("vipcastd") for machine in lab.machines}
    capture = lab.capture(f"host {ADDRESS} and tcp")
    with reachable_by_ssh(lab.machines) as remote_shell, capture as frames, Clients(lab) as clients:
        line = f"cluster upgrade --ssh {shlex.quote(remote_shell)} {shlex.quote(COMMAND)}"
        done = lab["a2"].vipcast(line, timeout_s=240).check()
        frames.poll()
    print(clients.figures())
    turns = [text.split(":")[0] for text in done.stdout.splitlines() if text.endswith("takes its share again")]
    assert turns == ["a1", "a3", "a4", "a2"]
    whole(lab)
    assert all(machine.main_pid("vipcastd") not in (0, before[machine.name]) for machine in lab.machines)
    assert clients.broken() == []
    assert answered_twice(frames.segments(), ADDRESS) == {}
    assert losses(lab, "a2") == lost


def test_a_host_on_which_the_command_fails_stays_empty_and_the_others_serve(lab: SystemdLab) -> None:
    whole(lab)
    with reachable_by_ssh(lab.machines) as remote_shell, Clients(lab) as clients:
        done = lab["a2"].vipcast(f"cluster upgrade --ssh {shlex.quote(remote_shell)} 'exit 7'", timeout_s=120)
    assert done.returncode == 1
    assert "a1: the command ended with status 7.  a1 stays in standby and the others serve." in done.stderr
    assert clients.broken() == []
    lab["a2"].vipcast("node unstandby a1").check()
    whole(lab)
