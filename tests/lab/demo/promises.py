"""The closing card: what was promised, what was measured a moment ago, and the command that repeats it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.lab.demo.screen import Screen


@dataclass(frozen=True, slots=True)
class Promise:
    promised: str
    measured: str
    kept: bool
    repeat: str


@dataclass(slots=True)
class Card:
    promises: list[Promise] = field(default_factory=list)

    def add(self, promised: str, measured: str, kept: bool, repeat: str) -> None:
        self.promises.append(Promise(promised, measured, kept, repeat))

    @property
    def kept(self) -> bool:
        """All of them, and there is at least one."""
        return bool(self.promises) and all(promise.kept for promise in self.promises)

    def show(self, screen: Screen) -> None:
        screen.line()
        screen.line(screen.paint("── What was promised, and what was measured just now ".ljust(100, "─"), 1))
        widths = [max(len(text) for text in column) for column in zip(*map(_texts, self.promises), strict=True)]
        for promise in self.promises:
            mark = screen.good("pass") if promise.kept else screen.bad("FAIL")
            promised, measured = (text.ljust(width) for text, width in zip(_texts(promise), widths, strict=True))
            screen.line(f"   {mark}  {promised}  {measured}  {screen.dim(promise.repeat)}".rstrip())


def _texts(promise: Promise) -> tuple[str, str]:
    return promise.promised, promise.measured
