"""The TUN device through which accepted packets enter the host's stack (Documentation/networking/tuntap.rst).

It is persistent: the addresses on it outlive the forwarder, whose restart breaks no connection.  It carries a
virtio header before each packet, so that checksums that nobody has computed yet, and segments that were merged on
the way in, arrive as what they are.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from struct import Struct

from datapath import netlink
from datapath.engine import DatapathError, HelperAwayError
from datapath.host import privileged

TUN = privileged.TUN
DEVICE = "vipraw"
"""one raw engine a network namespace"""
NAME_BYTES_MAX = 7
"""an address on it is labelled `<device>:vipcast`, 15 bytes at most"""

TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
NETLINK_ROUTE = 0
RTM_DELLINK = 17
_request = Struct("=16sH22x")
_ifinfomsg = Struct("=BxHiII")


def require() -> None:
    """DatapathError with the remedy where there is no TUN, or this process may not use it."""
    os.close(_open())


def attach(name: str) -> int:
    """A descriptor that writes into the device `name`.

    DatapathError with the remedy: not there, no TUN in this kernel, not permitted, or taken by another process.
    """
    if not exists(name):
        raise DatapathError(f"the TUN device {name} is not there; vipcastd makes it when it starts or repairs")
    return _attach_or_make(name)


def _attach_or_make(name: str) -> int:
    descriptor = _open()
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, _request.pack(name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
    except OSError as error:
        os.close(descriptor)
        raise DatapathError(_why_not(name, error)) from error
    return descriptor


def make(name: str) -> None:
    """A persistent device `name`, up; idempotent.  DatapathError as in `attach`."""
    if not exists(name):
        descriptor = _attach_or_make(name)
        try:
            fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
        except OSError as error:
            raise DatapathError(_why_not(name, error)) from error
        finally:
            os.close(descriptor)
    _keep_ipv6_quiet(name)
    accept_sources_of_other_interfaces(name)
    if not is_up(name):
        _set_up(name)


def make_transient(name: str) -> int:
    """A device `name`, up, that is gone when the returned descriptor is closed; writes go into this host's stack.

    DatapathError as in `attach`, or where somebody has a device of that name.
    """
    if exists(name):
        raise DatapathError(
            f"there is an interface {name} already, and vipcast needs that name; remove or rename it"
        )
    descriptor = _attach_or_make(name)
    try:
        _keep_ipv6_quiet(name)
        accept_sources_of_other_interfaces(name)
        _set_up(name)
    except DatapathError:
        os.close(descriptor)
        raise
    return descriptor


def exists(name: str) -> bool:
    """Whether a device of this name is here; that it is a TUN, `attach` finds out."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def is_up(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, SIOCGIFFLAGS, _request.pack(name.encode(), 0))
        except OSError:
            return False
    return bool(int(_request.unpack(answer)[1]) & IFF_UP)


def remove(name: str) -> None:
    """Delete the device, attached or not; one that is gone already is no error."""
    if not exists(name):
        return
    door = netlink.Socket(NETLINK_ROUTE)
    try:
        body = _ifinfomsg.pack(socket.AF_UNSPEC, 0, socket.if_nametoindex(name), 0, 0)
        door.request(netlink.Message(RTM_DELLINK, 0, body, f"delete the TUN device {name}"))
    except OSError:
        return  # gone between the question and now
    except netlink.KernelError as refusal:
        if refusal.errno != errno.ENODEV:
            raise
    finally:
        door.close()


def accept_sources_of_other_interfaces(name: str) -> bool:
    """rp_filter: replies leave by the interface, not by the TUN, so a strict check would drop every packet.

    True when it was strict.  DatapathError where it cannot be set.
    """
    settings = {interface: Path(f"/proc/sys/net/ipv4/conf/{interface}/rp_filter") for interface in ("all", name)}
    try:
        # the kernel takes the greater of both; 0 is no check, 2 a loose one, 1 the strict one
        if max(int(path.read_text()) for path in settings.values()) == 1:
            privileged.write_setting(f"ipv4/conf/{name}/rp_filter", "2")
            return True
    except privileged.RunnerAwayError as away:
        raise HelperAwayError(f"cannot set net.ipv4.conf.{name}.rp_filter to 2: {away.strerror}") from away
    except (OSError, ValueError) as error:
        raise DatapathError(
            f"cannot set net.ipv4.conf.{name}.rp_filter to 2: {error}; mend that, or set net.ipv4.conf.all.rp_filter"
            " to 2 beforehand"
        ) from error
    return False


def _open() -> int:
    try:
        return privileged.open_tun()
    except privileged.RunnerAwayError as away:
        raise HelperAwayError(f"cannot open {TUN}: {away.strerror}") from away
    except FileNotFoundError as error:
        raise DatapathError(
            f"{TUN} is missing: this kernel or container has no TUN; load it (modprobe tun), pass the device "
            "into the container, or use the nft engine"
        ) from error
    except PermissionError as error:
        raise DatapathError(
            f"not permitted to open {TUN}; the raw engine needs it and CAP_NET_ADMIN, or use the nft engine"
        ) from error
    except OSError as error:
        raise DatapathError(
            f"cannot open {TUN}: {error.strerror}; load it (modprobe tun), or use the nft engine"
        ) from error


def _why_not(name: str, error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return f"the TUN device {name} is in use by another process; is a second forwarder running?"
    if error.errno == errno.EPERM:
        return f"not permitted to make or use the TUN device {name}; CAP_NET_ADMIN is needed"
    if error.errno == errno.EINVAL:
        return f"{name} is not a TUN device as the raw engine makes it; remove it (ip link del {name})"
    return f"cannot use the TUN device {name}: {error.strerror}"


def _set_up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, SIOCGIFFLAGS, _request.pack(name.encode(), 0))
            flags = int(_request.unpack(answer)[1])
            fcntl.ioctl(sock, SIOCSIFFLAGS, _request.pack(name.encode(), flags | IFF_UP))
        except OSError as error:
            raise DatapathError(f"cannot set the TUN device {name} up: {error.strerror}") from error


def _keep_ipv6_quiet(name: str) -> None:
    """No link-local address, no router solicitations: nobody is at the other end of this device."""
    setting = f"ipv6/conf/{name}/addr_gen_mode"
    with suppress(OSError):
        if (privileged.SYSCTL / setting).read_text().strip() != "1":
            privileged.write_setting(setting, "1")
