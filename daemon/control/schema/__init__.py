"""The documents of the control API: what a client of the socket may rely on.

Every document carries `schema`, a number that rises when something that was there changes its meaning or goes
away; new fields come without notice, so a client ignores what it does not know.  The structs are msgspec's: a
command line that is typed all day can afford their import, pydantic's it cannot.  docs/reference/control-api.md is
generated from them.
"""

from __future__ import annotations

from daemon.control.schema.agents import AgentAction, AgentDocument, AgentParameter
from daemon.control.schema.edits import (
    Accepted,
    CleanupRequest,
    ConfigurationDocument,
    ConfirmFencedRequest,
    DrainRequest,
    EditRequest,
    FencingConfirmed,
    Problem,
    RemoveNodeRequest,
)
from daemon.control.schema.evidence import (
    EntriesDocument,
    Event,
    ExplainDocument,
    Explanation,
    LogDocument,
    LogLine,
    Planned,
    ScorePart,
    SnapshotDocument,
    WhoAddress,
    WhoDocument,
)
from daemon.control.schema.keys import KeysDocument, KeyStatus, RotateRequest, TokenDocument, TokenRequest
from daemon.control.schema.quorum import IfLost, QuorumDocument, QuorumNode
from daemon.control.schema.settings import ReloadDocument, SettingChange
from daemon.control.schema.status import (
    AddressStatus,
    CounterStatus,
    DatapathStatus,
    DrainStatus,
    DuplicateStatus,
    FailedAction,
    InstanceStatus,
    LatenessStatus,
    LinkPeerStatus,
    LinkStatus,
    NodeStatus,
    PendingAction,
    ResourceStatus,
    SlotStatus,
    StatusDocument,
)
from daemon.control.schema.view import ViewDocument, ViewDrain, ViewFailure, ViewNode, ViewResult, ViewSlots
from daemon.control.schema.words import SCHEMA, Role, SlotPhase

__all__ = [
    "SCHEMA",
    "Accepted",
    "AddressStatus",
    "AgentAction",
    "AgentDocument",
    "AgentParameter",
    "CleanupRequest",
    "ConfigurationDocument",
    "ConfirmFencedRequest",
    "CounterStatus",
    "DatapathStatus",
    "DrainRequest",
    "DrainStatus",
    "DuplicateStatus",
    "EditRequest",
    "EntriesDocument",
    "Event",
    "ExplainDocument",
    "Explanation",
    "FailedAction",
    "FencingConfirmed",
    "IfLost",
    "InstanceStatus",
    "KeyStatus",
    "KeysDocument",
    "LatenessStatus",
    "LinkPeerStatus",
    "LinkStatus",
    "LogDocument",
    "LogLine",
    "NodeStatus",
    "PendingAction",
    "Planned",
    "Problem",
    "QuorumDocument",
    "QuorumNode",
    "ReloadDocument",
    "RemoveNodeRequest",
    "ResourceStatus",
    "Role",
    "RotateRequest",
    "ScorePart",
    "SettingChange",
    "SlotPhase",
    "SlotStatus",
    "SnapshotDocument",
    "StatusDocument",
    "TokenDocument",
    "TokenRequest",
    "ViewDocument",
    "ViewDrain",
    "ViewFailure",
    "ViewNode",
    "ViewResult",
    "ViewSlots",
    "WhoAddress",
    "WhoDocument",
]
