"""A plot with two logarithmic axes, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 40, 50


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    """all above 0"""
    colour: str


def log_log(title: str, curves: Sequence[Curve]) -> str:
    xs = [x for curve in curves for x in curve.xs]
    ys = [y for curve in curves for y in curve.ys]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def across(x: float) -> float:
        span = math.log(max(xs) / min(xs)) or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / min(xs)) / span

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(y) - low) / max(1, high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{title}</text>',
    ]
    for power in range(low, high + 1):
        y = up(10**power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for x in sorted(set(xs)):
        at = across(x)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
    for place, curve in enumerate(curves):
        points = [(across(x), up(y)) for x, y in zip(curve.xs, curve.ys, strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{curve.colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{curve.colour}"/>' for x, y in points]
        legend = TOP + 18 * place + 10
        left = WIDTH - RIGHT + 20
        parts.append(f'<line x1="{left}" x2="{left + 22}" y1="{legend}" y2="{legend}" stroke="{curve.colour}"/>')
        parts.append(f'<text x="{left + 28}" y="{legend + 4}">{curve.name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
