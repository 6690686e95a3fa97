"""Run one step without Airflow: `python -m pipelines <step>`.

Data goes to stdout, progress and logs to stderr. Exit status: 0 done, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import pkgutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from local.servers import servers
from models.errors import MatchbookError, file_error
from models.settings.settings import Settings
from pipelines import cli as commands
from pipelines.store.mirror import EVERY, pull, push


def parser() -> argparse.ArgumentParser:
    """Build the parser from every module of `pipelines/cli` that has a `register`."""
    top = argparse.ArgumentParser(
        prog="python -m pipelines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = top.add_subparsers(dest="step", metavar="STEP", required=True)
    for module in sorted(m.name for m in pkgutil.iter_modules(commands.__path__)):
        found = importlib.import_module(f"pipelines.cli.{module}")
        if hasattr(found, "register"):
            found.register(steps)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step. Report an expected error as one line on stderr and return 1, or 2 for wrong use."""
    args = parser().parse_args(argv)
    try:
        settings = Settings.from_env()
        logging.basicConfig(
            level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
        with servers(settings) if getattr(args, "needs_servers", True) else nullcontext(settings) as ready:
            pull(ready, EVERY)
            done = int(args.run(ready, args) or 0)
            push(ready, EVERY)
            return done
    except MatchbookError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2 if isinstance(error, commands.UsageError) else 1
    except KeyboardInterrupt:
        print("interrupted; no partial result is visible, run it again", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        found = file_error(error)
        print(f"{type(found).__name__}: {found}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
