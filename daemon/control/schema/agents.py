"""What a resource agent says of itself."""

from __future__ import annotations

import msgspec

from daemon.control.schema.words import SCHEMA


class AgentParameter(msgspec.Struct, frozen=True):
    """One option of an agent."""

    name: str
    type: str
    """`string`, `integer`, `boolean`, `select`, `time` …, as the agent says"""
    default: str | None
    required: bool
    unique: bool
    summary: str
    description: str


class AgentAction(msgspec.Struct, frozen=True):
    """An operation and the times that the agent advises for it, as it writes them; empty where it says none."""

    name: str
    interval: str
    timeout: str
    depth: str
    role: str


class AgentDocument(msgspec.Struct, frozen=True):
    """GET /v1/agent."""

    agent: str
    version: str
    summary: str
    description: str
    parameters: tuple[AgentParameter, ...]
    actions: tuple[AgentAction, ...]
    schema: int = SCHEMA
