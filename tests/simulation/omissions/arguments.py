"""Rules, or parts of them, that no fault in the simulation can reveal, each with the argument for keeping it."""

from __future__ import annotations

ARGUMENTS: dict[str, str] = {
    "1": (
        "Structure, not behaviour: no message has a time in it (`messages.py`; durations only), so there is nothing"
        " that could be compared. Clocks in the simulation start anywhere and drift by up to the bound."
    ),
    "3": (
        "A voter's term rises while its promise runs only by a transfer, and then the leader that it promised"
        " something to has stopped already (rule 10); anybody else's higher term is not taken over before the promise"
        " is through (rule 2). So it is the second lock on one door, kept for the day when a message is added."
        " `test_elections.py` sees its omission."
    ),
    "8": (
        "Makes failover fast, and never wrong: an answer that waits for the next heartbeat costs time alone. The"
        " golden traces show the times (`tests/simulation/golden`), the bench measures them."
    ),
    "20 (two hosts, one name)": (
        "Two hosts that bear one name are two senders whose datagrams the seal cannot tell apart; the core refuses the"
        " older incarnation and says so (`tests/unit/cluster_core`). The simulation has one host a name."
    ),
    "22": (
        "Rosters that follow each other differ by one vote by construction, and `tests/property/test_core_quorum.py`"
        " enumerates which steps keep intersecting majorities, tie-breakers included."
    ),
    "25 (incarnation)": (
        "A report of a former process that arrives after the admission of the next one needs a datagram that is late"
        " by a whole restart, and a move that still waits for the same word: random seeds had none."
        " `test_reports_of_another_generation_or_incarnation_are_ignored` does it directly."
    ),
    "Nonces": (
        "Below the simulation, which has messages and no datagrams: what is sealed and opened is tested in"
        " `tests/unit/seal`."
    ),
    "Time in the state": "`daemon.state` may import no clock (a contract of `lint-imports`): entries are its only one.",
    "Not covered": (
        "A clock that stands still. The simulation suspends machines whose boot clock goes on, which is what Linux"
        " promises of CLOCK_BOOTTIME; a hypervisor that breaks it lets a host accept for the rest of its lease."
    ),
    "Not covered (disk)": (
        "A disk that loses whole transactions which it has confirmed leaves a database that is sound and old; no"
        " checksum can tell. On a majority at once it loses what was acknowledged, as the omission `lying-disk` shows."
    ),
    "Torn writes": (
        "The simulated disk has a transaction as a whole or not at all. That the real store does so too, wherever its"
        " write-ahead log ends, and says that it is damaged where bytes have changed, is tested in"
        " `tests/unit/store/test_crashes.py`."
    ),
}
