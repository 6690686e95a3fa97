"""The shell of a page: its style, light and dark, narrow and wide; nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from pipelines.judging.report import plots

_STYLE = """
:root{color-scheme:light dark;--ink:#222;--soft:#555;--page:#fff;--line:#ddd;--mark:#e8f1f8;--link:#005a8e;
--go:#00664b;--ask:#8a5a00;--stop:#b3261e;--bar:#0072b2}
@media (prefers-color-scheme:dark){:root{--ink:#e6e6e6;--soft:#aaa;--page:#16181d;--line:#3a3f47;--mark:#1d3347;
--link:#7cc4f5;--go:#5fd0ab;--ask:#f0b64a;--stop:#ff8a80;--bar:#56b4e9}
figure svg{filter:invert(.88) hue-rotate(180deg)}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;
padding:1rem 1.5rem 4rem;max-width:72rem}
h1{font-size:1.7rem;margin:.5rem 0}
h2{font-size:1.35rem;margin:2.5rem 0 .5rem;border-top:2px solid var(--line);padding-top:1rem}
h3{font-size:1.05rem;margin:1.5rem 0 .25rem}p,li{max-width:50rem}a{color:var(--link)}
figure{margin:1rem 0;overflow-x:auto}figcaption,.note{color:var(--soft);font-size:.9rem;max-width:50rem}
.scroll{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
caption{text-align:left;white-space:nowrap;font-weight:600;padding:.25rem 0}
th,td{padding:.2rem .6rem;border-bottom:1px solid var(--line)}
th{text-align:left;font-weight:500;white-space:nowrap}thead th{vertical-align:bottom;white-space:normal;font-weight:600}
thead th:not(:first-child){text-align:right}
td{text-align:right;white-space:nowrap}tr.marked{background:var(--mark)}tr.marked th{font-weight:700}
td.says,thead th.says{text-align:left;white-space:normal;min-width:18rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
summary{cursor:pointer;padding:.25rem 0}nav ul{padding-left:1.2rem;margin:.25rem 0}
.verdict{border-left:.4rem solid;padding:.1rem 1rem;margin:1rem 0}.verdict strong{font-size:1.15rem}
.go{border-color:var(--go)}.ask{border-color:var(--ask)}.stop{border-color:var(--stop)}
.go strong{color:var(--go)}.ask strong{color:var(--ask)}.stop strong{color:var(--stop)}
.bar{display:inline-block;height:.65rem;background:var(--bar);min-width:1px}td.bars{text-align:left;width:12rem}
@media (max-width:40rem){body{padding:.5rem .75rem 2rem}dl{grid-template-columns:1fr}dt{margin-top:.4rem}}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The whole document."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def figure(svg: str, key: str, label: str, caption: str) -> str:
    """A picture with a text for those who do not see it. key: begins its ids, so that many fit on one page."""
    return (
        f"<figure>{plots.embedded(svg, key, escape(label, quote=True))}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def movable(name: str, html: str) -> str:
    """A section that `exchanged` finds again: what becomes of a build is known only after its report was written."""
    return f"<!--{name}-->{html}<!--/{name}-->"


def section(text: str, name: str) -> str | None:
    """What stands in a section of `movable`; None where the page has none."""
    found = re.search(rf"<!--{name}-->(.*?)<!--/{name}-->", text, re.DOTALL)
    return found[1] if found else None


def exchanged(text: str, name: str, html: str) -> str:
    """The page with a section of `movable` in its newest form."""
    marks = re.compile(rf"<!--{name}-->.*?<!--/{name}-->", re.DOTALL)
    return marks.sub(lambda _: movable(name, html), text, count=1)
