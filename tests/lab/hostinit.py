"""The first process of a lab host, and the guard outside that ends it.  A program: standard library only.

    hostinit.py NAME DIRECTORY BOOT_ID REMOVE IMAGE KEEP...  < the laboratory's pipe

The guard starts process 1 of a new PID namespace and waits for two things: that this process ends, or that the
laboratory's pipe is closed, which the kernel does for it however it died.  Then it kills process 1 and with it
all of the namespace.  Should the guard itself be killed, process 1 dies by its parent-death signal (prctl(2)).

Process 1 makes the host: own mounts, network, host name and IPC.  `/etc` and `/var` are overlays whose upper side
is DIRECTORY, so that they outlive a reboot of the host and never touch the machine's; EMPTY_AT_BOOT is empty;
`/proc/sys/kernel/random/boot_id` is BOOT_ID, since a new network namespace is a new kernel as far as packets are
concerned.  KEEP are directories that must stay visible (the source tree may be under /tmp).
Prints the number of process 1 when the host is ready.  REMOVE is a directory to delete at the end, or "".

IMAGE is "", or what `make install DESTDIR=IMAGE` has made: its /usr is laid over the machine's, and process 1
becomes systemd (systemdinit.py), in a control group of its own that the guard removes.  The guard's exit status then
tells how the host ended: REBOOTED, SWITCHED_OFF, or 0 where it was killed.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1

EMPTY_AT_BOOT = {"/run": "0755", "/tmp": "1777", "/dev/shm": "1777", "/root": "0700"}
STACKED = ("/etc", "/var")
REMOVAL_ATTEMPTS = 30
REBOOTED, SWITCHED_OFF = 10, 11
"""exit status of a guard whose host has called reboot(2): in a PID namespace its process 1 is killed by a signal"""
GROUP_PREFIX = "vipcast-lab-"
SYSTEMD_INIT = Path(__file__).with_name("systemdinit.py")

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    checked(libc.unshare(flags), f"unshare {flags:#x}")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    checked(
        libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()),
        f"mount {kind or 'bind'} {source} on {target}",
    )


def make_host(name: str, directory: str, boot_id: str, image: str, keep: list[str]) -> None:
    unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)
    socket.sethostname(name)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    identity = os.path.join(directory, "boot_id")
    with open(identity, "w", encoding="ascii") as file:
        file.write(boot_id + "\n")
    kept = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in keep]
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount(identity, "/proc/sys/kernel/random/boot_id", "", MS_BIND)
    for path in (*STACKED, "/usr") if image else STACKED:
        upper, work = (os.path.join(directory, part + path) for part in ("upper", "work"))
        os.makedirs(upper, exist_ok=True)
        os.makedirs(work, exist_ok=True)
        lower = f"{image}/usr:/usr" if path == "/usr" else path
        mount("overlay", path, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work}")
    with open("/etc/hostname", "w", encoding="ascii") as file:
        file.write(name + "\n")  # before systemd reads it, and calls the host what the machine is called
    for path, mode in EMPTY_AT_BOOT.items():
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
    for path, descriptor in kept:
        if not os.path.isdir(path):
            os.makedirs(path)
            mount(f"/proc/self/fd/{descriptor}", path, "", MS_BIND | MS_REC)
        os.close(descriptor)
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.makedirs("/run/lock", exist_ok=True)


def reap_for_ever() -> NoReturn:
    """What an init is for.  SIGTERM and the like do not reach process 1 without a handler."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def be_process_one(
    ready: int, name: str, directory: str, boot_id: str, image: str, group: Path | None, keep: list[str]
) -> NoReturn:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        if group is not None:
            (group / "cgroup.procs").write_text("0")
        make_host(name, directory, boot_id, image, keep)
    except OSError as error:
        os.write(ready, f"{error.strerror}\n".encode())
        os._exit(1)
    os.write(ready, b"ok")
    os.close(ready)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    if image:
        os.execv(sys.executable, [sys.executable, "-I", "-S", str(SYSTEMD_INIT), directory])
    reap_for_ever()


def guard(child: int) -> int:
    """Return when process 1 has ended or must end: the pipe on descriptor 0 has no writer any more.

    The answer is what process 1 died of, a signal's number or 0 (pid_namespaces(7), "reboot()").
    """
    process = os.pidfd_open(child)
    poller = select.poll()
    poller.register(process, select.POLLIN)
    poller.register(0, select.POLLIN)  # end of file counts as readable; nobody ever writes
    poller.poll()
    os.kill(child, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def remove_tree(path: str) -> None:
    """The other hosts end at the same moment as this one, and may still write."""
    for _ in range(REMOVAL_ATTEMPTS):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.exists(path):
            return
        time.sleep(0.1)


def group_root() -> Path:
    """Where the machine has its control groups of version 2 (cgroups(7)): alone, or beside those of version 1."""
    unified = Path("/sys/fs/cgroup/unified")
    return unified if unified.is_dir() else Path("/sys/fs/cgroup")


def remove_group(group: Path) -> None:
    """With the groups in it, once the kernel has let go of the last process."""
    for _ in range(REMOVAL_ATTEMPTS):
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue
        if not group.exists():
            return
        time.sleep(0.1)


def make_group() -> Path:
    """A group for one boot, named after its guard; those of guards that were killed are removed."""
    for left in group_root().glob(f"{GROUP_PREFIX}*"):
        if not os.path.exists(f"/proc/{left.name.removeprefix(GROUP_PREFIX)}"):
            remove_group(left)
    group = group_root() / f"{GROUP_PREFIX}{os.getpid()}"
    group.mkdir()
    return group


def main(name: str, directory: str, boot_id: str, remove: str, image: str, *keep: str) -> int:
    group = make_group() if image else None
    try:
        return run(name, directory, boot_id, remove, image, group, keep)
    finally:
        if group is not None:
            remove_group(group)


def run(
    name: str, directory: str, boot_id: str, remove: str, image: str, group: Path | None, keep: tuple[str, ...]
) -> int:
    unshare(CLONE_NEWPID)
    result, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(result)
        be_process_one(ready, name, directory, boot_id, image, group, list(keep))
    os.close(ready)
    said = os.read(result, 4096)
    if said != b"ok":
        sys.stderr.write(f"host {name}: {said.decode().strip() or 'process 1 ended'}\n")
        return 1
    print(child, flush=True)
    died_of = guard(child)
    if remove:
        remove_tree(remove)
    return {signal.SIGHUP: REBOOTED, signal.SIGINT: SWITCHED_OFF}.get(signal.Signals(died_of), 0) if died_of else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
