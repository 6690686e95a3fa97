"""Make a temporary Airflow with SQLite metadata. Its home is set before anything imports airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from tests import session
from tests.paths import ROOT

DAGS = ROOT / "dags"
HOME = session.memory_folder()  # SQLite waits for a disk at every commit
CONFIGURATION = f"""[core]
dags_folder = {DAGS}
load_examples = False
[database]
sql_alchemy_conn = sqlite:///{HOME}/airflow.db
[logging]
base_log_folder = {HOME}/logs
logging_level = WARNING
"""

(HOME / "airflow.cfg").write_text(CONFIGURATION)
os.environ["AIRFLOW_HOME"] = str(HOME)
sys.path.insert(0, str(DAGS))


@pytest.fixture(scope="session")
def airflow_metadata() -> Path:
    """Return the home of an Airflow with a metadata database."""

    def migrate(folder: Path) -> None:
        folder.mkdir()
        where = {"PYTHONPATH": str(ROOT), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db"}
        command = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
        migrated = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **where})
        assert migrated.returncode == 0, migrated.stderr

    shutil.copy(session.once("airflow-metadata", migrate) / "airflow.db", HOME)
    return HOME


@pytest.fixture(scope="session")
def read_dags() -> Callable[[], dict[str, Any]]:
    """Read the folder like Airflow's DAG processor: DAG by id. A file that cannot be read fails the test."""
    import airflow  # noqa: F401  first, or the next import goes round in a circle
    from airflow.dag_processing.dagbag import DagBag

    def read() -> dict[str, Any]:
        for name in [n for n in sys.modules if n.startswith("matchbook_tasks")]:
            del sys.modules[name]  # a run leaves its parameters in the Param objects that DAGs share
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Airflow reads .airflowignore with a renamed class
            bag = DagBag(DAGS)
        assert bag.import_errors == {}
        return dict(bag.dags)

    return read


@pytest.fixture(scope="session")
def dags(read_dags: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return every DAG of the folder. Tests must not change them."""
    return read_dags()


@pytest.fixture
def metadata(airflow_metadata: Path, tmp_path: Path) -> Any:
    """Return an engine over a copy of the migrated metadata, and its tables."""
    copy = tmp_path / "airflow.db"
    copy.write_bytes((airflow_metadata / "airflow.db").read_bytes())
    engine, tables = create_engine(f"sqlite:///{copy}"), MetaData()
    tables.reflect(engine)
    yield engine, tables.tables
    engine.dispose()
