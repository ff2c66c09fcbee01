"""`vipcast resource enable|disable|manage|unmanage|failback|ban|move|clear|…`: whether and where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from daemon.cli.author import author
from daemon.cli.call import Call, CommandError
from daemon.cli.editing import edit, finish, saying
from daemon.cli.members import with_members
from daemon.cli.words import leading_plain, pairs
from daemon.control.schema import Accepted, CleanupRequest, InstanceStatus, ResourceStatus
from daemon.model.configuration import Configuration
from daemon.model.edits import moves, standing
from daemon.model.values import BadValue, parse_duration_ms

Standing = Callable[..., Configuration]


def enable(call: Call) -> int:
    return _change(call, standing.enable)


def disable(call: Call) -> int:
    return _change(call, standing.disable)


def manage(call: Call) -> int:
    return _change(call, standing.manage, standing.enable_monitors)


def unmanage(call: Call) -> int:
    return _change(call, standing.unmanage, standing.disable_monitors)


def _change(call: Call, change: Standing, of_monitors: Standing | None = None) -> int:
    def changed(configuration: Configuration) -> Configuration:
        after = change(configuration, resources=call.arguments)
        if of_monitors is not None and call.has("--monitor"):
            after = of_monitors(after, resources=call.arguments)
        return after

    return edit(call, changed)


def failback(call: Call) -> int:
    """`resource failback <id>...`"""
    # the next whole second: whoever is back now is back by then
    at_s = int(datetime.now(UTC).timestamp()) + 1
    return edit(
        call,
        lambda configuration: standing.fail_back(configuration, resources=call.arguments, at_s=at_s),
        saying("Nodes that are back now get their share of the slots"),
    )


def ban(call: Call) -> int:
    """`resource ban <id> [<node>] [lifetime=<duration>]`"""
    resource, node, until = _place(call)
    node = node or _where_it_is(call, resource)
    return edit(
        call,
        lambda configuration: moves.ban(
            with_members(call, configuration),
            resource=resource,
            node=node,
            role=_role(call),
            until=until,
            force=call.has("--force"),
        ),
        saying(
            f"Warning: Creating location constraint cli-ban-{resource}-on-{node} with a score of -INFINITY for "
            f"resource {resource} on node {node}. This will prevent {resource} from running on {node} until the "
            f"constraint is removed with 'vipcast resource clear {resource}'"
        ),
    )


def move(call: Call) -> int:
    """`resource move <id> [<node>] [lifetime=<duration>]`; without a node: away from where it is."""
    resource, node, until = _place(call)
    if node is None:
        return ban(call)
    return edit(
        call,
        lambda configuration: moves.move(
            with_members(call, configuration),
            resource=resource,
            node=node,
            role=_role(call),
            until=until,
            force=call.has("--force"),
        ),
    )


def clear(call: Call) -> int:
    """`resource clear <id> [<node>]`"""
    resource = call.arguments[0]
    node = call.arguments[1] if len(call.arguments) > 1 else None

    def told(before: Configuration, _after: Configuration) -> Iterator[str]:
        for constraint in moves.cleared(before, resource, node):
            yield f"Removing constraint: {constraint.id}"

    return edit(call, lambda configuration: moves.clear(configuration, resource=resource, node=node), told)


def _role(call: Call) -> str:
    return "Promoted" if call.has("--promoted") or call.has("--master") else "Started"


def _place(call: Call) -> tuple[str, str | None, str | None]:
    """(resource, node, until when)"""
    named, options = leading_plain(call.arguments[1:])
    given = pairs(call, options)
    unknown = sorted(given.keys() - {"lifetime"})
    if len(named) > 1 or unknown:
        raise call.misuse(f"'{(*named[1:], *unknown)[0]}' is not understood here")
    until = _until(call, given["lifetime"]) if given.get("lifetime") else None
    return call.arguments[0], named[0] if named else None, until


def _until(call: Call, text: str) -> str:
    """A duration from now on (PT1H, 30min), or a point in time, as ISO 8601."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except ValueError:
        pass
    try:
        ends = datetime.now(UTC) + timedelta(milliseconds=parse_duration_ms(text))
    except (BadValue, OverflowError) as error:
        raise call.misuse(f"lifetime={text}: {error}") from error
    return ends.strftime("%Y-%m-%d %H:%M:%SZ")


def _where_it_is(call: Call, resource: str) -> str:
    """The one node where it runs.  Raises CommandError when that is none, or several."""
    if call.has("--file"):
        raise CommandError("name the node: a file does not know where resources run")
    found = next((one for one in _walk(call.client.status().resources) if one.id == resource), None)
    if found is None:
        raise CommandError(f"resource '{resource}' does not exist")
    nodes = sorted(
        {instance.node for instance in _instances(found) if instance.node and instance.role != "Stopped"}
    )
    if len(nodes) != 1:
        where = f"runs on {', '.join(nodes)}" if nodes else "runs nowhere"
        raise CommandError(f"name the node: '{resource}' {where}")
    return nodes[0]


def _walk(tree: tuple[ResourceStatus, ...]) -> Iterator[ResourceStatus]:
    for resource in tree:
        yield resource
        yield from _walk(resource.members)


def _instances(resource: ResourceStatus) -> Iterator[InstanceStatus]:
    for found in _walk((resource,)):
        yield from found.instances


def cleanup(call: Call) -> int:
    """`resource cleanup [<id>] [node=<node>]`"""
    return _forget(call, call.client.cleanup, "Cleaned up {}")


def refresh(call: Call) -> int:
    """`resource refresh [<id>] [node=<node>]`"""
    return _forget(call, call.client.refresh, "Cleaned up {}, to be probed again")


def _scope(call: Call) -> CleanupRequest:
    named, options = leading_plain(call.arguments)
    given = pairs(call, options)
    unknown = sorted(given.keys() - {"node"})
    if len(named) > 1 or unknown:
        raise call.misuse(f"'{(*named[1:], *unknown)[0]}' is not understood here")
    node = given.get("node") or call.value("--node")
    return CleanupRequest(named[0] if named else None, node, author(call.environment))


def _forget(call: Call, ask: Callable[[CleanupRequest], Accepted], form: str) -> int:
    request, wait_s = _scope(call), call.wait_s
    accepted = ask(request)
    what = f"{request.resource or 'all resources'} on {request.node or 'all nodes'}"
    return finish(call, accepted, (form.format(what),), wait_s=wait_s)
