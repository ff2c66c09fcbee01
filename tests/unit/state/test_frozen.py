"""The state as bytes: complete, the same everywhere, and refused when it is not what it says."""

from __future__ import annotations

import zlib

import pytest

from daemon.model.configuration import AttributeSet, Clone, Configuration, Group, Primitive
from daemon.state import excerpts
from daemon.state.frozen import CRC_BYTES, FORMAT, ThawError, decode
from daemon.state.state import State
from tests.unit.state.cluster import NODES, VIP, VIP_CLONE, WEB, Cluster, clone, primitive, serving


def _busy() -> Cluster:
    """Slots that move, an address that failed somewhere, a clone that was replaced while it ran."""
    cluster = serving()
    cluster.mute.add("a3")
    cluster.lose("a4")
    cluster.slots("a2", "failed", {})
    cluster.edit(VIP_CLONE, WEB, primitive("other", "Dummy", state="/run/other"), standby=("a1",))
    return cluster


def test_two_nodes_with_the_same_entries_write_the_same_bytes_in_whatever_order_their_settings_name_the_nodes() -> (
    None
):
    cluster = _busy()
    other = State(tuple(reversed(NODES)))
    for entry in cluster.entries:
        other.apply(entry)
    assert other.freeze() == cluster.state.freeze()


def test_everything_but_the_plan_is_in_the_bytes_and_the_plan_follows() -> None:
    state = _busy().state
    thawed = State.thaw(state.freeze())
    for name in State.__dataclass_fields__:
        assert getattr(thawed, name) == getattr(state, name), name


def test_members_count_where_the_frozen_state_knew_none() -> None:
    assert State.thaw(State(()).freeze(), ("a1", "a2")).members == ("a1", "a2")
    assert State.thaw(State(("a3",)).freeze(), ("a1", "a2")).members == ("a3",)


def test_a_flipped_bit_anywhere_is_refused_by_name() -> None:
    data = _busy().state.freeze()
    for place in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(ThawError):
            State.thaw(bytes(damaged))


@pytest.mark.parametrize("length", [0, 1, len(FORMAT), len(FORMAT) + CRC_BYTES, 200])
def test_bytes_that_end_too_early_are_refused_by_name(length: int) -> None:
    with pytest.raises(ThawError):
        State.thaw(_busy().state.freeze()[:length])


def test_another_format_is_named_with_the_one_that_is_read() -> None:
    data = _busy().state.freeze().replace(FORMAT, b"vipcast state 9\n", 1)
    with pytest.raises(ThawError, match=r"'vipcast state 9'.*'vipcast state 1'.*newer"):
        State.thaw(data)


@pytest.mark.parametrize("body", [b"", b"\xc0", b"\x92\x01\x02", b"\xff" * 40])
def test_a_body_that_is_no_state_is_refused_though_its_checksum_fits(body: bytes) -> None:
    with pytest.raises(ThawError, match="cannot be read"):
        State.thaw(FORMAT + zlib.crc32(body).to_bytes(CRC_BYTES, "big") + body)


def test_the_configuration_is_written_as_the_edit_brought_it() -> None:
    state = _busy().state
    assert decode(state.freeze()).configuration == state.configuration_json
    assert Configuration.model_validate_json(state.configuration_json) == state.configuration


# ---- what is kept of former configurations


def _inside(top: Primitive | Group | Clone, **parts: tuple[AttributeSet, ...]) -> Configuration:
    return Configuration(resources=(top,), **parts)  # type: ignore[arg-type]


GROUP = Group(id="group", members=(VIP, WEB), meta=(AttributeSet(id="gm", values={"is-managed": "true"}),))
DEFAULTS = (AttributeSet(id="d", values={"timeout": "7s"}),)


@pytest.mark.parametrize(
    ("former", "current", "changed"),
    [
        (_inside(WEB), _inside(WEB), set()),
        (_inside(WEB), Configuration(), {"webserver"}),
        (_inside(WEB), _inside(clone("c", WEB)), {"webserver"}),
        (_inside(WEB), _inside(WEB, operation_defaults=DEFAULTS), {"webserver"}),
        (_inside(GROUP), _inside(GROUP.model_copy(update={"members": (WEB,)})), {"VIP"}),
        (_inside(GROUP), _inside(GROUP.model_copy(update={"meta": ()})), {"VIP", "webserver"}),
        (Configuration(resources=(VIP, WEB)), Configuration(resources=(WEB, VIP)), set()),
    ],
)
def test_an_edit_leaves_behind_what_it_changed_and_nothing_else(
    former: Configuration, current: Configuration, changed: set[str]
) -> None:
    assert set(excerpts.superseded(former, current)) == changed
