"""`vipcast property …`, `vipcast resource defaults` and `vipcast resource op defaults`: settings with a default."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.cli.call import OK, Call
from daemon.cli.editing import edit
from daemon.cli.layout import configuration as layout
from daemon.cli.words import pairs
from daemon.model.configuration import AttributeSet, Configuration
from daemon.model.edits import settings


def show(call: Call) -> int:
    """`property [config] [<name>]...`"""
    configuration = call.configuration()
    values = layout.values_of(configuration.properties)
    if call.arguments:
        values = {name: value for name, value in values.items() if name in call.arguments}
    if call.out.json_wanted:
        call.out.document(values)
        return OK
    if call.arguments:
        call.out.line("Cluster Properties:")
        call.out.lines(f" {name}: {value}" for name, value in sorted(values.items()))
        return OK
    call.out.lines(layout.properties(configuration))
    return OK


def set_values(call: Call) -> int:
    """`property set <name>=[<value>]...`"""
    wanted = pairs(call, call.arguments)
    return edit(
        call,
        lambda configuration: settings.set_properties(configuration, properties=wanted, force=call.has("--force")),
    )


def unset(call: Call) -> int:
    """`property unset <name>...`"""
    return edit(
        call,
        lambda configuration: settings.unset_properties(
            configuration, names=call.arguments, force=call.has("--force")
        ),
    )


def resource_defaults(call: Call) -> int:
    """`resource defaults [update] [option=value]...`"""
    return _defaults(call, settings.set_resource_defaults, lambda configuration: configuration.resource_defaults)


def operation_defaults(call: Call) -> int:
    """`resource op defaults [update] [option=value]...`"""
    return _defaults(call, settings.set_operation_defaults, lambda configuration: configuration.operation_defaults)


def _defaults(
    call: Call,
    put: Callable[..., Configuration],
    sets_of: Callable[[Configuration], Sequence[AttributeSet]],
) -> int:
    words = call.arguments[1:] if call.arguments[:1] in {("update",), ("config",)} else call.arguments
    wanted = pairs(call, words)
    if wanted:
        return edit(call, lambda configuration: put(configuration, values=wanted, force=call.has("--force")))
    sets = sets_of(call.configuration())
    if call.out.json_wanted:
        call.out.document(layout.values_of(sets))
        return OK
    call.out.lines(layout.defaults(sets))
    return OK
