"""A cluster on one machine: hosts, a switch, clients, captures and faults, in namespaces that die with their user.

    with Lab(hosts=4) as lab:
        lab.start_daemons()
        print(lab["a1"].vipcast("status").stdout)

Used alike by the tests, `make demo` and `make bench`.  Nothing is created in the machine's own network namespace,
no namespace has a name under /run/netns, and everything ends with the process that made the laboratory, even by
SIGKILL.  What a laboratory needs: root, util-linux (nsenter, setpriv), iproute2, nftables, and overlayfs.
"""

from tests.lab.capture import Capture, Captured
from tests.lab.clients import Attempt, Client, Stream, Traffic
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.process import Completed, HostProcess
from tests.lab.waiting import wait_until

__all__ = [
    "Attempt",
    "Capture",
    "Captured",
    "Client",
    "Completed",
    "Host",
    "HostProcess",
    "Lab",
    "Stream",
    "Traffic",
    "wait_until",
]
