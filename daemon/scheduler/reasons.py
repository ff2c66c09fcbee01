"""Why each instance is where it is: the scores that counted, and what spoke against the other hosts."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import INFINITY
from daemon.model.values import format_score
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.drained import hosts_drained
from daemon.scheduler.failback import STEPS, Policy, weight_of
from daemon.scheduler.graph import Graph
from daemon.scheduler.motives import whereless
from daemon.scheduler.units import CloneUnit, Host, Instance, Role, Unit, first_assigned, places
from daemon.scheduler.view import Reason


def reasons(cluster: Cluster, graph: Graph) -> Iterator[Reason]:
    for instance in cluster.instances():
        if instance.shadow_of is None:
            yield _instance(cluster, graph, instance)
    for unit in cluster.units:
        if isinstance(unit, CloneUnit) and unit.address is not None:
            yield from _slots(cluster, unit)


def _instance(cluster: Cluster, graph: Graph, instance: Instance) -> Reason:
    rejected: dict[str, str] = {}
    best = instance.allowed.get(instance.assigned, 0) if instance.assigned else None
    for name, host in cluster.hosts.items():
        if name != instance.assigned:
            rejected[name] = _why_not(host, instance, name, best) or _as_good(cluster, instance, name)
    copy = _promotable(instance)
    told = _summary(cluster, graph, instance)
    if copy is None or instance.assigned is None:
        return Reason(instance.name, instance.assigned, told, *_scores(instance), rejected)
    promoted = instance.next_role == Role.PROMOTED
    return Reason(
        instance.name,
        instance.assigned,
        f"{told}; {_of_its_role(copy, promoted)}",
        *_scores(instance),
        rejected,
        "promoted" if promoted else "unpromoted",
        copy.rated,
    )


def _promotable(instance: Instance) -> Unit | None:
    """What is promoted or not: the instance, or its whole group; None if it has no roles."""
    copy: Unit = instance
    while copy.parent is not None and copy.parent is not instance.top:
        copy = copy.parent
    top = instance.top
    return copy if isinstance(top, CloneUnit) and top.promotable and copy is not top else None


def _of_its_role(copy: Unit, promoted: bool) -> str:
    clone = copy.top
    assert isinstance(clone, CloneUnit)
    if promoted:
        return f"promoted, rated {format_score(copy.rating)}"
    if copy.rating < 0:
        causes = [origin for origin, part in copy.rated if part < 0]
        return f"not promoted, rated {format_score(copy.rating)}: {', '.join(dict.fromkeys(causes))}"
    others = [one for one in clone.copies if any(i.next_role == Role.PROMOTED for i in one.instances())]
    if len(others) >= clone.promoted_max:
        better = ", ".join(f"{format_score(one.rating)} on {first_assigned(one)}" for one in others)
        return (
            f"not promoted, rated {format_score(copy.rating)}: promoted-max is {clone.promoted_max}, "
            f"and there is {better or 'nothing to promote'}"
        )
    return f"not promoted, though rated {format_score(copy.rating)}: the host takes no more, or there is no quorum"


def _scores(unit: Unit) -> tuple[dict[str, tuple[tuple[str, int], ...]], dict[str, int]]:
    """(what each host's score is made of, the scores), which add up."""
    return dict(sorted(unit.origins.items())), dict(sorted(unit.allowed.items()))


def _why_not(host: Host, instance: Unit, name: str, best: int | None) -> str:
    """Empty where the host is as good as the chosen one."""
    for wrong, text in (
        (not host.online, "the host is offline"),
        (host.unclean, "the host is unclean"),
        (host.standby, "the host is in standby"),
        (host.maintenance, "the host is in maintenance"),
        (host.shutdown, "the host is shutting down"),
    ):
        if wrong:
            return text
    score = instance.allowed.get(name)
    if score is None:
        return "nothing allows it there"
    if score < 0:
        causes = [origin for origin, part in instance.origins.get(name, ()) if part < 0]
        return f"score {format_score(score)}" + (f" from {', '.join(dict.fromkeys(causes))}" if causes else "")
    if best is not None and score < best:
        return f"score {format_score(score)} is below {format_score(best)}"
    if best is None:
        return "no host was chosen"
    return ""


def _as_good(cluster: Cluster, instance: Instance, name: str) -> str:
    chosen, given = instance.assigned or "", instance.tied
    if chosen in places(instance):
        return f"as good, but it {'runs' if instance.running_on else 'ran'} on {chosen} already"
    if name in given and given[name] > given.get(chosen, 0):
        return f"as good, but it had {given[name]} to run already, {chosen} {given.get(chosen, 0)}"
    if name in given and given[name] == given.get(chosen, 0) and chosen < name:
        return f"as good and as busy, but {chosen} comes first by name"
    if cluster.options.placement == "minimal" and chosen < name:
        return f"as good, but {chosen} comes first by name"
    if cluster.options.placement != "default":
        return f"as good, but {chosen} has more room left"
    return f"as good, but what goes with it has led to {chosen}"


def _summary(cluster: Cluster, graph: Graph, instance: Instance) -> str:
    if cluster.options.fencing and not cluster.have_fencing:
        return "fencing is on (stonith-enabled) without a device: nothing is started, stopped or moved"
    if not instance.managed:
        return "it is not managed, so it is left as it is" + (", blocked by a failure" if instance.blocked else "")
    waits = next((op.waits for op in graph.of(instance, "start") if not op.runnable and op.waits), "")
    if instance.assigned is None:
        return whereless(cluster, instance)
    if waits:
        return f"it cannot start on {instance.assigned}: {waits}"
    score = instance.allowed.get(instance.assigned, 0)
    stays = instance.assigned in instance.running_on and instance.role > Role.STOPPED
    return f"{'stays on' if stays else 'goes to'} {instance.assigned} with score {format_score(score)}"


def _slots(cluster: Cluster, clone: CloneUnit) -> Iterator[Reason]:
    assert clone.address is not None
    owners = cluster.view.slots[clone.address].owners
    scores, totals = _scores(clone)
    drained = hosts_drained(cluster.view.drains, clone.address, cluster.hosts)
    rejected = {
        name: _why_not(host, clone, name, None)
        if clone.allowed.get(name, -INFINITY) < 0 or not host.available
        else ("it is drained" if name in drained else _its_share(cluster, clone, host))
        for name, host in cluster.hosts.items()
    }
    others = {owner: {n: why for n, why in rejected.items() if n != owner} for owner in (None, *cluster.hosts)}
    for slot in range(clone.clone_max):
        owner = clone.slot_owners.get(slot)
        if owner is None:
            barred = any(d.covers(n, clone.address, slot) for d in cluster.view.drains for n in cluster.hosts)
            summary = "no host may own it" + (": it is drained" if barred else "")
        elif owners.get(slot) == owner:
            summary = f"stays on {owner}"
        elif slot in owners and any(d.covers(owners[slot], clone.address, slot) for d in cluster.view.drains):
            summary = f"moves from {owners[slot]} to {owner}: it is drained there"
        elif slot in owners:
            summary = f"moves from {owners[slot]} to {owner}: the share of each host follows its weight"
        else:
            summary = f"is given to {owner}: the share of each host follows its weight"
        yield Reason(f"{clone.address}:{slot}", owner, summary, scores, totals, others[owner])


def _its_share(cluster: Cluster, clone: CloneUnit, host: Host) -> str:
    """Why a host that may have slots has not this one: by its weight, or because it is back for too short a time."""
    has = sum(owner == host.name for owner in clone.slot_owners.values())
    share = f"it has its share, {has} of {clone.clone_max} slots"
    policy, weight = Policy.of(clone.meta), weight_of(host)
    if weight == 0:
        return "its slot-weight is 0"
    steps = policy.steps(host, cluster.view.now_ms)
    if steps == 0 and policy.begins_ms(host) is None:
        return f"it is back and waits for 'vipcast resource failback {clone.id}' (failback is manual)"
    if steps == 0:
        return f"it is back and has to stay for {clone.meta.get('failback')} first (failback)"
    if steps < STEPS:
        return f"{share}, and a slow start counts {steps * 10} % of its weight"
    return share + (f" by its slot-weight of {weight}" if weight != 1 else "")
