"""Check that every library of a requirements file and every module of ours can be imported.

The exit status is 1 if any fails; their names are printed. Each library gets its own process, so that it cannot supply
what another one lacks.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

OURS = ("models", "pipelines", "serving", "local", "sql")
RUN_BY_IMPORT = {"serving.wsgi", "pipelines.__main__"}  # importing them starts a program
NO_MODULE = {"apache-airflow", "apache-airflow-providers-celery", "apache-airflow-providers-standard"}  # see PROVIDERS
PROVIDERS = (
    "airflow",
    "airflow.providers.celery.executors.celery_executor",
    "airflow.providers.standard.operators.python",
)


def main(requirements: Path) -> int:
    """Return exit status 0 if everything could be imported."""
    groups = [*([library] for library in [*_libraries(requirements), *PROVIDERS]), *_ours(), _dags()]
    broken = [group for group in groups if not _come(group)]
    if broken:
        print(f"cannot be imported here: {'; '.join(', '.join(group) for group in broken)}", file=sys.stderr)
        return 1
    print(f"{sum(map(len, groups))} modules can be imported")
    return 0


def _libraries(requirements: Path) -> Iterator[str]:
    """Return the top-level modules of every distribution in the file.

    Exits with an error for a distribution without modules.
    """
    modules: dict[str, list[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(_normal(distribution), []).append(module)
    for line in requirements.read_text().splitlines():
        if found := re.match(r"[A-Za-z0-9._-]+", line):
            name = _normal(found[0])
            if name not in NO_MODULE:
                yield from sorted({m for m in modules.get(name, [name]) if m.isidentifier() and m[0] != "_"})


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _ours() -> Iterator[list[str]]:
    """Return our modules, one list for each package."""
    for name in OURS:
        package = importlib.import_module(name)
        modules = [m.name for m in pkgutil.walk_packages(package.__path__, f"{name}.") if m.name not in RUN_BY_IMPORT]
        yield from ([name, *group] for _, group in groupby(sorted(modules), key=lambda m: m.split(".")[1]))


def _dags() -> list[str]:
    """Return the names of the DAG files. Airflow puts their folder on the path."""
    folder = Path(importlib.import_module("models").__path__[0]).with_name("dags")
    sys.path.insert(0, str(folder))
    return sorted(path.stem for path in folder.glob("*.py"))


def _come(modules: list[str]) -> bool:
    """Return whether a new process can import all these modules. Prints the first failure."""
    child = os.fork()
    if child == 0:
        for module in modules:
            try:
                importlib.import_module(module)
            except BaseException:  # any failure counts: this process exists for this check
                traceback.print_exc()
                print(f"{module} cannot be imported", file=sys.stderr, flush=True)
                os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
