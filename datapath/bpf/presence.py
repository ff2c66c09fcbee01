"""Whether the bpf engine can work on this host, and what of it is there already."""

from __future__ import annotations

from pathlib import Path

from datapath.bpf.attach import Attachments
from datapath.bpf.engine import BpfEngine
from datapath.bpf.program import Program
from datapath.engine import DatapathError

_PROBE = "lo"


def missing() -> str | None:
    """What this host lacks, in words; None when it has everything.

    The kernel is asked to load our very program, and to attach it for a moment where it can meet no packet of ours:
    it has no addresses yet, so it lets everything pass.
    """
    try:
        program = Program.load()
    except DatapathError as problem:
        return str(problem)
    try:
        return _missing_for_attaching(program)
    finally:
        program.close()


def _missing_for_attaching(program: Program) -> str | None:
    try:
        tc = Attachments()
    except DatapathError as problem:
        return str(problem)
    try:
        made = tc.attach(_PROBE, program.descriptors)
        tc.detach(_PROBE)
        if made:
            tc.unmake(_PROBE)
    except DatapathError as problem:
        return f"it needs clsact and cls_bpf (NET_SCH_INGRESS, NET_CLS_BPF): {problem}"
    finally:
        tc.close()
    return None


def take_down(run_dir: Path) -> None:
    """Programs that a former process has left attached make room for another engine; the host stays as it is."""
    tc = Attachments()
    try:
        if not tc.found():
            return
    finally:
        tc.close()
    engine = BpfEngine(run_dir)
    engine.start()
    try:
        engine.detach()
    finally:
        engine.close()
