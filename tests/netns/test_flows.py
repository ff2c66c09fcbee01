"""Connections as the kernel tells them by inet_diag, against sockets that the test itself holds."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import IP, TCP

from datapath.engine import DatapathError
from datapath.flows import Flow, FlowProbe, TcpState, abort, flows
from tests.netns.raw_segment import Station, segment, wait_for

pytestmark = pytest.mark.root

LOCAL = "192.168.110.121"
PORT = 8080


@pytest.fixture
def host() -> Iterator[Station]:
    with segment() as net:
        station = net.station("a1", LOCAL, "02:00:00:00:00:21")
        with station.inside():
            yield station


def test_an_established_connection_is_listed_with_both_its_ends(host: Station) -> None:
    with socket.create_server((LOCAL, PORT)) as listener, socket.create_connection((LOCAL, PORT)) as client:
        served, peer = listener.accept()
        with served:
            there = Flow(
                IPv4Address(LOCAL), PORT, IPv4Address(peer[0]), peer[1], TcpState.ESTABLISHED, time_wait=False
            )
            assert there in flows(IPv4Address(LOCAL))
            assert client.getsockname()[1] == peer[1]


def test_a_listener_alone_is_no_flow(host: Station) -> None:
    with socket.create_server((LOCAL, PORT)):
        assert flows(IPv4Address(LOCAL)) == []


def test_other_local_addresses_are_left_out(host: Station) -> None:
    with socket.create_server(("127.0.0.1", PORT)) as listener, socket.create_connection(("127.0.0.1", PORT)):
        listener.accept()[0].close()
        assert flows(IPv4Address(LOCAL)) == []
        assert len(flows(IPv4Address("127.0.0.1"))) >= 2


def test_an_ipv4_client_of_a_dual_stack_listener_is_listed_as_ipv4(host: Station) -> None:
    with (
        socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as listener,
        socket.create_connection((LOCAL, PORT)) as client,
    ):
        served, _ = listener.accept()
        with served:
            ports = {flow.remote_port for flow in flows(IPv4Address(LOCAL)) if flow.local_port == PORT}
            assert ports == {client.getsockname()[1]}


def test_ipv6_connections_are_listed(host: Station) -> None:
    with (
        socket.create_server(("::1", PORT), family=socket.AF_INET6) as listener,
        socket.create_connection(("::1", PORT)) as client,
    ):
        served, _ = listener.accept()
        with served:
            found = {flow.remote_port for flow in flows(IPv6Address("::1")) if flow.local_port == PORT}
            assert found == {client.getsockname()[1]}


def test_a_closed_connection_is_flagged_as_time_wait(host: Station) -> None:
    with socket.create_server((LOCAL, PORT)) as listener:
        client = socket.create_connection((LOCAL, PORT))
        served, _ = listener.accept()
        served.close()  # closes first, so this end keeps TIME_WAIT
        client.close()
        found = wait_for(
            "TIME_WAIT",
            lambda: [flow for flow in flows(IPv4Address(LOCAL)) if flow.local_port == PORT and flow.time_wait],
        )
        assert len(found) == 1


def test_connections_that_are_aborted_are_reset_and_no_others(host: Station) -> None:
    with socket.create_server((LOCAL, PORT)) as listener:
        clients = [socket.create_connection((LOCAL, PORT)) for _ in range(2)]
        served = [listener.accept()[0] for _ in clients]
        port = clients[0].getsockname()[1]
        doomed = [f for f in flows(IPv4Address(LOCAL)) if (f.local_port, f.remote_port) == (PORT, port)]
        assert abort(doomed) == 1
        assert abort(doomed) == 0, "it is gone, and the listener in its place stays"
        with pytest.raises(ConnectionResetError):
            clients[0].recv(1)
        served[1].sendall(b"a")
        assert clients[1].recv(1) == b"a"
        with socket.create_connection((LOCAL, PORT)):
            listener.accept()[0].close()
        for one in (*clients, *served):
            one.close()


def test_a_half_open_connection_is_listed_and_found(host: Station) -> None:
    """A SYN whose answer goes nowhere leaves a request socket."""
    with socket.create_server((LOCAL, PORT)), socket.socket(socket.AF_INET, socket.SOCK_RAW, 6) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        remote = "192.168.110.77"
        raw.sendto(_syn(remote, 4321, LOCAL, PORT), (LOCAL, 0))
        found = wait_for("the request socket", lambda: flows(IPv4Address(LOCAL)))
        assert [(flow.remote, flow.remote_port, flow.state) for flow in found] == [
            (IPv4Address(remote), 4321, TcpState.SYN_RECV)
        ]
        probe = FlowProbe()
        assert probe.has(socket.inet_aton(LOCAL), PORT, socket.inet_aton(remote), 4321)
        assert not probe.has(socket.inet_aton(LOCAL), PORT, socket.inet_aton(remote), 4322)
        probe.close()


def test_the_probe_tells_connections_from_listeners(host: Station) -> None:
    local = socket.inet_aton(LOCAL)
    with socket.create_server((LOCAL, PORT)) as listener, socket.create_connection((LOCAL, PORT)) as client:
        served, peer = listener.accept()
        probe = FlowProbe()
        with served:
            assert probe.has(local, PORT, local, peer[1])
            assert not probe.has(local, PORT, local, peer[1] ^ 1)
            assert not probe.has(local, PORT + 1, local, peer[1])
        client.close()
        probe.close()


def test_a_kernel_that_cannot_tell_is_an_error_and_not_a_host_without_connections(
    host: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for a protocol that nobody in the kernel lists: the same answer as without the module tcp_diag."""
    monkeypatch.setattr("datapath.flows.PROTOCOL", 33)
    with pytest.raises(DatapathError, match="modprobe tcp_diag"):
        flows(IPv4Address(LOCAL))
    with pytest.raises(DatapathError, match="modprobe tcp_diag"):
        FlowProbe()


def test_hundreds_of_connections_are_all_listed(host: Station) -> None:
    with socket.create_server((LOCAL, PORT), backlog=600) as listener:
        clients = [socket.create_connection((LOCAL, PORT)) for _ in range(400)]
        served = [listener.accept()[0] for _ in clients]
        remote = {flow.remote_port for flow in flows(IPv4Address(LOCAL)) if flow.local_port == PORT}
        assert remote == {client.getsockname()[1] for client in clients}
        for sock in (*clients, *served):
            sock.close()


def _syn(source: str, source_port: int, destination: str, destination_port: int) -> bytes:
    return bytes(IP(src=source, dst=destination) / TCP(sport=source_port, dport=destination_port, flags="S"))
