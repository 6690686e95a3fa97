"""Draw the figures of the evaluation as SVG text: deterministic bytes, with text kept as text.

The colours are safe for colour-blind readers (Okabe and Ito 2008); shapes repeat the meaning of colours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREY, BLACK = "#0072B2", "#767676", "#222222"
_FONT, _POINTS = "DejaVu Sans", 10
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "matchbook",
    "font.family": "sans-serif",
    "font.size": _POINTS,
    "font.sans-serif": [_FONT],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "axes.axisbelow": True,
}
#: Inches: page width, minimum panel width, height of a chart line, space for titles and axes.
_WIDE, _PANEL, _LINE, _FRAME = 11.0, 1.85, 0.27, 0.85
#: Inches around panels: above for the title, below for ticks and for a label, left for ticks and for a label, between.
_ABOVE, _TICKS, _LABELLED, _SIDE, _BETWEEN = 0.32, 0.32, 0.52, 0.55, 0.2

#: {"mean", "low", "high"}; low and high may be None.
Interval = Mapping[str, float | None]


def dots(
    panels: Mapping[str, Mapping[str, Interval]],
    names: Sequence[str],
    marked: str = "",
    plain: Sequence[str] = (),
    zero: bool = False,
) -> str:
    """Draw one panel per group, one line per name, and a dot with its interval.

    panels: by title, then by name. names: top to bottom. marked: drawn as a blue diamond. plain: drawn as grey squares.
    zero: draw a line at 0, for differences.
    """
    figure, axes = _figure(len(panels), _FRAME + _LINE * len(names), _wide(names))
    for i, (ax, (title, values)) in enumerate(zip(axes, panels.items(), strict=True)):
        for y, name in enumerate(names):
            entry = values.get(name)
            if entry is None or entry["mean"] is None:
                continue
            colour, shape, size = _look(name, marked, plain)
            low, high = entry.get("low"), entry.get("high")
            if low is not None and high is not None:
                ax.plot([low, high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
            ax.plot([entry["mean"]], [y], shape, color=colour, markersize=size)
        _lines(ax, names if i == 0 else None, len(names))
        _titled(ax, title)
        if zero:
            ax.axvline(0, color=GREY, linewidth=1)
        else:
            ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
        ax.locator_params(axis="x", nbins=4 if len(panels) < 5 else 2)
    return _svg(figure)


def bars(
    panels: Mapping[str, Mapping[str, float | None]], names: Sequence[str], marked: str = "", plain: Sequence[str] = ()
) -> str:
    """Draw one panel per figure and one bar per name with its number. A name without a value has no bar."""
    figure, axes = _figure(len(panels), _FRAME + _LINE * len(names), _wide(names))
    for i, (ax, (title, values)) in enumerate(zip(axes, panels.items(), strict=True)):
        for y, name in enumerate(names):
            value = values.get(name)
            if value is not None:
                ax.barh(y, value, color=_look(name, marked, plain)[0], height=0.62)
                ax.annotate(short(value), (value, y), (3, 0), textcoords="offset points", va="center", fontsize=8.5)
        _lines(ax, names if i == 0 else None, len(names))
        _titled(ax, title)
        ax.set_xlim(0, max([v for v in values.values() if v is not None], default=1.0) * 1.4 or 1.0)
        ax.locator_params(axis="x", nbins=2)
    return _svg(figure)


def curves(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Draw one panel per model over its epochs: "loss", and below it the "watched" figure if there is one."""
    number = sum(1 + bool(c.get("watched")) for c in panels.values())
    figure, axes = _figure(number, 2.6, _SIDE, _LABELLED, _SIDE, widest=3.6)
    place = iter(axes)
    for name, curve in panels.items():
        for key, colour, shape in (("loss", BLACK, "o-"), ("watched", BLUE, "D-")):
            if curve.get(key):
                ax = next(place)
                ax.plot(range(1, len(curve[key]) + 1), curve[key], shape, color=colour, markersize=4, linewidth=1.4)
                _titled(ax, f"{name}: {'loss' if key == 'loss' else 'held out'}")
                ax.set_xlabel("epoch")
                ax.locator_params(axis="x", nbins=6, integer=True)
                ax.locator_params(axis="y", nbins=5)
    return _svg(figure)


def calibration(bins: Sequence[Mapping[str, float]]) -> str:
    """Draw the hit rate against the mean score, one dot per bin. The dot's area shows the number of pairs."""
    figure, (ax,) = _figure(1, 3.1, _SIDE + 0.2, _LABELLED, widest=5.0)
    score, rate, count = ([b[k] for b in bins] for k in ("score", "rate", "count"))
    most = max(count, default=1)
    ax.plot(score, rate, color=BLUE, linewidth=1.4)
    ax.scatter(score, rate, s=[20 + 80 * c / most for c in count], color=BLUE)
    ax.set(xlabel="mean score", ylabel="hit rate", ylim=(0, max(rate, default=0) * 1.15 or 1))
    return _svg(figure)


def weeks(per_week: Mapping[str, int]) -> str:
    """Draw events per week as a line; keys are Mondays, ISO 8601, ascending."""
    figure, (ax,) = _figure(1, 2.4, _wide([f"{2 * max(per_week.values(), default=0):,}"]), widest=8.0)
    days = [date.fromisoformat(week).toordinal() for week in per_week]
    ax.plot(days, list(per_week.values()), color=BLUE, linewidth=1.6)
    ticks = days[:: max(1, len(days) // 6)]
    ax.set_xticks(ticks, [date.fromordinal(day).isoformat() for day in ticks])
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    _titled(ax, "events a week")
    return _svg(figure)


def short(value: float) -> str:
    """Format with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _figure(
    panels: int,
    height: float,
    left: float,
    below: float = _TICKS,
    between: float = _BETWEEN,
    widest: float = 4.2,
) -> tuple[Figure, list[Axes]]:
    """Return panels side by side with fixed margins in inches: matplotlib's own layout draws each figure twice."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        width = min(_WIDE, max(panels, 1) * max(min(widest, _WIDE / max(panels, 1)), _PANEL))
        figure = Figure(figsize=(width, height))
        figure.subplots_adjust(
            left=left / width,
            right=1 - _BETWEEN / width,
            bottom=below / height,
            top=1 - _ABOVE / height,
            wspace=between * panels / max(width - left - _BETWEEN - between * (panels - 1), _PANEL),
        )
        return figure, [figure.add_subplot(1, panels, i + 1) for i in range(panels)]


def _wide(names: Sequence[str]) -> float:
    """Return the inches that the longest name takes, with a margin."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_FONT, size=_POINTS)
    return 0.2 + max((text_to_path.get_text_width_height_descent(n, font, False)[0] for n in names), default=0) / 72


def _look(name: str, marked: str, plain: Sequence[str]) -> tuple[str, str, float]:
    if name == marked:
        return BLUE, "D", 7
    return (GREY, "s", 5.5) if name in plain else (BLACK, "o", 5.5)


def _titled(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=10.5, fontweight="bold")


def _lines(ax: Axes, names: Sequence[str] | None, n: int) -> None:
    """Place one line per name, the first on top. Only the left panel shows names."""
    ax.set_ylim(n - 0.4, -0.6)
    ax.set_yticks(range(n) if names else [], names)  # a tick without a label takes as long as one with it
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.7)


def _svg(figure: Figure) -> str:
    """Return the figure as an <svg> element without fixed size, date or background."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", _rounded, text)
    return re.sub(r'(<svg\b[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"', _sized, text, count=1)


def _rounded(tag: re.Match[str]) -> str:
    """Round the coordinates in a tag to 0.01 point; text between tags stays."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", tag[0])


def _sized(match: re.Match[str]) -> str:
    """Set the drawn width. A narrow page shrinks the figure to a readable minimum, then scrolls it."""
    width = float(match[2]) / 72 * 96
    return f'{match[1]} style="width:{width:.0f}px;min-width:{min(width, 640):.0f}px;max-width:100%;height:auto"'


def embedded(svg: str, prefix: str, label: str) -> str:
    """Return the element with a text alternative and prefixed ids, so that many fit on one page."""
    own: Any = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    return own.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
