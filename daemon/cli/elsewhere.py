"""Lines of an old runbook that have another place here: refused, and the place is named."""

from __future__ import annotations

from daemon.cli.call import Call, CommandError

_PLACES = {
    "start": "vipcastd is a systemd service: systemctl start vipcastd, on each host",
    "stop": "vipcastd is a systemd service: systemctl stop vipcastd, on each host; "
    "to move resources away first: vipcast node standby",
    "enable": "vipcastd is a systemd service: systemctl enable vipcastd, on each host",
    "disable": "vipcastd is a systemd service: systemctl disable vipcastd, on each host",
    "setup": "a cluster is set up by its files: the same nodes in /etc/vipcast/vipcast.toml and the same key "
    "(vipcast keygen) on each host, then systemctl enable --now vipcastd",
    "auth": "hosts know each other by the cluster's key: vipcast keygen on one of them, its file copied to all",
    "destroy": "nothing is destroyed from here: systemctl disable --now vipcastd on each host; "
    "the cluster's memory is in /var/lib/vipcast",
}


def refuse(call: Call) -> int:
    verb = call.command.words[-1]
    raise CommandError(f"'vipcast {call.command.name}' does nothing: {_PLACES[verb]}", code="elsewhere")
