"""Cases in which we place otherwise than the peer, each with the reason.  A case that passes must not be listed."""

KNOWN: dict[str, str] = {
    "764": "the peer's simulation lets a start that was pending before outlive the stop that it has simulated",
    "unrunnable-2": "which dependents of an unassigned clone are blocked depends on the order of the peer's passes",
}
