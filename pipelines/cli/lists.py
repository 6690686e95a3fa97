"""Give the lists of a release: `lists` prints those of a surface, or writes all to files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.profile_text import text_of
from models.errors import DataError
from models.lists.ranked_lists import RankedLists
from models.lists.release import Release, popular_list
from models.recommender.surface import open_bundles, open_recommender
from models.schema import LIST_KINDS, TABLE_OF, ListKind, Role, Surface, list_kind
from models.settings.lists_export import LIST_FORMATS
from models.settings.settings import Settings
from models.words import folded
from pipelines.cli import UsageError, from_zero
from pipelines.ingest.rows import table_of
from pipelines.list_files import EVERYBODY, Block, ListedKind, blocks, export_lists, names_of
from pipelines.publish.history import release_of
from pipelines.score.shards import score_owners
from pipelines.store.artifacts import Artifacts
from pipelines.store.target import Target


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lists = steps.add_parser("lists", help="print one JSON line per owner of a surface, or write all surfaces to files")
    what = lists.add_mutually_exclusive_group(required=True)
    what.add_argument("--surface", choices=[k.value for k in LIST_KINDS], help="print the lists of this surface")
    what.add_argument(
        "--to", metavar="TARGET", help="write all surfaces to a folder, or an fsspec URL (s3://bucket/lists)"
    )
    lists.add_argument("--format", choices=LIST_FORMATS, help="of the files; default: [lists_export] format")
    lists.add_argument("--release", help="default: the live one")
    lists.add_argument("--depth", type=from_zero, default=0, help="places per list; default 0: all that are stored")
    lists.add_argument(
        "--profiles", type=Path, help="a CSV in the layout of users.csv: lists for its rows from their profiles only"
    )
    lists.set_defaults(run=_lists)


def _lists(settings: Settings, args: argparse.Namespace) -> None:
    if args.to and args.profiles:
        raise UsageError("--profiles prints lists; it needs --surface")
    if args.profiles and args.surface not in set(Surface):
        raise UsageError(f"--profiles needs one of the surfaces {', '.join(Surface)}")
    if args.surface and args.format:
        raise UsageError("--format is of files; it needs --to")
    release = release_of(settings, args.release)
    if args.to:
        form = args.format or settings.lists_export.format
        print(json.dumps(export_lists(settings, release, Target(args.to), form, args.depth), indent=1))
        return
    for block in _printed(settings, release, list_kind(args.surface), args.profiles, args.depth):
        sys.stdout.writelines(block.lines())


def _printed(
    settings: Settings, release: Release, kind: ListKind, profiles: Path | None, depth: int
) -> Iterator[Block]:
    if profiles is None:
        for _, found in blocks(settings, release, depth, kind):
            yield from found
        return
    entities = entities_of(Artifacts(settings).open_bundle(CATALOGUE, release.bundles[CATALOGUE]))
    surface = Surface(kind)
    there = ListedKind(surface, entities, names_of(settings, entities))
    owners, lists = from_profiles(settings, release, surface, profiles)
    yield from there.of(lists, depth, owners.tolist())
    popular = popular_list(Artifacts(settings).directory(release.id), release, surface)
    yield from there.of(popular, depth, [EVERYBODY])


def from_profiles(
    settings: Settings, release: Release, surface: Surface, path: Path
) -> tuple[NDArray[Any], RankedLists]:
    """Return lists for the rows of a users.csv (or startups.csv), as the live fallback would make them."""
    key = f"{surface.owner}_id"
    table = table_of(path, TABLE_OF[surface.owner].names).to_pandas()
    if key not in table:
        raise DataError(f"{path} must have a column {key}, got {', '.join(table.columns)}")
    recorded = settings.with_recorded(release.settings)
    recipe = open_recommender(surface, open_bundles(settings.artifacts, release.bundles, recorded), recorded)
    mine = table
    if "role" in table and key == "user_id":
        mine = table[table["role"].map(lambda word: not folded(word) or Role.of(word) is surface.role).astype(bool)]
    owners = recipe.unseen_owners(
        [
            text_of(recipe.owners.known_fields({str(k): str(v) for k, v in row.items()}))
            for row in mine.to_dict("records")
        ]
    )
    out = (mine["opted_out_at"].str.strip() != "").to_numpy() if "opted_out_at" in mine else owners.opted_out
    return mine[key].to_numpy(str), score_owners(recipe, replace(owners, opted_out=out))
