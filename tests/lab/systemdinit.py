"""What a lab host needs so that systemd can be its process 1; then systemd.  A program: standard library only.

    systemdinit.py DIRECTORY

It stands in the host's namespaces (hostinit.py) and in a control group of its own.  Machine and host share a
kernel, so whatever systemd does on a real machine and must not do here is out of its reach: /dev is the host's own,
/proc/sys is read-only but for the network, none of the machine's enabled units and generators is seen, and systemd
knows that it is in a container (systemd.io/CONTAINER_INTERFACE): it then neither loads modules nor remounts file
systems at its end.

`/etc/systemd/system` outlives a reboot, in DIRECTORY.  The lab's network is there when `/run/lab-network` is.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWCGROUP = 0x02000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 0x20, 0x1000, 0x4000

SYSTEMD = "/lib/systemd/systemd"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun")
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
UNITS = Path("/etc/systemd/system")
GENERATORS = ("/lib/systemd/system-generators", "/usr/local/lib/systemd/system-generators")
MASKED = """\
systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-remount-fs.service
systemd-random-seed.service systemd-tmpfiles-setup-dev.service kmod-static-nodes.service systemd-udevd.service
systemd-udev-trigger.service systemd-firstboot.service systemd-repart.service systemd-pcrphase.service
systemd-pcrphase-sysinit.service systemd-journald-audit.socket systemd-logind.service
systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-machine-id-commit.service
systemd-user-sessions.service dbus.service dbus.socket dev-hugepages.mount dev-mqueue.mount
sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
proc-sys-fs-binfmt_misc.automount getty.target systemd-ask-password-console.path
systemd-ask-password-wall.path systemd-tmpfiles-clean.timer systemd-sysusers.service systemd-initctl.socket
swap.target
"""
"""what is for hardware, for people at a console, or for the machine's kernel as a whole"""
NETWORK_UNIT = """\
[Unit]
Description=the laboratory's network
DefaultDependencies=no
Before=network.target network-online.target shutdown.target
Conflicts=shutdown.target
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for i in $$(seq 1000); do test -e /run/lab-network && exit; sleep 0.02; done; exit 1'
"""
BOOT_ID = """\
[Service]
# ProtectKernelTunables= brings a /proc of its own, in which the boot id is the machine's
BindReadOnlyPaths=/run/lab-boot-id:/proc/sys/kernel/random/boot_id
"""
JOURNAL = "[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\nRateLimitIntervalSec=0\n"

libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    if libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind or 'bind'} {source} on {target}: {os.strerror(number)}")


def own_devices(console: Path) -> None:
    """A /dev that has what a program without hardware needs; permissions are the machine's."""
    opened = {}
    for name in DEVICES:
        if os.path.exists(f"/dev/{name}"):
            opened[name] = os.open(f"/dev/{name}", os.O_PATH)
    log = os.open(console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=0755,size=4m")
    for name, descriptor in {**opened, "console": log}.items():
        target = Path("/dev") / name
        target.parent.mkdir(exist_ok=True)
        target.touch()
        mount(f"/proc/self/fd/{descriptor}", str(target), "", MS_BIND)
        os.close(descriptor)
    for name in ("pts", "shm"):
        os.mkdir(f"/dev/{name}")
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for name, to in LINKS.items():
        os.symlink(to, f"/dev/{name}")


def shield_settings() -> None:
    """The kernel's settings are the machine's; those of the network namespace are the host's own."""
    mount("/proc/sys/net", "/proc/sys/net", "", MS_BIND | MS_REC)
    mount("/proc/sys", "/proc/sys", "", MS_BIND | MS_REC)
    mount("none", "/proc/sys", "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def own_units(directory: Path) -> None:
    """Nothing of what the machine has enabled; what this host enables is there again after its next boot."""
    kept = directory / "units"
    is_new = not kept.exists()
    kept.mkdir(exist_ok=True)
    mount(str(kept), str(UNITS), "", MS_BIND)
    masked = Path("/etc/systemd/system-generators")
    if is_new:
        for name in MASKED.split():
            (UNITS / name).symlink_to("/dev/null")
        (UNITS / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
        (UNITS / "lab-network.service").write_text(NETWORK_UNIT)
        wants = UNITS / "network-online.target.wants"
        wants.mkdir()
        (wants / "lab-network.service").symlink_to("../lab-network.service")
        (UNITS / "vipcastd.service.d").mkdir()
        (UNITS / "vipcastd.service.d" / "lab.conf").write_text(BOOT_ID)
        masked.mkdir(exist_ok=True)
        for folder in map(Path, GENERATORS):
            for generator in folder.iterdir() if folder.is_dir() else ():
                (masked / generator.name).symlink_to("/dev/null")
        settings = Path("/etc/systemd/journald.conf.d")
        settings.mkdir(exist_ok=True)
        (settings / "lab.conf").write_text(JOURNAL)
        # /tmp has the host's own disk in it
        Path("/etc/tmpfiles.d").mkdir(exist_ok=True)
        Path("/etc/tmpfiles.d/tmp.conf").symlink_to("/dev/null")
        Path("/etc/fstab").write_text("")
        Path("/etc/machine-id").write_text(os.urandom(16).hex() + "\n")


def main(directory: str) -> None:
    if libc.unshare(CLONE_NEWCGROUP) != 0:
        raise OSError(ctypes.get_errno(), "unshare: a control group namespace")
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    own_devices(Path(directory) / "console.log")
    shield_settings()
    own_units(Path(directory))
    Path("/run/lab-boot-id").write_bytes(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    console = os.open("/dev/console", os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(console, descriptor)
    os.close(console)
    environment = {"container": "vipcast-lab", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    arguments = [SYSTEMD, "--system", "--show-status=no", "--log-target=console", "--log-level=notice"]
    os.execve(SYSTEMD, arguments, environment)


if __name__ == "__main__":
    main(*sys.argv[1:])
