"""`vipcast resource …`, the resources themselves: create, change, clone, delete, and how they are configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from daemon.cli import describing, installed
from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import edit
from daemon.cli.layout import configuration as layout
from daemon.cli.status import show_resources
from daemon.cli.words import Section, leading_plain, operations, pairs, sections
from daemon.model.agents import resolve_agent
from daemon.model.changes import removed_constraints
from daemon.model.configuration import Configuration
from daemon.model.edits import clones, resources
from daemon.model.edits import operations as ops
from daemon.model.edits.operations import OperationRequest

_CLONES = ("clone", "promotable", "master")

Step = Callable[[Configuration], Configuration]


def create(call: Call) -> int:
    """`resource create <id> <agent> [options] [op …] [meta …] [clone …] [--group GROUP]`"""
    name, agent = call.arguments[:2]
    asked = sections(call.arguments[2:], ("op", "meta", *_CLONES))
    meta = _meta(call, asked)
    options = pairs(call, asked[0].words)
    requests = _operations(call, asked)
    around = _around(call, name, asked)
    here = installed.agents(call.environment)
    document = describing.describe(call, str(resolve_agent(agent, here)))
    describing.check_options(call, document, options)

    def change(configuration: Configuration) -> Configuration:
        return around(
            resources.create_resource(
                configuration,
                resource=name,
                agent=agent,
                options=options,
                operations=requests,
                meta=resources.disabled_meta(meta) if call.has("--disabled") else meta,
                advice=describing.advice(document),
                installed=here,
                force=call.has("--force"),
            )
        )

    return edit(call, change)


def _around(call: Call, name: str, asked: Sequence[Section]) -> Step:
    """What is made around the new resource: a clone, a place in a group, or nothing."""
    wanted = [section for section in asked if section.keyword in _CLONES]
    if call.has("--clone"):
        wanted.append(Section("clone", ()))
    if len(wanted) > 1:
        raise call.misuse("a resource can be cloned once only")
    if call.has("--group"):
        if wanted:
            raise call.misuse("a resource goes into a group or is cloned, not both; clone the group")
        return _into_group(call, name)
    if call.has("--before") or call.has("--after"):
        raise call.misuse("--before and --after say where in a group: name it with --group GROUP")
    if not wanted:
        return lambda configuration: configuration
    named, words = leading_plain([word for word in wanted[0].words if word != "meta"])
    if len(named) > 1:
        raise call.misuse(f"'{named[1]}' is neither the clone's name nor option=value")
    meta = pairs(call, words)
    if wanted[0].keyword != "clone":
        meta.setdefault("promotable", "true")
    clone = named[0] if named else None
    return lambda configuration: clones.clone_resource(
        configuration, resource=name, meta=meta, clone=clone, force=call.has("--force")
    )


def _into_group(call: Call, name: str) -> Step:
    from daemon.model.edits.groups import add_to_group  # noqa: PLC0415 - start-up time

    group, before, after = call.value("--group") or "", call.value("--before"), call.value("--after")
    return lambda configuration: add_to_group(
        configuration, group=group, resources=(name,), before=before, after=after
    )


def update(call: Call) -> int:
    """`resource update <id> [option=value]... [op …] [meta …]`"""
    asked = sections(call.arguments[1:], ("op", "meta"))
    name = call.arguments[0]
    options, meta, requests = pairs(call, asked[0].words), _meta(call, asked), _operations(call, asked)
    describing.check_change(call, call.configuration().find(name), options)
    return edit(
        call,
        lambda configuration: resources.update_resource(
            configuration,
            resource=name,
            options=options,
            operations=requests,
            meta=meta,
            force=call.has("--force"),
        ),
    )


def meta(call: Call) -> int:
    """`resource meta <id> option=value...`"""
    wanted = pairs(call, call.arguments[1:])
    return edit(
        call,
        lambda configuration: resources.set_meta(
            configuration, resource=call.arguments[0], meta=wanted, force=call.has("--force")
        ),
    )


def delete(call: Call) -> int:
    """`resource delete <id>`; what runs of it is stopped by the cluster."""
    name = call.arguments[0]
    return edit(
        call,
        lambda configuration: resources.delete_resource(configuration, resource=name),
        lambda before, after: (
            *(f"Removing Constraint - {constraint.id}" for constraint in removed_constraints(before, after)),
            f"Deleting Resource - {name}",
        ),
    )


def clone(call: Call) -> int:
    """`resource clone <id> [<clone id>] [meta] [option=value]...`"""
    named, words = leading_plain([word for word in call.arguments[1:] if word != "meta"])
    if len(named) > 1:
        raise call.misuse(f"'{named[1]}' is neither the clone's name nor option=value")
    wanted = pairs(call, words)
    return edit(
        call,
        lambda configuration: clones.clone_resource(
            configuration,
            resource=call.arguments[0],
            meta=wanted,
            clone=named[0] if named else None,
            force=call.has("--force"),
        ),
    )


def unclone(call: Call) -> int:
    """`resource unclone <id>`"""
    return edit(call, lambda configuration: clones.unclone_resource(configuration, resource=call.arguments[0]))


def op_add(call: Call) -> int:
    """`resource op add <id> <operation> [option=value]...`"""
    request = OperationRequest(call.arguments[1], pairs(call, call.arguments[2:]))
    return edit(
        call,
        lambda configuration: ops.add_operation(configuration, resource=call.arguments[0], request=request),
    )


def op_remove(call: Call) -> int:
    """`resource op remove <id> <operation> [option=value]...`, or by the operation's id alone."""
    first, rest = call.arguments[0], call.arguments[1:]
    if rest:
        request = OperationRequest(rest[0], pairs(call, rest[1:]))
        return edit(
            call, lambda configuration: ops.remove_operation(configuration, resource=first, request=request)
        )

    def change(configuration: Configuration) -> Configuration:
        owner = layout.owner_of_operation(configuration, first)
        if owner is None:
            raise CommandError(f"unable to find operation id: {first}")
        return ops.remove_operation(configuration, resource=owner, request=OperationRequest(first))

    return edit(call, change)


def config(call: Call) -> int:
    """`resource config [<id>]...`"""
    configuration = call.configuration()
    chosen = [configuration.find(name) for name in call.arguments] or list(configuration.resources)
    missing = [name for name, found in zip(call.arguments, chosen, strict=False) if found is None]
    if missing:
        raise CommandError("; ".join(f"resource '{name}' does not exist" for name in missing))
    found = [resource for resource in chosen if resource is not None]
    if call.out.json_wanted:
        call.out.document([resource.model_dump(mode="json", exclude_defaults=True) for resource in found])
        return OK
    for resource in found:
        call.out.lines(layout.resource(resource))
    return OK


def agents(call: Call) -> int:
    """`resource agents [<filter>]`"""
    wanted = call.arguments[0].lower() if call.arguments else ""
    found = [name for name in installed.agents(call.environment) if wanted in name.lower()]
    if call.out.json_wanted:
        call.out.document(found)
        return OK
    if not found:
        raise CommandError(f"no agent on this host has '{wanted}' in its name")
    call.out.lines(found)
    return OK


def describe(call: Call) -> int:
    """`resource describe <agent>`"""
    from daemon.cli.layout.agent import agent as lines  # noqa: PLC0415 - start-up time

    name = str(resolve_agent(call.arguments[0], installed.agents(call.environment)))
    document = describing.asked(call, name)
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    call.out.lines(lines(document, describing.advised(document)))
    return OK


def show(call: Call) -> int:
    """`resource show [<id>]... [--full]`, two commands in one, as pcs has it."""
    return config(call) if call.arguments or call.has("--full") else show_resources(call)


def _meta(call: Call, asked: Iterable[Section]) -> dict[str, str]:
    return pairs(call, [word for section in asked if section.keyword == "meta" for word in section.words])


def _operations(call: Call, asked: Iterable[Section]) -> list[OperationRequest]:
    return [
        OperationRequest(told.name, told.options)
        for section in asked
        if section.keyword == "op"
        for told in operations(call, section.words)
    ]
