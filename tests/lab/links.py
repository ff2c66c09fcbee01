"""What the hosts' daemons say of their links, by status, by command and by log."""

from __future__ import annotations

from collections.abc import Mapping

from tests.lab.control import Status
from tests.lab.lab import Lab
from tests.lab.waiting import wait_until

BOUND_S = 20.0


def troubles(lab: Lab, name: str) -> dict[str, dict[str, str]]:
    """Interface → who is in trouble there, "" for the link itself → what, as a host's status document has it."""
    status = Status.of(lab[name])
    assert status is not None, f"{name}: no daemon answers\n{lab.tail()}"
    return {
        link["interface"]: {
            who: what
            for who, what in [("", link["trouble"]), *((peer["name"], peer["trouble"]) for peer in link["peers"])]
            if what
        }
        for link in status.document["links"]
    }


def await_troubles(lab: Lab, expected: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
    """Wait until each named host shows these troubles and no other: host → interface → who → words of it."""

    def shown() -> bool:
        return all(_match(troubles(lab, name), by_interface) for name, by_interface in expected.items())

    try:
        wait_until(shown, BOUND_S, "the links as they are, in every status", interval_s=0.05)
    except TimeoutError as error:
        found = {name: troubles(lab, name) for name in expected}
        raise TimeoutError(f"{error}: {found}\n{lab.tail()}") from None


def _match(found: Mapping[str, Mapping[str, str]], expected: Mapping[str, Mapping[str, str]]) -> bool:
    return all(
        found[interface].keys() == (wanted := expected.get(interface, {})).keys()
        and all(words in found[interface][who] for who, words in wanted.items())
        for interface in found
    )


def await_said(lab: Lab, name: str, words: str, times: int = 1) -> None:
    """Wait until a host's log has a sentence so often."""
    wait_until(lambda: said(lab, name, words) >= times, BOUND_S, f"'{words}' in the log of {name}", interval_s=0.1)


def said(lab: Lab, name: str, words: str) -> int:
    """Lines of a host's log with these words."""
    return sum(words in line for line in lab[name].log("vipcastd").read_text().splitlines())
