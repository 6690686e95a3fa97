"""Import every library that a requirements file names and every module of ours; exit 1 naming those that do not come.

Each library in a process of its own: what one loads must not stand in for what another one lacks.
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

OURS = ("models", "pipelines", "serving", "sql")
RUN_BY_IMPORT = {"serving.wsgi", "pipelines.__main__"}  # they start what they are named after
NO_MODULE = {"apache-airflow", "apache-airflow-providers-celery", "apache-airflow-providers-standard"}  # by name below
PROVIDERS = (
    "airflow",
    "airflow.providers.celery.executors.celery_executor",
    "airflow.providers.standard.operators.python",
)


def main(requirements: Path) -> int:
    """Exit status 0 where everything could be imported."""
    groups = [*([library] for library in [*_libraries(requirements), *PROVIDERS]), *_ours(), _dags()]
    broken = [group for group in groups if not _come(group)]
    if broken:
        print(f"cannot be imported here: {'; '.join(', '.join(group) for group in broken)}", file=sys.stderr)
        return 1
    print(f"{sum(map(len, groups))} modules can be imported")
    return 0


def _libraries(requirements: Path) -> Iterator[str]:
    """The top-level modules of every distribution that the file names. A distribution without any is an error."""
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
    """The modules of ours, a list a package."""
    for name in OURS:
        package = importlib.import_module(name)
        modules = [m.name for m in pkgutil.walk_packages(package.__path__, f"{name}.") if m.name not in RUN_BY_IMPORT]
        yield from ([name, *group] for _, group in groupby(sorted(modules), key=lambda m: m.split(".")[1]))


def _dags() -> list[str]:
    """The files that Airflow reads, by their names: its folder of DAGs is on the path of whoever reads them."""
    folder = Path(importlib.import_module("models").__path__[0]).with_name("dags")
    sys.path.insert(0, str(folder))
    return sorted(path.stem for path in folder.glob("*.py"))


def _come(modules: list[str]) -> bool:
    """Whether a new process can import them all; it says which one it cannot."""
    child = os.fork()
    if child == 0:
        for module in modules:
            try:
                importlib.import_module(module)
            except BaseException:  # whatever it is: this process was made to find out
                traceback.print_exc()
                print(f"{module} cannot be imported", file=sys.stderr, flush=True)
                os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
