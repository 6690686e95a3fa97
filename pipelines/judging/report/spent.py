"""Time and memory of every step, as bars that need no picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipelines.build import place_of


def spent_of(steps: Sequence[Mapping[str, Any]]) -> str:
    """The section; the instances of a mapped step stand together: seconds added, memory the largest."""
    if not steps:
        return ""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in sorted(steps, key=lambda s: place_of(str(s["step"]))):
        found.setdefault(str(line["step"]), []).append(line)
    wall = {name: sum(float(s["wall_s"]) for s in those) for name, those in found.items()}
    longest, most = max(wall.values()) or 1.0, max(float(s["peak_mb"]) for s in steps) or 1.0
    lines = "".join(_line(name, those, wall[name], longest, most) for name, those in found.items())
    head = "".join(f'<th scope="col">{h}</th>' for h in ("step", "seconds", "", "CPU seconds", "peak MB", ""))
    note = (
        "In the order of the build. Peak: the largest resident memory of the step's process during the "
        "step, and of its largest child."
    )
    return (
        f'<section><h2 id="spent">Time and memory</h2><p>{sum(wall.values()):,.1f} s of work in {len(steps)} '
        f'steps, at most {most:,.0f} MB.</p><div class="scroll" tabindex="0" role="region" aria-label="Steps">'
        f"<table><caption>Steps</caption><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
        f"<p class=note>{note}</p></section>"
    )


def _line(name: str, those: Sequence[Mapping[str, Any]], wall: float, longest: float, most: float) -> str:
    cpu, peak = sum(float(s["cpu_s"]) for s in those), max(float(s["peak_mb"]) for s in those)
    many = f" × {len(those)}" if len(those) > 1 else ""
    return (
        f'<tr><th scope="row">{escape(name)}{many}</th><td>{wall:,.2f}</td>{_bar(wall / longest)}'
        f"<td>{cpu:,.2f}</td><td>{peak:,.0f}</td>{_bar(peak / most)}</tr>"
    )


def _bar(share: float) -> str:
    return f'<td class="bars"><span class="bar" style="width:{max(share, 0):.1%}"></span></td>'
