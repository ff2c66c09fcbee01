"""Lines of an old runbook that have another place here: refused, and the place is named."""

from __future__ import annotations

from daemon.cli.call import Call, CommandError

_PLACES = {
    "start": "vipcastd is a systemd service: systemctl start vipcastd, on each host",
    "stop": "vipcastd is a systemd service: systemctl stop vipcastd, on each host; "
    "to move resources away first: vipcast node standby",
    "enable": "vipcastd is a systemd service: systemctl enable vipcastd, on each host",
    "disable": "vipcastd is a systemd service: systemctl disable vipcastd, on each host",
    "auth": "hosts know each other by the cluster's key: a host gets it by 'vipcast cluster join TOKEN', and the "
    "token from 'vipcast cluster token' on a member",
    "node add": "a host joins from its own side: print a token with 'vipcast cluster token' on a member, and type "
    "'vipcast cluster join TOKEN' on the new host",
    "destroy": "nothing is destroyed from here: systemctl disable --now vipcastd on each host; "
    "the cluster's memory is in /var/lib/vipcast",
}


def refuse(call: Call) -> int:
    verb = " ".join(call.command.words[1:])
    raise CommandError(f"'vipcast {call.command.name}' does nothing: {_PLACES[verb]}", code="elsewhere")
