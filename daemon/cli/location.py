"""`vipcast constraint location …`"""

from __future__ import annotations

from daemon.cli.call import Call
from daemon.cli.editing import edit
from daemon.cli.members import with_members
from daemon.cli.words import leading_plain, pairs
from daemon.model.configuration import Configuration, Location
from daemon.model.edits import location as edits
from daemon.model.edits.constraints import require_constrainable
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import require_new_id

INFINITY = "INFINITY"
_RULE_OPTIONS = ("id=", "role=", "score=", "score-attribute=", "constraint-id=", "resource-discovery=")


def location(call: Call) -> int:
    """`constraint location <resource> prefers|avoids <node>[=<score>]... | <resource> rule …`"""
    resource, verb, *words = call.arguments
    match verb:
        case "prefers":
            return _scored(call, resource, words, avoid=False)
        case "avoids":
            return _scored(call, resource, words, avoid=True)
        case "rule":
            return _rule(call, resource, words)
    raise call.misuse(f"'{verb}' is neither prefers nor avoids nor rule")


def _scored(call: Call, resource: str, words: list[str], *, avoid: bool) -> int:
    change = edits.avoid_nodes if avoid else edits.prefer_nodes
    scores = pairs(call, [word if "=" in word else f"{word}={INFINITY}" for word in words])
    return edit(
        call,
        lambda configuration: change(
            with_members(call, configuration), resource=resource, scores=scores, force=call.has("--force")
        ),
    )


def _rule(call: Call, resource: str, words: list[str]) -> int:
    given = [word for word in words if word.startswith(_RULE_OPTIONS)]
    expression = [word for word in words if word not in given]
    options = pairs(call, given)
    return edit(
        call,
        lambda configuration: edits.add_location_rule(
            configuration, resource=resource, expression=expression, options=options, force=call.has("--force")
        ),
    )


def add(call: Call) -> int:
    """`constraint location add <id> <resource> <node> <score> [resource-discovery=<when>]`"""
    named, words = leading_plain(call.arguments)
    if len(named) != 4:
        raise call.misuse("an id, a resource, a node and a score are needed")
    constraint, resource, node, score = named
    options = pairs(call, words)
    unknown = sorted(options.keys() - {"resource-discovery"})
    if unknown:
        raise call.misuse(f"invalid location option '{unknown[0]}'; allowed is resource-discovery")

    def change(configuration: Configuration) -> Configuration:
        known = with_members(call, configuration)
        name, pattern = edits.resource_or_pattern(resource)
        if name is not None:
            require_constrainable(known, (name,), force=call.has("--force"))
        edits.require_node(known, node, force=call.has("--force"))
        require_new_id(known, constraint, "constraint id")
        made = Location(
            id=constraint,
            resource=name,
            resource_pattern=pattern,
            node=node,
            score=score,
            resource_discovery=options.get("resource-discovery"),
        )
        return settled(configuration, known.model_copy(update={"constraints": (*known.constraints, made)}))

    return edit(call, change)
