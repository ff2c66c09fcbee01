"""Fencing devices: what keeps one from being used, told when it is configured and not when it is needed."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import Configuration, Primitive
from daemon.model.findings import Finding, warning
from daemon.model.precedence import merged


def check(configuration: Configuration) -> Iterator[Finding]:
    properties = merged(configuration.properties)
    devices = [one for one in configuration.walk() if isinstance(one, Primitive) and one.standard == "stonith"]
    for device in devices:
        parameters = merged(device.instance)
        if not parameters.get("pcmk_host_list") and not parameters.get("pcmk_host_map"):
            yield warning(
                "device-without-hosts",
                device.id,
                f"fencing device '{device.id}' names no hosts, so it is not used",
                "set pcmk_host_list to the hosts whose power it cuts, or pcmk_host_map to what it calls them",
            )
    enabled = properties.get("stonith-enabled", "").lower() in ("true", "yes", "on", "1", "y")
    if devices and not enabled:
        yield warning(
            "fencing-off",
            "stonith-enabled",
            "there are fencing devices, and stonith-enabled is not true: they are not used",
            "set stonith-enabled=true while both of two nodes run",
        )
    if enabled and devices and properties.get("no-quorum-policy") == "suicide":
        yield warning(
            "fencing-with-suicide",
            "no-quorum-policy",
            "under no-quorum-policy=suicide the host that is left ends itself while its device is still at work",
            "set no-quorum-policy=stop, which ends nothing but what it serves",
        )
    if enabled and properties.get("tie-breaker"):
        yield warning(
            "fencing-with-tie-breaker",
            "tie-breaker",
            "while a tie-breaker is set, the vote of a fenced node does not count",
            "unset one of tie-breaker and stonith-enabled",
        )
