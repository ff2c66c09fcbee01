"""Every command of README and guide that says nothing else above it, typed in the order of its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guide.typist import Typist
from tests.lab.control import Status
from tests.lab.waiting import wait_until
from tests.systemd.cluster import begin
from tests.systemd.lab import SystemdLab
from tests.unit.docs.typed import typed, typed_pages

pytestmark = [pytest.mark.root, pytest.mark.guide, pytest.mark.timeout(900)]

FOUNDING = ("README.md", "first-address.md", "install.md")
"""pages that begin on hosts without a cluster"""
PAGES = [page for page in typed_pages() if any(block.is_run for block in typed(page))]
BEFORE = "/root/before-the-page.xml"


@pytest.fixture(scope="module")
def serving() -> Iterator[SystemdLab]:
    with SystemdLab(hosts=4) as lab:
        begin(lab)
        lab["a1"].vipcast(f"cluster cib {BEFORE}").check()
        yield lab


@pytest.mark.parametrize("page", [page for page in PAGES if page.name in FOUNDING], ids=lambda page: page.name)
def test_a_page_that_founds_a_cluster_is_right_to_the_letter(page: Path) -> None:
    with SystemdLab(hosts=3) as lab:
        for machine in lab.machines:
            machine.run("systemd-sysusers", "vipcast.conf").check()
            machine.run("systemd-tmpfiles", "--create", "vipcast.conf").check()
        typist = Typist(lab)
        assert typist.read(page) > 0
        assert typist.failed == [], "\n".join(typist.failed)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in FOUNDING], ids=lambda page: page.name)
def test_a_page_for_a_cluster_that_serves_is_right_to_the_letter(serving: SystemdLab, page: Path) -> None:
    typist = Typist(serving)
    assert typist.read(page) > 0
    serving["a1"].vipcast(f"cluster cib-push {BEFORE} --force --wait", timeout_s=120).check()
    names = set(serving.names)

    def online() -> bool:
        status = Status.of(serving["a1"])
        return status is not None and status.online == names

    wait_until(online, 60, "everybody online after the page")
    assert typist.failed == [], "\n".join(typist.failed)
