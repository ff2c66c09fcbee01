"""One ip under two names: what was in force is closed everywhere before anybody opens what comes after it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.executor import Executor
from daemon.model.configuration import AttributeSet, Clone, Configuration
from daemon.state.commands import Slots
from datapath.engine import SlotState
from tests.unit.executor.cluster import INCARNATION, NODES, Cluster
from tests.unit.state.cluster import primitive

IPS = ("192.168.110.120", "192.168.110.121")
ROUNDS_MAX = 40


def clones(names: dict[str, str]) -> Configuration:
    """Shared addresses by name and ip."""
    meta = {"clone-max": "4", "clone-node-max": "4", "globally-unique": "true"}
    return Configuration(
        resources=tuple(
            Clone(
                id=f"{name}-clone",
                child=primitive(name, "IPaddr2", ip=ip, cidr_netmask="24"),
                meta=(AttributeSet(id=f"{name}-meta", values=meta),),
            )
            for name, ip in names.items()
        )
    )


class Kernels:
    """Every node's executor, and what the kernels accept by ip, which is all that a packet knows."""

    def __init__(self, names: dict[str, str]) -> None:
        self.cluster = Cluster(clones(names))
        self.executors = {node: Executor(node, INCARNATION, 60_000) for node in NODES}
        for executor in self.executors.values():
            executor.lease(10**18)
        self.held: dict[str, dict[tuple[str, str], frozenset[int]]] = {node: {} for node in NODES}
        """node → (ip, resource) → slots that are open or draining"""
        self.now_ns = 1_000_000_000
        self.rest()

    def probe(self) -> None:
        for clone in self.cluster.state.configuration.resources:
            assert isinstance(clone, Clone)
            if any(a.operation == "monitor" for a in self.cluster.state.plan.actions):
                self.cluster.probed(clone.child.id)

    def step(self, node: str) -> bool:
        """One turn of a node; True where it had anything to do."""
        state, executor = self.cluster.state, self.executors[node]
        effects = executor.take(state, self.now_ns)
        if effects.kernel is not None:
            addresses = [state.in_force[name].parameters["ip"] for name in effects.kernel]
            assert len(addresses) == len(set(addresses)), f"{node} wants one ip under two names"
            self.held[node] = {
                (state.in_force[name].parameters["ip"], name): frozenset(
                    n for n, s in want.states.items() if s in (SlotState.OPEN, SlotState.DRAINING)
                )
                for name, want in effects.kernel.items()
            }
            executor.kernel_did(state, effects.kernel, {})
        for count in effects.count_flows:
            executor.counted(state, count, {}, self.now_ns)
        for command in effects.proposals:
            assert isinstance(command, Slots)
            self.cluster.request(command, node)
            executor.proposal_ended(command)
        self.check()
        return effects.kernel is not None or bool(effects.proposals)

    def rest(self) -> None:
        for _ in range(ROUNDS_MAX):
            self.probe()
            if not [node for node in NODES if self.step(node)]:
                return
        raise AssertionError("the nodes do not come to rest")

    def check(self) -> None:
        state = self.cluster.state
        for node in NODES:
            wished = [state.in_force[name].parameters["ip"] for name in state.wishes(node)]
            assert len(wished) == len(set(wished)), f"{node} wishes one ip under two names"
        names: dict[str, set[str]] = {}
        for held in self.held.values():
            for (ip, name), slots in held.items():
                if slots:
                    names.setdefault(ip, set()).add(name)
        assert all(len(found) == 1 for found in names.values()), f"one ip is served under two names: {names}"

    def served(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        for held in self.held.values():
            for key, slots in held.items():
                found[key] = sorted([*found.get(key, []), *slots])
        return found


def test_an_address_under_a_new_name_waits_until_the_old_one_is_closed_on_every_node() -> None:
    kernels = Kernels({"VIP": IPS[0]})
    assert kernels.served() == {(IPS[0], "VIP"): [0, 1, 2, 3]}
    assert kernels.cluster.edit(clones({"NEW": IPS[0]})).accepted
    kernels.cluster.probed("NEW")
    for node in NODES[:3]:
        for _ in range(3):
            kernels.step(node)
        assert not kernels.cluster.state.slots["NEW"], "a4 still serves it as VIP"
        assert "NEW" not in kernels.cluster.state.wishes(node)
    kernels.rest()
    assert kernels.served() == {(IPS[0], "NEW"): [0, 1, 2, 3]}


def test_a_node_that_comes_back_during_a_rename_opens_nothing_early() -> None:
    kernels = Kernels({"VIP": IPS[0]})
    kernels.cluster.lose("a3")
    kernels.rest()
    kernels.cluster.edit(clones({"NEW": IPS[0]}))
    kernels.cluster.admit("a3")
    kernels.cluster.probed("NEW")
    kernels.step("a3")
    assert kernels.cluster.state.wishes("a3") == {}
    kernels.rest()
    assert kernels.served() == {(IPS[0], "NEW"): [0, 1, 2, 3]}


def test_two_addresses_that_swap_their_ips_in_one_push_are_both_served_in_the_end() -> None:
    kernels = Kernels({"VIP": IPS[0], "NEW": IPS[1]})
    assert kernels.cluster.edit(clones({"VIP": IPS[1], "NEW": IPS[0]})).accepted
    kernels.rest()
    assert kernels.served() == {(IPS[1], "VIP"): [0, 1, 2, 3], (IPS[0], "NEW"): [0, 1, 2, 3]}


moves = st.one_of(
    st.tuples(st.just("step"), st.sampled_from(NODES)),
    st.tuples(st.just("lose"), st.sampled_from(NODES)),
    st.tuples(st.just("admit"), st.sampled_from(NODES)),
    st.tuples(st.just("probe"), st.just("")),
    st.tuples(
        st.just("edit"),
        st.sampled_from(["VIP=0", "NEW=0", "VIP=1", "VIP=0 NEW=1", "VIP=1 NEW=0", "NEW=1 TOO=0", ""]),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(moves, max_size=40))
def test_no_packet_finds_two_names_for_one_ip_whatever_happens(made: list[tuple[str, str]]) -> None:
    kernels = Kernels({"VIP": IPS[0]})
    for what, argument in made:
        match what:
            case "step":
                kernels.step(argument)
            case "lose":
                # Its lease has ended: the kernel accepts nothing until the node has taken part again.
                kernels.cluster.lose(argument)
                kernels.held[argument] = {}
                kernels.step(argument)
            case "admit":
                kernels.cluster.admit(argument)
            case "probe":
                kernels.probe()
            case "edit":
                names = dict(part.split("=") for part in argument.split())
                assert kernels.cluster.edit(clones({n: IPS[int(number)] for n, number in names.items()})).accepted
        kernels.check()
    for node in NODES:
        kernels.cluster.admit(node)
    kernels.rest()
    wanted = {clone.child.id for clone in kernels.cluster.state.configuration.resources if isinstance(clone, Clone)}
    assert {name for (_, name), slots in kernels.served().items() if slots == [0, 1, 2, 3]} == wanted
