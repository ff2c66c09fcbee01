"""The view of a bundle plans as the cluster does, although its secrets are gone."""

from __future__ import annotations

import msgspec

from daemon.bundle.hiding import Sieve
from daemon.bundle.views import hidden
from daemon.control.schema import ViewDocument, ViewNode, ViewResult
from daemon.control.viewdoc import view_of
from daemon.model.configuration import AttributeSet, Configuration, Primitive
from daemon.scheduler.rehearsal import rehearse

SECRET = "hunter2-and-more"
SITE = Configuration(
    resources=(
        Primitive(
            id="db",
            standard="ocf",
            provider="heartbeat",
            type="mysql",
            instance=(AttributeSet(id="db-p", values={"user": "me", "test_passwd": SECRET}),),
        ),
    )
)


def running(on: str) -> ViewDocument:
    return ViewDocument(
        configuration=msgspec.Raw(SITE.model_dump_json().encode()),
        nodes=(ViewNode("a1", online=True), ViewNode("a2", online=True)),
        results=(
            ViewResult("a2", "db", "monitor", 0, 7, "done", 7, 1, 1000),
            ViewResult("a1", "db", "monitor", 0, 7, "done", 7, 1, 1000),
            ViewResult(on, "db", "start", 0, 0, "done", 0, 2, 2000, reason=f"by {SECRET}"),
        ),
        failures=(),
        slots=(),
        ready={},
        quorate=True,
        now_ms=5000,
        defaults={"stonith-enabled": "false"},
    )


def operations(shown: ViewDocument) -> list[str]:
    view = view_of(shown)
    return [
        action.operation for action in rehearse(view, view).plan.actions if action.operation in ("start", "stop")
    ]


def test_a_view_without_secrets_plans_what_the_whole_one_plans() -> None:
    plain = running(on="a1")
    masked = hidden(plain, Sieve())
    assert SECRET not in msgspec.json.encode(masked).decode()
    assert operations(plain) == operations(masked) == []
    stopped = msgspec.structs.replace(plain, results=plain.results[:2])
    assert operations(stopped) == operations(hidden(stopped, Sieve())) == ["start"]
