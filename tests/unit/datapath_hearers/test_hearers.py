"""Whether somebody could hear a datagram, by the kernel's list of UDP sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address

from datapath.hearers import could_hear, parse

UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  417: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20411 2 0000000000000000 0
  901: 786EA8C0:14B4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20412 2 0000000000000000 0
"""
UDP6 = """\
  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode
  417: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 7 2 0 0
  417: 0000000000000000FFFF0000786EA8C0:0035 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 8 2 0 0
"""


def test_addresses_are_words_of_the_host_and_mapped_ones_are_plain() -> None:
    assert list(parse(UDP)) == [
        (IPv4Address("127.0.0.1"), 53, 20411),
        (IPv4Address("192.168.110.120"), 5300, 20412),
    ]
    assert list(parse(UDP6)) == [(IPv6Address("::1"), 53, 7), (IPv4Address("192.168.110.120"), 53, 8)]


def test_another_process_on_the_address_could_hear_and_the_own_sockets_do_not_count() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.77", 0))
        assert not could_hear(IPv4Address("127.0.0.77"))
    program = (
        "import socket; s = socket.socket(2, 2); s.bind(('127.0.0.77', 0)); print('there', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert could_hear(IPv4Address("127.0.0.77"))
        other.communicate(b"\n")
