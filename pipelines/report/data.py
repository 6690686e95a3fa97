"""The data of a build: counts, rejected rows with reasons, late rows, and limits of the history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.errors import DataError
from models.schema import Entity
from pipelines.export.layout import INSTANT
from pipelines.export.snapshot import Snapshot, read_manifest
from pipelines.export.view_readings import FROM_READINGS
from pipelines.report import plots
from pipelines.report.html import facts, figure, grid
from pipelines.run.run import Run, parse_instant

_KEPT = (
    "as_of",
    "created_at",
    "counts",
    "rejected",
    "events_by_kind",
    "events_per_week",
    "dislike_share",
    "oldest_event",
    "newest_event",
    "profiles_as_of",
)
_DAY_S = 86_400


def data_facts(run: Run, snapshot: str) -> dict[str, Any]:
    """Return the data facts of page and JSON: parts of the snapshot's manifest, "late", "limits" (sentences)."""
    path = run.settings.artifacts / "snapshots" / snapshot
    manifest = read_manifest(path)
    about = {key: manifest[key] for key in _KEPT if key in manifest}
    return {**about, "late": _late(run, manifest), "limits": limits(path, manifest, Snapshot.open(path).stage_known)}


def limits(path: Path, manifest: Mapping[str, Any], stage_known: str) -> list[str]:
    """Return sentences, with figures, on where the platform's tables differ from their state at the cutoff."""
    cutoff, made = parse_instant(manifest["as_of"]), parse_instant(manifest["created_at"])
    told = [
        f"Profiles are those of the export, {_apart(made, cutoff)} after the cutoff: the platform keeps no "
        "history. " + " ".join(_changed(path, entity, cutoff) for entity in Entity)
    ]
    blank = {entity: _column(path, entity, "created_at").null_count for entity in Entity}
    if any(blank.values()):
        told.append(
            f"Without created_at, so treated as always present: {blank[Entity.USER]:,} users, "
            f"{blank[Entity.STARTUP]:,} startups."
        )
    told.append(
        "Withdrawals and opt-outs count from their own time; one that was reversed before the export has left no trace."
    )
    told.append(_views(manifest.get("views") or {}))
    if stage_known != "always":
        told.append(
            "A startup's stage counts as unknown until its first event: the platform records it with the first "
            "round, which may lie after the cutoff."
        )
    for side, columns in (manifest.get("withheld") or {}).items():
        told += [
            f"The {column} of {side} is left out: later events decide whether it is blank; at the "
            f"validation split, {how}."
            for column, how in columns.items()
        ]
    return told


def _views(about: Mapping[str, Any]) -> str:
    if about.get("from") == FROM_READINGS:
        return (
            f"View counts of startups come from {about['readings']:,} readings of the platform's running "
            f"count, stored by earlier builds since {about['since']}."
        )
    kept = (
        f"readings exist only since {about['since']}, not since before the validation split"
        if about.get("since")
        else "no earlier build stored readings"
    )
    return (
        "View counts of startups come from view events. The platform's running count at an "
        f"earlier time is not known: {kept}."
    )


def data_section(data: Mapping[str, Any]) -> str:
    if not data:
        return ""
    counts = data.get("counts") or {}
    shown = {name: f"{counts[name]:,}" for name in ("users", "startups", "interactions", "rejected") if name in counts}
    if "events/later" in counts:
        shown["events from the cutoff on, left out"] = f"{counts['events/later']:,}"
    shown |= {
        "first event": str(data.get("oldest_event", "")),
        "last event": str(data.get("newest_event", "")),
        "exported": str(data.get("created_at", "")),
    }
    parts = [f'<section><h2 id="data">Data</h2>{facts(shown)}', _weeks(data.get("events_per_week") or {})]
    for caption, name, head in (("Rejected rows", "rejected", "reason"), ("Events by type", "events_by_kind", "type")):
        rows = [[str(k), f"{v:,}"] for k, v in (data.get(name) or {}).items()]
        parts.append(grid(caption, [head, "rows"], rows) if rows else "")
    parts.append("" if data.get("rejected") else "<p>No row was rejected.</p>")
    parts.append(_late_words(data.get("late")))
    sentences = "".join(f"<li>{escape(text)}</li>" for text in data.get("limits") or ())
    parts.append(f"<h3>What these tables do not show about that day</h3><ul>{sentences}</ul>" if sentences else "")
    return "".join(parts) + "</section>"


def _weeks(per_week: Mapping[str, int]) -> str:
    if len(per_week) < 2:
        return ""
    newest = list(per_week.items())[-1]
    label = f"Events a week, {len(per_week)} weeks; the last, from {newest[0]}: {newest[1]:,}."
    return figure(plots.weeks(per_week), "w", label, "Events a week, by Monday. The last week may not be over.")


def _late(run: Run, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Compare with the newest earlier snapshot: rows added or removed in weeks that had ended by then."""
    before = None
    for path in run.artifacts.stored("snapshots"):
        try:
            other = read_manifest(path)
        except DataError:
            continue
        if parse_instant(other["as_of"]) < run.as_of and (before is None or other["as_of"] > before["as_of"]):
            before = other | {"name": path.name}
    if before is None:
        return None
    over = parse_instant(before["as_of"]).date() - timedelta(days=7)
    then, now = before.get("events_per_week") or {}, manifest.get("events_per_week") or {}
    moved = [now.get(week, 0) - then.get(week, 0) for week in {*then, *now} if date.fromisoformat(week) <= over]
    return {"against": before["name"], "came": sum(m for m in moved if m > 0), "went": -sum(m for m in moved if m < 0)}


def _late_words(late: Mapping[str, Any] | None) -> str:
    if not late:
        return "<p>There is no earlier snapshot to compare with for late rows.</p>"
    return (
        f"<p>Since the snapshot {escape(late['against'])}, in the weeks that had ended then: {late['came']:,} "
        f"events arrived late, {late['went']:,} were removed.</p>"
    )


def _changed(path: Path, entity: Entity, cutoff: datetime) -> str:
    updated = _column(path, entity, "updated_at")
    later = _true(pc.fill_null(pc.greater_equal(updated, _instant(cutoff)), False))
    return (
        f"Of {len(updated):,} {entity}s {later:,} were changed at the cutoff or later; for {updated.null_count:,} "
        "this is unknown."
    )


def _column(path: Path, entity: Entity, name: str) -> pa.ChunkedArray:
    return pq.read_table(path / f"{entity}s.parquet", columns=[name])[name]


def _instant(at: datetime) -> pa.Scalar:
    return pa.scalar(at, INSTANT)


def _true(mask: Any) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _apart(later: datetime, earlier: datetime) -> str:
    days = (later - earlier).total_seconds() / _DAY_S
    return f"{days:,.0f} days" if days >= 2 else f"{max(days, 0) * 24:.1f} hours"
