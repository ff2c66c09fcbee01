"""Tickets (`rsc_ticket`): what may run, or be promoted, only at the site that holds one.

Tickets are handed round by a program outside of the cluster (booth), which writes them into the status of a CIB
(`View.tickets`).  Where nobody does, as in a vipcast cluster, constraints on tickets have no effect.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import Ticket
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.history import fence
from daemon.scheduler.preferences import expand
from daemon.scheduler.presence import block
from daemon.scheduler.scores import ban
from daemon.scheduler.units import CloneUnit, Instance, Role, Unit
from daemon.scheduler.unpack import ROLES
from daemon.scheduler.view import TicketView

NONE = TicketView()


def apply_tickets(cluster: Cluster) -> None:
    """Keep away, stop, fence or freeze what lacks its ticket; promotions are for `CloneUnit.without_ticket`."""
    if cluster.view.tickets is None:
        return
    for constraint in cluster.view.configuration.constraints:
        if not isinstance(constraint, Ticket):
            continue
        ticket = cluster.view.tickets.get(constraint.ticket, NONE)
        if ticket.granted and not ticket.standby:
            continue
        for unit, role in _named(cluster, constraint):
            policy = _policy(cluster, constraint.loss_policy, role)
            if role == Role.PROMOTED and isinstance(unit, CloneUnit):
                unit.without_ticket = True
            for instance in unit.instances():
                _without(cluster, instance, role, policy, ticket, f"ticket {constraint.ticket}")


def _named(cluster: Cluster, constraint: Ticket) -> Iterator[tuple[Unit, Role]]:
    for unit in expand(cluster, constraint.resource) if constraint.resource is not None else ():
        yield unit, _role(constraint.role)
    for group in constraint.sets:
        for reference in group.resources:
            for unit in expand(cluster, reference):
                yield unit, _role(group.options.get("role"))


def _role(word: str | None) -> Role:
    role = ROLES.get((word or "").lower(), Role.UNKNOWN)
    return Role.UNKNOWN if role == Role.STARTED else role


def _policy(cluster: Cluster, word: str | None, role: Role) -> str:
    """loss-policy: demote is the default for what is promoted, stop for the rest and where nobody could fence."""
    said = (word or "").lower()
    if said == "fence" and not cluster.options.fencing:
        return "stop"
    if said in {"fence", "freeze", "demote", "stop"}:
        return said
    return "demote" if role == Role.PROMOTED else "stop"


def _without(
    cluster: Cluster, instance: Instance, role: Role, policy: str, ticket: TicketView, origin: str
) -> None:
    if ticket.granted or not instance.running_on or policy == "stop":
        if role != Role.PROMOTED or policy == "stop":
            ban(instance, cluster.hosts, origin)
        return
    if policy == "demote":
        if role != Role.PROMOTED:
            ban(instance, cluster.hosts, origin)
        return
    if role not in (Role.UNKNOWN, instance.role):
        return
    if policy == "freeze":
        block(instance)
        return
    ban(instance, cluster.hosts, origin)
    for name in instance.running_on:
        fence(cluster, cluster.hosts[name], f"{origin}, on which {instance.id} depends, was lost")
