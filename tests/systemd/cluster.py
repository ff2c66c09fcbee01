"""Four hosts that systemd runs, an engine each, with a shared address and a web server."""

from __future__ import annotations

from tests.lab.service import await_status, serve_web, served, share_address, shared
from tests.systemd.lab import Machine, SystemdLab

ENGINES = {"a1": "bpf", "a2": "nft", "a3": "raw", "a4": "auto"}


def serving_lab() -> SystemdLab:
    return SystemdLab(hosts=4, engine=ENGINES, timers={"restart_ms": 30_000})


def begin(lab: SystemdLab) -> None:
    """Install, start, share the address and serve on all hosts."""
    lab.install()
    lab.start_cluster()
    share_address(lab)
    serve_web(lab)


def holders(lab: SystemdLab, on: str = "") -> dict[int, str | None]:
    return shared(lab, on=on).holders


def whole(lab: SystemdLab, on: str = "", bound_s: float = 60) -> None:
    """Every host online and serving."""
    names = set(lab.names)
    await_status(lab, lambda s: s.online == names and served(s), "everybody online", on=on, bound_s=bound_s)
    await_status(lab, lambda s: set(s.started("web")) == names, "a web server on each", on=on, bound_s=bound_s)
    await_status(
        lab,
        lambda s: set(s.address("VIP").holders.values()) == names,  # type: ignore[union-attr]
        "slots shared",
        on=on,
        bound_s=bound_s,
    )


def said(machine: Machine, what: str, unit: str = "vipcastd") -> bool:
    """Whether a service has said it on this host since it was booted."""
    return any(what in str(entry["MESSAGE"]) for entry in machine.journal(f"SYSLOG_IDENTIFIER={unit}"))


def webservers(machine: Machine) -> list[str]:
    """Numbers of the processes that serve: forks of the agent's start; its other operations come and go."""
    return machine.run("pgrep", "-f", "vipcast/webserver start").stdout.split()


def losses(lab: SystemdLab, on: str = "a1") -> int:
    """How often any host was lost, as far as the log reaches."""
    return lab[on].vipcast("cluster log -n 1000").check().stdout.count(" is lost")
