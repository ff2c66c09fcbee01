"""Write jhash.json anew from the answers of this machine's kernel.

python -m tests.vectors.make > tests/vectors/jhash.json    (as root; it works in a namespace of its own)
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

from tests.netns.inside import Inside
from tests.netns.kernel_hash import cases, kernel_slots

NAMESPACE = "vchash"


def main() -> None:
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    inside = Inside(NAMESPACE)
    try:
        answered = inside.call(kernel_slots, cases(20))
    finally:
        inside.kill()
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
    sys.stdout.write("[\n" + ",\n".join(json.dumps(asdict(case)) for case in answered) + "\n]\n")


if __name__ == "__main__":
    main()
