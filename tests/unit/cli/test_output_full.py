"""An output that takes nothing is told as a sentence."""

from __future__ import annotations

import subprocess
import sys


def test_a_full_output_device_gives_a_sentence_and_exit_code_1() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from daemon.cli.main import main; sys.exit(main(['--help']))"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: No space left on device\n"
