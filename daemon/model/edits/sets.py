"""Putting names and values into attribute sets as pcs does: into the first; an empty value takes a name away.

Where pcs would let another set go on saying otherwise (`daemon.model.precedence`), the name is taken out of that one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from daemon.model.configuration import AttributeSet
from daemon.model.identifiers import sanitized, unique_id

Sets = tuple[AttributeSet, ...]


def put_values(sets: Sets, changes: Mapping[str, str], new_id: str, taken: Collection[str]) -> Sets:
    """`sets` with `changes` made in the first one without a rule; `new_id` is the id that a new set would get.

    A set that only repeats another one by reference becomes a set of its own.  A set without values is dropped.
    """
    at = next((position for position, one in enumerate(sets) if one.rule is None), None)
    if at is None:
        values = {name: value for name, value in changes.items() if value != ""}
        return (*sets, *((AttributeSet(id=unique_id(sanitized(new_id), taken), values=values),) if values else ()))
    target = sets[at]
    if target.id_ref is not None:
        target = target.model_copy(
            update={"id": unique_id(sanitized(new_id), taken), "id_ref": None, "pair_ids": {}, "pair_refs": {}}
        )
    silent = dict.fromkeys(changes, "")
    others = (
        one if one.rule is not None or one.id_ref is not None else with_values(one, silent)
        for one in sets[at + 1 :]
    )
    changed = (*sets[:at], with_values(target, changes), *others)
    return tuple(one for one in changed if one.values or one.rule is not None)


def with_values(stated: AttributeSet, changes: Mapping[str, str]) -> AttributeSet:
    merged = {**stated.values, **changes}
    values = {name: value for name, value in merged.items() if value != ""}
    return stated.model_copy(
        update={
            "values": values,
            "pair_ids": {name: own for name, own in stated.pair_ids.items() if name in values},
            "pair_refs": {n: ref for n, ref in stated.pair_refs.items() if n in values and n not in changes},
        }
    )


def without_name(sets: Sets, name: str) -> Sets:
    """`sets` without `name` in any of them."""
    cleared = (with_values(one, {name: ""}) if one.id_ref is None else one for one in sets)
    return tuple(one for one in cleared if one.values or one.rule is not None)
