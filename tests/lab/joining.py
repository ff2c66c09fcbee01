"""Hosts that come into a cluster as an administrator brings them in: `cluster init`, `token`, `join`."""

from __future__ import annotations

from tests.lab.lab import Lab
from tests.lab.process import Completed
from tests.lab.service import await_status


def found(lab: Lab, name: str = "a1") -> None:
    """`vipcast cluster init` on a host, and its daemon."""
    lab[name].vipcast(f"cluster init {lab.cluster} --profile {lab.profile}").check()
    lab.run_daemon(name)
    await_status(lab, lambda status: status.quorate and name in status.online, f"{name} alone", on=name)


def token(lab: Lab, on: str, options: str = "") -> str:
    return lab[on].vipcast(f"cluster token {options}").check().stdout.strip()


def ask_to_join(lab: Lab, name: str, line: str, options: str = "") -> Completed:
    """`vipcast cluster join` as it ends; no daemon is started."""
    return lab[name].vipcast(f"cluster join {line} {options}")


def join(lab: Lab, name: str, by: str = "a1", options: str = "") -> None:
    """Token, join, and the daemon; does not wait for what follows."""
    ask_to_join(lab, name, token(lab, by), options).check()
    lab.run_daemon(name)


def await_online(lab: Lab, names: set[str], on: str = "a1") -> None:
    await_status(lab, lambda status: status.quorate and status.online == names, f"online: {sorted(names)}", on=on)
