"""Entry of `make demo`: `--keep` leaves the laboratory up, in a process of its own, after the transcript."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

from tests.lab import Lab
from tests.lab.demo.promises import Card
from tests.lab.demo.scenario import Scenario
from tests.lab.demo.screen import Screen
from tests.lab.host import REPOSITORY
from tests.lab.namespaces import status_of

INTERRUPTED = 130
Play = Callable[[Scenario], None]
ENGINES = ("auto", "nft", "raw", "bpf")
NEXT = """\
What to try next:
   make demo KEEP=1                    the same, and leaves the four hosts up for you
   make lab-shell HOST=a1              a shell in one of them; `alias pcs=vipcast` is set
   make test                           everything that is promised, as tests
   make bench                          the figures, as medians of ten and as ratios
   docs/guide/first-address.md         the same on hosts of your own"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the laboratory up")
    parser.add_argument("--engine", choices=ENGINES, default="auto")
    parser.add_argument("--quick", action="store_true", help="steps 1 to 6 only")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    play = Scenario.play_commands if options.quick else Scenario.play
    if options.keep:
        return _run_and_stay(options.engine, play)
    return _run(options.engine, play)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(engine: str, play: Play) -> int:
    screen = Screen()
    card = Card()
    lab = Lab(hosts=4, engine=engine)
    try:
        with lab:
            processes = _perform(lab, screen, card, play)
        _check_clean(lab, processes, card)
    except KeyboardInterrupt:
        screen.line("\nInterrupted; everything has been taken down.")
        return INTERRUPTED
    return _close(screen, card)


def _perform(lab: Lab, screen: Screen, card: Card, play: Play) -> list[int]:
    """The transcript; returns the processes that must be gone after the laboratory's end."""
    try:
        play(Scenario(lab, screen, card))
    except (OSError, AssertionError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        screen.line()
        screen.line(screen.bad(f"The demo stopped: {str(error).splitlines()[0]}"))
        screen.output(lab.tail())
        card.add("every step of the transcript", str(error).splitlines()[0], False, "make demo")
    return lab.processes()


def _check_clean(lab: Lab, processes: list[int], card: Card) -> None:
    left = [pid for pid in processes if status_of(pid) is not None]
    gone = not left and not lab.directory.exists()
    card.add(
        "nothing is left on this machine",
        f"{len(processes)} processes, 6 network namespaces: gone" if gone else f"left: {left or lab.directory}",
        gone,
        "make test-one T=test_lab",
    )


def _close(screen: Screen, card: Card) -> int:
    card.show(screen)
    screen.line()
    screen.output(NEXT)
    return 0 if card.kept else 1


def _run_and_stay(engine: str, play: Play) -> int:
    """A child makes the laboratory and remains; this process ends when the transcript has."""
    result, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(result)
        os._exit(_keeper(engine, play, told))
    os.close(told)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child hears it too, and takes everything down
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    with os.fdopen(result) as answer:
        text = answer.read()
    if text:
        return int(text)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _keeper(engine: str, play: Play, told: int) -> int:
    screen = Screen()
    card = Card()
    lab = Lab(hosts=4, engine=engine)
    try:
        with lab:
            _perform(lab, screen, card, play)
            status = _close(screen, card)
            screen.line()
            screen.output(
                f"The laboratory stays up (process {os.getpid()}).\n"
                f"   enter a host:   make -C {REPOSITORY} lab-shell HOST=a1      (a1 … a4, gw)\n"
                f"   remove it:      make -C {REPOSITORY} lab-down"
            )
            lab.keep()
            sys.stdout.flush()
            os.write(told, str(status).encode())
            os.close(told)
            os.setsid()
            null = os.open("/dev/null", os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
