"""A clean Debian in a folder, with a mount namespace around each command that runs in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SUITE = "bookworm"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_ENTER = """
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc; mount -t tmpfs tmpfs run; mount --rbind /dev dev
mkdir -p old; pivot_root . old; umount -l old; rmdir old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb DEBIAN_FRONTEND=noninteractive sh -c "$2"
"""


class Debian:
    """A root file system as `debootstrap --variant=minbase` makes it."""

    def __init__(self, root: Path, mirror: str) -> None:
        self.root = root
        subprocess.run(
            ["debootstrap", "--variant=minbase", SUITE, str(root), mirror],
            check=True,
            capture_output=True,
            timeout=900,
        )
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        for configured in ("sources.list", "sources.list.d", "apt.conf.d", "auth.conf.d"):
            self._copy(Path("/etc/apt") / configured)
        self._copy(CERTIFICATES)
        no_services = root / "usr/sbin/policy-rc.d"
        no_services.write_text("#!/bin/sh\nexit 101\n")
        no_services.chmod(0o755)

    def _copy(self, path: Path) -> None:
        """How this machine reaches its mirror is how the clean Debian does."""
        target = self.root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True, symlinks=False, ignore_dangling_symlinks=True)
        elif path.exists():
            shutil.copy(path, target)

    def run(self, script: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """As root in there, in namespaces of its own."""
        alone = ("unshare", "--mount", "--pid", "--fork", "--ipc", "--uts", "--propagation=private")
        return subprocess.run(
            [*alone, "sh", "-c", _ENTER, "sh", str(self.root), script],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def must(self, script: str, timeout_s: float = 600) -> str:
        """The same, which has to succeed; what it printed."""
        ended = self.run(script, timeout_s)
        assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout


def mirror() -> str:
    """The one that this machine's apt uses."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    sites = [line.split()[0] for line in told.stdout.splitlines() if line.split()[1:] == [SUITE]]
    assert sites, f"no mirror of {SUITE} in this machine's sources.list"
    return sites[0]
