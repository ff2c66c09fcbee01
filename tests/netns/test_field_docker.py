"""Docker beside us: the real dockerd with its rules, and a container's published port behind the shared address.

In a target of its own, since it needs packages of 300 MB: `make test-docker`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.answers import answered_twice
from tests.lab.host import Host
from tests.lab.process import HostProcess
from tests.lab.service import ADDRESS, serve_web, share_address, shared
from tests.netns.test_demo_faults import all_well, streams

pytestmark = [pytest.mark.root, pytest.mark.docker]

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}
SLOTS = 6
PUBLISHED = 8080
BOUND_S = 60.0
GROUP = "/vipcast-lab-docker"
"""of the containers, among the machine's own"""
IMAGE = """\
mkdir -p /root/image/bin /root/image/www && cp /bin/busybox /root/image/bin/ && hostname > /root/image/www/index.html
tar -C /root/image -c . | docker import - page
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=3, engine=ENGINES) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=SLOTS)
        serve_web(lab)
        yield lab


def start_docker(host: Host) -> HostProcess:
    # runc wants one hierarchy of cgroups, whatever the machine under the laboratory has mounted
    host.shell("stat -f -c %T /sys/fs/cgroup | grep -q cgroup2 || mount -t cgroup2 none /sys/fs/cgroup").check()
    with host.log("dockerd").open("ab") as log:
        daemon = host.popen("dockerd", "--storage-driver=vfs", f"--cgroup-parent={GROUP}", stdout=log, stderr=log)
    wait_until(
        lambda: host.run("docker", "info").returncode == 0, BOUND_S, f"dockerd on {host.name}", interval_s=0.5
    )
    return daemon


def test_dockerd_comes_goes_and_publishes_a_port_of_the_shared_address(lab: Lab) -> None:
    address = shared(lab)
    before = dict(address.holders)
    capture = lab.capture(f"tcp and host {ADDRESS}")
    with ExitStack() as daemons, capture, Traffic(lab.gw, ADDRESS) as traffic:
        daemons.callback(lab["a1"].shell, f"rmdir /sys/fs/cgroup{GROUP}")
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, SLOTS, 0), 20, "traffic to every slot")
        for name in ENGINES:
            host = lab[name]
            daemon = start_docker(host)
            daemon.end(timeout_s=20)
            daemons.callback(start_docker(host).end, timeout_s=20)
            assert "DOCKER" in host.shell("iptables-save").check().stdout
            host.shell(IMAGE, timeout_s=BOUND_S).check()
            serve = f"docker run -d -p {PUBLISHED}:80 page /bin/busybox httpd -f -p 80 -h /www"
            host.shell(serve, timeout_s=BOUND_S).check()
            done_ns = time.time_ns()
            wait_until(
                lambda at=done_ns: all_well(traffic, SLOTS, at), 20, f"every slot well with dockerd on {name}"
            )
            capture.poll()
        with Traffic(lab.gw, ADDRESS, port=PUBLISHED) as published:
            published.start(*(Stream(str(s), clients, 25) for s, clients in address.clients_by_slot(300).items()))
            wait_until(lambda: all_well(published, SLOTS, 0), 20, "a container that answers at every slot")
            answers = published.halt()
        attempts = traffic.halt()
    assert answered_twice(capture.segments(), ADDRESS) == {}
    assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
    assert {(int(one.stream), one.answer) for one in answers if one.ok} == set(before.items()), "each by its owner"
    assert shared(lab).holders == before
