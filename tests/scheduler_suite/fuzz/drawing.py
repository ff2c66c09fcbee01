"""What every part of a random CIB is drawn with, and what the parts have to know of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar
from xml.etree.ElementTree import Element, SubElement

T = TypeVar("T")

THEMES = (
    "groups",
    "clones",
    "promotable",
    "unique",
    "rules",
    "sets",
    "roles",
    "utilization",
    "failures",
    "fencing",
    "unquiet",
    "templates",
    "tags",
    "migration",
    "options",
    "discovery",
    "orphans",
    "defaults",
)
"""What a CIB may be about.  Each takes a few, so that what differs has few causes."""
FURTHER = ("tickets", "locks", "health", "demote", "twice")
"""What is drawn only where it is asked for, so that a seed goes on meaning what it meant."""


@dataclass
class Running:
    """One primitive as constraints and histories have to know it."""

    id: str
    instances: int = 1
    unique: bool = True
    promotable: bool = False
    cloned: bool = False
    migratable: bool = False


@dataclass
class Drawing:
    """The source of every choice, and what has been drawn so far."""

    random: Random
    themes: frozenset[str]
    nodes: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    """what constraints may name: top-level resources"""
    promotables: list[str] = field(default_factory=list)
    tags: dict[str, list[str]] = field(default_factory=dict)
    """with what each stands for"""
    groups: list[str] = field(default_factory=list)
    primitives: list[Running] = field(default_factory=list)
    maintained: set[str] = field(default_factory=set)
    fencing: bool = False
    balanced: bool = False
    serial: int = 0

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def about(self, theme: str) -> bool:
        return theme in self.themes

    def pick(self, choices: Sequence[T]) -> T:
        return self.random.choice(choices)

    def pair(self, parent: Element, name: str, value: str) -> None:
        self.serial += 1
        SubElement(parent, "nvpair", {"id": f"pair-{self.serial}", "name": name, "value": value})

    def pairs(self, parent: Element, tag: str, values: dict[str, str]) -> None:
        """A set of name/value pairs, if there are any."""
        if values:
            self.serial += 1
            made = SubElement(parent, tag, {"id": f"set-{self.serial}"})
            for name, value in values.items():
                self.pair(made, name, value)

    def chosen(self, **choices: tuple[float, Sequence[str]]) -> dict[str, str]:
        """Of `name_of_option=(probability, values)` those that chance gives."""
        return {
            name.replace("_", "-"): self.pick(values)
            for name, (probability, values) in choices.items()
            if self.chance(probability)
        }
