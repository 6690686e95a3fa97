"""Render the evaluation as one self-contained HTML page: figures first, then all numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from models.schema import Surface
from pipelines.report import plots
from pipelines.report.data import data_section
from pipelines.report.figure_names import (
    CAPPED,
    POPULAR,
    RANDOM,
    SEED_RECIPE,
    SEED_TITLE,
    SERVED,
    ranks,
    served_by,
)
from pipelines.report.html import (
    METRICS,
    blend_of,
    cell,
    claims_of,
    expectations_of,
    exposure_of,
    facts,
    figure,
    figures_of,
    grid,
    heading,
    movable,
    page,
)
from pipelines.report.sections import engagement_section, gate_section, lists_of, similar_section, timings_section

PROTOCOL = (
    "Temporal split: the last share of all events ([holdout] share) is at or after the cut. Base models "
    "are refitted on the events before it; the build's own models are not evaluated.",
    "Candidates: the full catalogue as of the cut, without sampling.",
    "Relevant: pairs with their first interaction at or after the cut whose events have a gain ([objective]), unless "
    "the last explicit event is a dislike. Where too few pairs have one, clicks or any event count, and the surface "
    "says so. An owner counts when at least one such item could have been shown.",
    "The evaluated second stage was trained on other owners or on earlier cutoffs, never on the evaluation data.",
    "Items that an owner met, disliked or owns are never shown (a setting allows viewed items). A place that "
    "repeats an item is a miss; a short list is not padded.",
    "Segments count events of a person, or different people of a startup, before the cut.",
    "At 10 places: precision = hits / 10; recall = hits / relevant; NDCG is graded by the gains, with log2 discount, "
    "over the ideal list; MAP is the mean of average precision over min(10, relevant). Means are over owners.",
    "Coverage: share of the catalogue that is shown to any owner. Gini: of exposure per item. Novelty: mean of "
    "-log2 of the share of active owners who had met an item (Zhou et al. 2010; an unmet item counts as met by one). "
    "Popularity rank: 0% for the item met most, 100% for the least. Diversity: share of a list's pairs with "
    "different categories. Age: days from an item's creation to the cut, where it is known.",
    "Brackets: 95% bootstrap intervals over owners, 1,000 draws. Differences are paired: the same owners, "
    "drawn together.",
)

_PLAIN = (RANDOM, POPULAR)
#: Figures shown as bars: coverage, exposure, and properties of the lists.
_BARS = ("coverage", "gini", "novelty", "diversity", "age_days", "fresh")
_GROUPS = ("overall", "known", "none", "cold", "warm", "hot")


def report(evaluation: Mapping[str, Any]) -> str:
    """Render the page of one evaluation (evaluation.json); missing parts are left out."""
    evaluation = json.loads(json.dumps(evaluation, sort_keys=True))  # the page must not depend on key order
    sections = [_head(evaluation), movable("models", "".join(judgement(evaluation))), trust(evaluation)]
    return page(f"Evaluation of {evaluation['snapshot']}", sections)


def build_report(told: Mapping[str, Any], drawn: str | None = None) -> str:
    """Render the page of a build from report.json (see `store.py`); missing parts are left out.

    drawn: the section "models" of the evaluation's page if it exists, because drawing takes seconds.
    """
    told = json.loads(json.dumps(told, sort_keys=True))
    evaluation, facts_of_release = told.get("evaluation") or {}, told.get("lists") or {}
    parts = {
        "verdict": movable("verdict", gate_section(told.get("gate"))),
        "lists": lists_of(
            facts_of_release.get("lists") or {}, facts_of_release.get("shares") or {}, told.get("live_shares") or {}
        ),
        "models": _models(evaluation, drawn),
        "data": data_section(told.get("data") or {}),
        "engagement": engagement_section(told.get("earnings")),
        "spent": movable("spent", timings_section(told.get("steps") or ())),
        "trust": trust(evaluation) if evaluation else "",
    }
    names = {
        "verdict": "May it go live?",
        "lists": "Everybody's lists",
        "models": "What the models are worth",
        "data": "Data",
        "engagement": "Engagement",
        "spent": "Time and memory",
    }
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in names.items() if parts[name])
    about = {
        title: str(told[key])
        for title, key in (
            ("release", "release"),
            ("cutoff", "as_of"),
            ("made", "generated_at"),
            ("snapshot", "snapshot"),
            ("run", "run"),
        )
        if told.get(key)
    }
    head = f"<h1>Build of {escape(str(told['as_of']))}</h1>{facts(about)}<nav><ul>{links}</ul></nav>"
    return page(f"Build {told['release']}", [head, _overruled(told.get("overruled") or ()), *parts.values()])


def _overruled(lines: Sequence[str]) -> str:
    found = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<p>Settings recorded with this cutoff replaced the current settings:</p><ul>{found}</ul>" if found else ""


def _models(evaluation: Mapping[str, Any], drawn: str | None) -> str:
    if not evaluation:
        return ""
    cut = f"<p>Evaluated on events from {escape(str(evaluation['cut']))} on.</p>" if evaluation.get("cut") else ""
    drawn = drawn or "".join(judgement(evaluation))
    return f'<h2 id="models">What the models are worth</h2>{cut}{drawn}'


def judgement(evaluation: Mapping[str, Any]) -> list[str]:
    """Render the evaluation of the models as sections; the order of keys does not matter."""
    known = [name for name in Surface if name in evaluation["surfaces"]]
    surfaces = {str(name): s for name in known if (s := evaluation["surfaces"][name])["models"]}
    said = _segments(evaluation.get("settings") or {})
    parts = [_in_short(evaluation, surfaces)]
    parts += [_surface(name, surface, f"s{i}", said) for i, (name, surface) in enumerate(surfaces.items())]
    return [
        *parts,
        similar_section(evaluation.get("similar") or {}),
        _gains(evaluation.get("gain") or {}),
        _training(evaluation.get("training") or {}),
        _expectations(surfaces),
    ]


def _head(evaluation: Mapping[str, Any]) -> str:
    counts = evaluation.get("sizes") or {}
    sizes = {k: f"{counts[k]:,}" for k in ("users", "startups", "interactions") if k in counts}
    told = {"snapshot": evaluation["snapshot"], "cutoff": evaluation["as_of"]}
    told |= {"evaluated from": evaluation["cut"]} if "cut" in evaluation else {}
    return f"<h1>What the models are worth here</h1>{facts({**told, **sizes})}"


def _in_short(evaluation: Mapping[str, Any], surfaces: Mapping[str, Any]) -> str:
    if not surfaces:
        return (
            f"<p>Nothing to evaluate by: {escape(evaluation.get('reason', 'no owner has an event after the cut'))}</p>"
        )
    rows = []
    for name, surface in surfaces.items():
        models = {m: groups["overall"] for m, groups in surface["models"].items()}
        seed = models.get(SEED_RECIPE, {})
        told = [models[m]["ndcg"] if m in models else None for m in (SERVED, POPULAR, RANDOM)]
        told += [seed.get("ndcg"), seed.get("against_served")]
        rows.append(
            [
                name,
                _named(surface.get("choice") or {}),
                f"{surface['owners']:,}",
                *map(cell, told),
                cell(models[SERVED]["coverage"], 3) if SERVED in models else "–",
            ]
        )
    head = ["surface", "served by", "owners", "NDCG@10 served", "popular", "random", SEED_TITLE, "the same less served"]
    head.append("coverage")
    links = "".join(f'<li><a href="#s{i}">{escape(name)}</a></li>' for i, name in enumerate(surfaces))
    refused = "".join(
        f"<p>{escape(r['name'])} was refused: {escape(r['reason'])}</p>"
        for r in evaluation.get("second_stage", [])
        if not r["version"]
    )
    nobody = [name for name, s in evaluation["surfaces"].items() if not s["models"]]
    blend = evaluation.get("blend") or {}
    refused += f"<p>The ensemble's blend: {escape(blend_of(blend))}</p>" if blend else ""
    refused += f"<p>No owner to evaluate by: {escape(', '.join(nobody))}.</p>" if nobody else ""
    return (
        grid("Summary: ten places for every owner, evaluated on new items after the cut", head, rows)
        + refused
        + "<p class=note>Brackets are 95% bootstrap intervals over owners. An owner counts when "
        "an item first met after the cut could have been shown. "
        f"{SEED_TITLE[0].upper()}{SEED_TITLE[1:]} is what [ranking] mode = seed would serve to the same owners; below, "
        f"it is {SEED_RECIPE}.</p><nav><ul>{links}</ul></nav>"
    )


def _named(choice: Mapping[str, Any]) -> str:
    """Name what orders the lists of a surface as the tables do, and the cap if there is one."""
    return (ranks(choice) or "") + (f", {CAPPED}" if choice.get("serves") == CAPPED else "")


def _segments(settings: Mapping[str, Any]) -> str:
    """Define the groups of owners (B01-B05)."""
    cold, warm = settings.get("cold_start_threshold", 5), settings.get("warm_user_threshold", 20)
    return (
        f"known: any event before the cut; none: no event before it; cold: fewer than {cold}; warm: fewer than "
        f"{warm}; hot: {warm} and more (of a startup: different people)"
    )


def _surface(name: str, surface: Mapping[str, Any], key: str, said: str) -> str:
    models = surface["models"]
    names = sorted(models, key=lambda m: (m != SERVED, -(models[m]["overall"]["ndcg"]["mean"] or 0)))
    groups = [g for g in _GROUPS if g in models[names[0]]]
    size = (
        f"{surface['owners']:,} owners, {surface['pairs']:,} relevant pairs, "
        f"{surface['catalogue']:,} items to choose from."
    )
    choice = _choice(surface.get("choice"), surface.get("cap", 0.0))
    parts = [
        f'<section id="{key}"><h2>{escape(name)}</h2><p>{size} {choice}</p>',
        _objectives(surface.get("objective"), surface.get("objectives") or {}),
        _accuracy(name, models, names, groups, key, said),
        _reach(name, models, names, key),
    ]
    told = "".join(f"<li>{escape(text)}</li>" for text in claims_of(surface.get("claims") or {}))
    parts += [f"<h3>Expected, and measured here</h3><ul>{told}</ul>"] if told else []
    parts += [
        _ablation(surface.get("ablation") or {}, key),
        exposure_of(surface.get("exposure") or []),
        _calibration(surface.get("calibration") or [], key),
    ]
    tables = "".join(figures_of(group, models, names) for group in groups)
    return "".join(parts) + f"<details><summary>All numbers</summary>{tables}</details></section>"


def _choice(choice: Mapping[str, Any] | None, cap: float) -> str:
    if not choice:
        return ""
    candidates = ", ".join(f"{name} {cell(value)}" for name, value in (choice.get("candidates") or {}).items())
    told = f" NDCG@10 of the candidates: {escape(candidates)}." if candidates else ""
    return f"{escape(served_by(choice, cap))}{told}"


_SUCCESS = {
    "engage": "likes, favorites, applications and interest count, by their gains in [objective]",
    "click": "clicks count beside explicit events",
    "meet": "any new event counts",
}


def success(objective: Mapping[str, Any] | None) -> str:
    """Say what counts as success on a surface, and why."""
    if not objective:
        return ""
    name, pairs = objective["decides"], objective["pairs"]
    counts = ", ".join(f"{kind} {n:,}" for kind, n in pairs.items())
    why = "" if name == "engage" else f", because fewer than 100 new pairs count under {_STRONGER[name]}"
    return f"Success: {_SUCCESS[name]}{why}. New pairs after the cut: {counts}."


_STRONGER = {"click": "explicit events", "meet": "explicit events and clicks"}


def _objectives(objective: Mapping[str, Any] | None, found: Mapping[str, Mapping[str, Any]]) -> str:
    if not objective or not found:
        return ""
    models = list(dict.fromkeys(m for o in found.values() for m in o["ndcg"]))
    rows = [
        [
            f"{name} (decides)" if name == objective["decides"] else name,
            f"{o['owners']:,}",
            f"{o['pairs']:,}",
            *(cell(o["ndcg"].get(m)) for m in models),
        ]
        for name, o in found.items()
    ]
    table = grid("NDCG@10 by objective", ["objective", "owners", "pairs", *models], rows)
    note = "engage: gains of [objective]; apply: only apply and interest; meet: any new event, by its weight."
    return f"<p>{escape(success(objective))}</p>{table}<p class=note>{note}</p>"


def _accuracy(
    name: str, models: Mapping[str, Any], names: Sequence[str], groups: Sequence[str], key: str, said: str
) -> str:
    panels = {f"{g} ({models[names[0]][g]['owners']:,})": {m: models[m][g]["ndcg"] for m in names} for g in groups}
    svg = plots.dots(panels, names, SERVED, _PLAIN)
    served = models.get(SERVED, models[names[0]])
    best = "; ".join(f"{g} {cell(served[g]['ndcg'])}" for g in groups)
    rows = [
        [
            m,
            "–" if m == SERVED else cell(models[m]["overall"].get("against_served")),
            *(cell(models[m][g]["ndcg"]) for g in groups),
        ]
        for m in names
    ]
    head = ["method", f"overall, {heading('against_served')}", *groups]
    return (
        "<h3>Accuracy</h3>"
        + figure(
            svg,
            f"{key}a",
            f"NDCG@10 of each method by segment on {name}. Served: {best}.",
            f"NDCG@10 with 95% intervals; owners in brackets. Blue: the served lists. {said}.",
        )
        + grid("NDCG@10 by segment", head, rows, SERVED)
    )


def _reach(name: str, models: Mapping[str, Any], names: Sequence[str], key: str) -> str:
    overall = {m: models[m]["overall"] for m in names}
    panels = {METRICS[f][0]: {m: o.get(f) for m, o in overall.items()} for f in _BARS}
    panels = {title: values for title, values in panels.items() if any(v is not None for v in values.values())}
    served = ", ".join(
        f"{title} {plots.short(v)}" for title, values in panels.items() if (v := values.get(SERVED)) is not None
    )
    note = (
        "Coverage: share of the catalogue shown to any owner. Gini of exposure: 0 all items alike, 1 one item "
        "takes everything. Novelty: how few owners had met the shown items. Diversity: share of a list's pairs that "
        "differ in category. Age: of shown items, at the cut."
    )
    return "<h3>Exposure and spread</h3>" + figure(
        plots.bars(panels, names, SERVED, _PLAIN), f"{key}b", f"Reach and spread on {name}. Served: {served}.", note
    )


def _ablation(effects: Mapping[str, Mapping[str, float | None]], key: str) -> str:
    if not effects:
        return ""
    names = sorted(effects, key=lambda n: effects[n]["mean"] or 0)
    svg = plots.dots({"change of NDCG@10 without it": effects}, names, zero=True)
    rows = [[n, cell(effects[n])] for n in names]
    return (
        "<h3>Ablation</h3>"
        + figure(
            svg,
            f"{key}c",
            f"Change of NDCG@10 without a feature group; largest loss: {names[0]}.",
            "Left of the line: the group helps. Across the line: no measurable difference.",
        )
        + grid("Paired difference of NDCG@10 when left out", ["feature group", "difference"], rows)
    )


def _calibration(bins: Sequence[Mapping[str, float]], key: str) -> str:
    if not bins:
        return ""
    rows = [[f"{b['score']:.4f}", f"{b['rate']:.4f}", f"{b['count']:,}"] for b in bins]
    low, high = bins[0]["rate"], bins[-1]["rate"]
    return (
        "<h3>Do higher scores mean more hits?</h3>"
        + figure(
            plots.calibration(bins),
            f"{key}d",
            f"Hit rate by score: {low:.4f} in the lowest bin, {high:.4f} in the highest.",
            "Scores order a list and are not probabilities: the line should rise, not follow a diagonal.",
        )
        + grid("Scores and hit rates", ["mean score", "hit rate", "pairs"], rows)
    )


def _gains(gains: Mapping[str, Mapping[str, float]]) -> str:
    parts = []
    for i, (name, gain) in enumerate(gains.items()):
        names = sorted(gain, key=lambda n: (-gain[n], n))
        label = f"Share of the trees' gain by column, {name}; most: {', '.join(names[:3])}."
        svg = plots.bars({"share of the gain": gain}, names)
        parts.append(
            f"<h3>{escape(name)}</h3>"
            + figure(svg, f"g{i}", label, "How much the trees' loss fell at splits by this column.")
        )
    return f"<section><h2>Features of the learned ranker</h2>{''.join(parts)}</section>" if parts else ""


def _training(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    curves = {name: c for name, c in curves.items() if c.get("loss") or c.get("watched")}
    if not curves:
        return ""
    ends = {name: (c["loss"][0], c["loss"][-1]) for name, c in curves.items() if c.get("loss")}
    told = "; ".join(f"{name}: loss from {first:.4g} to {last:.4g}" for name, (first, last) in ends.items())
    return (
        "<section><h2>Training</h2>"
        + figure(
            plots.curves(curves),
            "t",
            f"Training curves. {told}.",
            "Black: mean loss of an epoch. Blue: held-out figure for early stopping.",
        )
        + "</section>"
    )


def _expectations(surfaces: Mapping[str, Any]) -> str:
    told = expectations_of(surfaces)
    note = "The requirements name no data set, split or candidates for these figures."
    return f"<section><h2>Expectations</h2><p>{note}</p>{told}</section>" if told else ""


def trust(evaluation: Mapping[str, Any]) -> str:
    """Render the evaluation protocol, the leak checks and the settings."""
    rules = "".join(f"<li>{escape(text)}</li>" for text in PROTOCOL)
    found = f"<h2>Evaluation protocol</h2><ul>{rules}</ul>" if evaluation["surfaces"] else ""
    leaks = "".join(f"<li>{escape(text)}</li>" for text in evaluation.get("leaks", []))
    found += f"<h2>Leak checks</h2><p>All passed; a failed check ends the run.</p><ul>{leaks}</ul>" if leaks else ""
    settings = {k: str(v) for k, v in (evaluation.get("settings") or {}).items()}
    found += f"<h2>Settings</h2><details><summary>All</summary>{facts(settings)}</details>" if settings else ""
    return f"<section>{found}</section>" if found else ""
