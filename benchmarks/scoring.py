"""Lists a second on one thread: this checkout and a commit BASE, in turns, on the release of a home.

python -m benchmarks.scoring HOME [--base main] [--owners 1024] [--rounds 5] [--set MATCHBOOK_RANKER=rules]

Each turn is a process. It makes the lists of some owners of every surface, without the other steps of a build. The rate
is the number of owners divided by the least CPU time of all rounds, so that other load matters little.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.same_lists import ROOT, checkout, run

#: Runs in either checkout; prints one JSON line per surface.
TURN = """
import json, sys, time, zlib
from dataclasses import replace
from pathlib import Path
from models.recommender.surface import open_bundles, open_recommender
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.score.shards import score_owners

home, release, most = Path(sys.argv[1]) / "artifacts", sys.argv[2], int(sys.argv[3])
settings = replace(Settings.from_env(), home=home.parent, threads=1)
about = json.loads((home / "releases" / release / "manifest.json").read_text())
bundles = open_bundles(home, about["bundles"], settings)
events = Snapshot.open(home / "snapshots" / about["snapshot"]).interactions()
for surface in Surface:
    recipe = open_recommender(surface, bundles, settings)
    owners = recipe.batch(recipe.owners.owners_of(surface)[:most], events)
    if not len(owners) or not len(recipe.catalogue):
        continue
    score_owners(recipe, owners.part(0, 256))
    start = time.process_time()
    lists = score_owners(recipe, owners)
    used = time.process_time() - start
    ranker = "off" if recipe.ranker is None else recipe.ranker.name
    print("TURN " + json.dumps([f"{surface.value} {ranker} {len(recipe.catalogue)}", used / len(owners) * 1e6,
                                zlib.crc32(lists.item.tobytes())]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path)
    parser.add_argument("--release", help="default: the newest")
    parser.add_argument("--base", default="main", help="a commit")
    parser.add_argument("--owners", type=int, default=1024, help="owners of each surface")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable for both")
    args = parser.parse_args()
    release = args.release or max((args.home / "artifacts" / "releases").iterdir()).name
    arguments = [str(args.home.absolute()), release, str(args.owners)]
    given = {
        "MATCHBOOK_HOME": arguments[0],
        "OPENBLAS_NUM_THREADS": "1",
        **dict(pair.split("=", 1) for pair in args.set),
    }
    best: dict[str, dict[str, float]] = {}
    made: dict[str, set[int]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="matchbook-scoring-") as folder,
        checkout(args.base, Path(folder) / "b") as b,
    ):
        for name, code in (("base", b), ("here", ROOT)) * args.rounds:
            for line in run(code, given, [sys.executable, "-c", TURN, *arguments]).splitlines():
                if line.startswith("TURN "):
                    what, us, items = json.loads(line[5:])
                    best.setdefault(what, {})[name] = min(us, best.get(what, {}).get(name, us))
                    made.setdefault(what, set()).add(items)
    sys.stdout.write(f"| surface, ranker, items | {args.base}, owners/s | here, owners/s | ratio | same items |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    for what, us in best.items():
        sys.stdout.write(
            f"| {what} | {1e6 / us['base']:,.0f} | {1e6 / us['here']:,.0f} | {us['base'] / us['here']:.2f} "
            f"| {'yes' if len(made[what]) == 1 else 'no'} |\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
