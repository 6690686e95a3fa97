"""Deploy docker-compose.yml: build the image, start everything, kill, restart, use both profiles.

Each test continues from the state that the test before left. Without a container engine they are skipped with the
reason. `make test-compose` runs them.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import containers
from tests.e2e.conftest import free_ports
from tests.e2e.containers import Project, run
from tests.marketplace.tiny import identity, write_tiny_marketplace
from tests.waiting import until

pytestmark = [pytest.mark.compose, pytest.mark.skipif(bool(containers.lacking()), reason=containers.lacking())]
AIRFLOW = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
SERVERS = ("postgres", "redis")
OWNER = identity("user", 1)  # a developer
BUCKET = "matchbook-test"
SMALL = {"MATCHBOOK_RANKER_CUTS": "2", "MATCHBOOK_SHARDS": "2", "MATCHBOOK_TWO_TOWER_EPOCHS": "1"}
#: An S3 storage for the profile `workers`: moto's server from this environment.
STORAGE = {
    "image": "matchbook:test",
    "command": ["python", "-m", "moto.server", "-H", "0.0.0.0", "-p", "9000"],
    "environment": {"PYTHONPATH": "/site"},
    "profiles": ["workers"],
    "volumes": [f"{next(p for p in sys.path if p.endswith('site-packages'))}:/site:ro"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield the built image and the .env of the guide, with nothing running. Remove all at the end."""
    with containers.engine_running():
        try:
            folder = containers.checked_out(tmp_path_factory.mktemp("checkout"))
        except LookupError as reason:
            pytest.skip(str(reason))
        found = Project(folder, f"matchbook-test-{uuid.uuid4().hex[:6]}", ["docker-compose.yml", "test.yml"])
        run(["sh", "docker/new-env.sh"], cwd=folder)
        ports = zip(("READER_PORT", "AIRFLOW_PORT", "BALANCER_PORT"), free_ports(3), strict=True)
        _add_to_env(folder, {"MATCHBOOK_IMAGE": "matchbook:test", **{name: str(port) for name, port in ports}})
        services = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]
        built = {name: {"environment": SMALL} for name in services if name.startswith(("airflow", "prepare", "reader"))}
        (folder / "test.yml").write_text(json.dumps({"services": {**built, "storage": STORAGE}}))
        before = found.volumes()
        run(["docker", "build", "--network", "host", "--tag", "matchbook:test", "."], cwd=folder)
        try:
            yield found
        finally:
            found.compose(
                "--profile", "two-readers", "--profile", "workers", "down", "--volumes", "--timeout", "5", check=False
            )
            assert found.volumes() == before, "`down --volumes` left volumes behind"


def _add_to_env(folder: Path, more: dict[str, str]) -> None:
    with (folder / ".env").open("a") as env:
        env.writelines(f"{name}={value}\n" for name, value in more.items())


def environment(project: Project) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (project.folder / ".env").read_text().splitlines())


def asked(project: Project, path: str, key: str = "", port: str = "READER_PORT") -> tuple[int, Any]:
    """Return status and JSON of a request to the reader. Status 0 means no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(environment(project)[port]), timeout=10)
    try:
        connection.request("GET", path, headers={"X-API-Key": key} if key else {})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body.startswith(b"{") else body
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()


def of_owner(project: Project, key: str, owner: str = OWNER, port: str = "READER_PORT") -> tuple[int, Any]:
    return asked(project, f"/api/recommendations/startups/for-developer/{owner}", key, port)


@contextmanager
def watched(ask: Callable[[], int]) -> Iterator[list[int]]:
    """Send requests in a loop in the background. Yield their statuses."""
    statuses, over = list[int](), threading.Event()

    def loop() -> None:
        while not over.is_set():
            statuses.append(ask())
            time.sleep(0.05)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_the_image_runs_unprivileged_and_holds_nothing_that_tests(project: Project) -> None:
    asking = "id -u; python -m pip list"
    told = run(["docker", "run", "--rm", "--network", "none", "matchbook:test", "sh", "-c", asking]).stdout
    held = {line.split()[0].lower() for line in told.splitlines()[3:] if line}
    assert told.startswith("10001\n") and {"flask", "implicit", "lightgbm", "s3fs"} <= held
    assert not held & {"pytest", "mypy", "ruff", "hypothesis", "schemathesis", "moto", "import-linter", "ir-measures"}


def test_what_an_image_lacks_fails_its_build(project: Project) -> None:
    """The same check fails in an image without libgomp."""
    text = (
        "FROM matchbook:test\nUSER 0\nRUN rm -f /usr/lib/*/libgomp.so.1*\n"
        "RUN AIRFLOW_HOME=/tmp/a MATCHBOOK_HOME=/tmp/a python docker/imports.py requirements.in\n"
    )
    broken = run(["docker", "build", "--quiet", "-"], input=text, check=False)
    assert broken.returncode != 0
    told = broken.stdout + broken.stderr
    assert "implicit" in told.rpartition("cannot be imported here")[2] and "lightgbm" in told


def test_from_nothing_to_lists(project: Project, tmp_path: Path, key: list[str]) -> None:
    """Run the guide's commands in order. Only the owner can read the files of the data folder."""
    project.compose("up", "--detach")
    project.wait_until_healthy(*SERVERS, *AIRFLOW, "reader")
    for once in ("roles", "prepare"):
        assert project.inspect(once)["State"]["ExitCode"] == 0
    data = write_tiny_marketplace(tmp_path / "data")
    for file in data.iterdir():
        file.chmod(0o600)
    packed = shutil.make_archive(str(tmp_path / "data"), "tar", data)
    with Path(packed).open("rb") as sent:
        told = project.compose("run", "--rm", "--no-deps", "-T", "load", stdin=sent).stdout
    assert "36" in told and "418" in told
    made = project.inside("airflow-scheduler", "python", "-m", "pipelines", "keys", "add", "test").stdout
    key.append(json.loads(made)["key"])
    told = project.inside("airflow-scheduler", "python", "-m", "pipelines", "first-build").stdout
    assert "publish" in told
    status, body = until(lambda: _served(project, key[0]), 60, lambda: project.log("reader"))
    assert status == 200 and body["source"] == "cache" and body["startups"]
    first = _psql(
        project,
        "airflow",
        "AIRFLOW",
        "airflow",
        "SELECT run_id FROM dag_run WHERE dag_id = "
        "'build_recommendations' AND start_date IS NOT NULL ORDER BY start_date LIMIT 1",
    )
    assert first.startswith("first_build"), "another run came first"


def _release(project: Project, key: str) -> str:
    """Return the release that the reader serves, or an empty text."""
    status, body = of_owner(project, key)
    return str(body["release"]) if status == 200 else ""


def _served(project: Project, key: str) -> tuple[int, Any] | None:
    status, body = of_owner(project, key)
    return (status, body) if status == 200 and body["source"] == "cache" and not body["degraded"] else None


def _computed(project: Project, key: str, owner: str) -> Any:
    """Return the answer if it has a live list, else None."""
    status, body = of_owner(project, key, owner)
    return body if status == 200 and body["source"] == "live" else None


@pytest.fixture(scope="module")
def key() -> list[str]:
    """Hold the API key after it was made."""
    return []


def test_an_unseen_owner_with_a_profile_gets_a_personal_list(project: Project, key: list[str]) -> None:
    """The live fallback uses bundles of the volume and PostgreSQL with the reader's own rights."""
    stranger = str(uuid.uuid4())
    _sql(project, _PERSON.format(stranger))
    body = until(lambda: _computed(project, key[0], stranger), 60, lambda: project.log("reader"))
    assert body["startups"] and not body["degraded"] and body["known"]
    assert "refused" not in project.log("reader")


def test_each_part_logs_in_as_itself_and_may_do_no_more(project: Project) -> None:
    env = environment(project)
    assert _psql(project, "matchbook_reader", "READER", "matchbook", "SELECT count(*) FROM matchbook_users") == "37"
    for words in (
        ("matchbook_reader", "READER", "matchbook", "SELECT * FROM matchbook_erasure_key"),
        ("matchbook_reader", "READER", "matchbook", "DELETE FROM users"),
        ("matchbook_pipeline", "PIPELINE", "matchbook", "DROP TABLE matchbook_events"),
        ("matchbook_pipeline", "PIPELINE", "matchbook", "DELETE FROM users"),
        ("airflow", "AIRFLOW", "airflow", "CREATE ROLE another"),
        ("airflow", "AIRFLOW", "matchbook", "SELECT 1"),
        ("matchbook_reader", "READER", "airflow", "SELECT 1"),
        ("matchbook_pipeline", "PIPELINE", "airflow", "SELECT 1"),
        ("matchbook_reader", "AIRFLOW", "matchbook", "SELECT 1"),
    ):
        with pytest.raises(AssertionError, match=r"permission denied|must be owner|authentication failed"):
            _psql(project, *words)
    assert "matchbook_owner" not in _psql(
        project, "matchbook_reader", "READER", "matchbook", "SELECT rolname FROM pg_roles WHERE rolsuper"
    )
    for user, asked in (
        ("reader", ("set", "matchbook:current", "x")),
        ("reader", ("flushall",)),
        ("reader", ("get", "matchbook-tasks:x")),
        ("celery", ("get", "matchbook:current")),
        ("pipeline", ("config", "get", "*")),
    ):
        assert "NOPERM" in _redis(project, user, env[f"REDIS_{user.upper()}_PASSWORD"], *asked), (user, asked)
    assert "NOAUTH" in _redis(project, "default", "", "ping")


def _psql(project: Project, role: str, part: str, database: str, statement: str) -> str:
    password = environment(project)[f"POSTGRES_{part}_PASSWORD"]
    return run(
        [
            "docker",
            "exec",
            "-e",
            f"PGPASSWORD={password}",
            project.container("postgres"),
            "psql",
            "-qtA",
            "-h",
            "127.0.0.1",
            "-U",
            role,
            "-d",
            database,
            "-c",
            statement,
        ]
    ).stdout.strip()


def _sql(project: Project, statement: str) -> str:
    """Run a statement as the owner of the platform's tables."""
    return _psql(project, "matchbook_owner", "OWNER", "matchbook", statement)


def _redis(project: Project, user: str, password: str, *words: str) -> str:
    login = ["--user", user] if user != "default" else []
    entered = ["docker", "exec", "-e", f"REDISCLI_AUTH={password}", project.container("redis")]
    done = run([*entered, "valkey-cli", *login, *words], check=False)
    return done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can kill a container's process as the kernel would")
@pytest.mark.parametrize("service", [*SERVERS, "reader"])
def test_a_killed_container_comes_back_by_itself(project: Project, key: list[str], service: str) -> None:
    before = project.inspect(service)["RestartCount"]
    with watched(lambda: of_owner(project, key[0])[0]) as statuses:
        project.kill(service)
        until(
            lambda: project.inspect(service)["RestartCount"] > before and project.healthy(service),
            120,
            lambda: project.log(service),
        )
        until(lambda: _served(project, key[0]), 60, lambda: project.log("reader"))
    if service in SERVERS:
        assert set(statuses) == {200}, "the reader answers whatever is down"


def test_the_parts_may_do_all_that_they_need(project: Project) -> None:
    """After builds, drains and answers, Redis refused only the commands of the test above."""
    refused = _redis(project, "pipeline", environment(project)["REDIS_PIPELINE_PASSWORD"], "acl", "log", "128")
    entries = [line for line in refused.splitlines() if "cmd=" in line and "redis-cli" not in line]
    assert not entries, refused
    assert "NOPERM" not in project.compose("logs", check=False).stdout


def test_two_readers_and_a_balancer_that_finds_them_again(project: Project, key: list[str]) -> None:
    up = ("--profile", "two-readers", "up", "--detach", "--no-deps")
    project.compose(*up, "reader", "reader-2")
    project.wait_until_healthy("reader", "reader-2")
    project.compose(*up, "balancer")
    project.wait_until_healthy("balancer")
    assert of_owner(project, key[0], port="BALANCER_PORT")[0] == 200
    with watched(lambda: of_owner(project, key[0], port="BALANCER_PORT")[0]) as statuses:
        project.compose("--profile", "two-readers", "stop", "--timeout", "10", "reader-2")
    assert set(statuses) == {200}, "one reader went, the other answers"
    old = {service: project.addresses(service) for service in ("reader", "reader-2")}
    project.compose("--profile", "two-readers", "rm", "--stop", "--force", "reader", "reader-2")
    squatters = [_squat(project) for _ in range(2)]  # the readers must not get their old addresses again
    try:
        project.compose(*up, "reader", "reader-2")
        assert not {a for s in old for a in project.addresses(s)} & {a for found in old.values() for a in found}
        until(lambda: of_owner(project, key[0], port="BALANCER_PORT")[0] == 200, 60, lambda: project.log("balancer"))
    finally:
        run(["docker", "rm", "--force", *squatters])


def _squat(project: Project) -> str:
    (network,) = project.inspect("redis")["NetworkSettings"]["Networks"]
    return run(["docker", "run", "--detach", "--network", network, "matchbook:test", "sleep", "600"]).stdout.strip()


def test_down_and_up_with_workers_over_object_storage(project: Project, key: list[str]) -> None:
    """The release outlives its containers. Then two workers share S3, PostgreSQL and Redis."""
    release = until(lambda: _release(project, key[0]), 60, lambda: project.log("reader"))
    project.compose("--profile", "two-readers", "down", "--timeout", "20")
    _add_to_env(
        project.folder,
        {
            "AIRFLOW_EXECUTOR": "CeleryExecutor",
            "MATCHBOOK_ARTIFACTS": f"s3://{BUCKET}/matchbook",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": "http://storage:9000",
        },
    )
    project.compose("--profile", "workers", "up", "--detach", "--no-deps", "storage")
    _in_storage(project, f"s3.create_bucket(Bucket={BUCKET!r})")
    project.compose("--profile", "workers", "up", "--detach", "--scale", "airflow-worker=2")
    assert until(lambda: _release(project, key[0]), containers.PATIENCE_S, lambda: project.log("reader")) == release
    project.wait_until_healthy(*SERVERS, *AIRFLOW, "airflow-worker", "reader")
    project.inside("airflow-scheduler", "python", "-m", "pipelines", "copy-artifacts", "/var/lib/matchbook/artifacts")
    assert f"releases/{release}/.complete" in _in_storage(project, _LIST)
    as_of = "2024-04-20T00:00:00+00:00"
    project.inside(
        "airflow-scheduler",
        "airflow",
        "dags",
        "trigger",
        "build_recommendations",
        "--run-id",
        "by_workers",
        "--conf",
        json.dumps({"as_of": as_of, "force": True}),
    )
    until(lambda: _release(project, key[0]) not in ("", release), 600, lambda: project.log("airflow-worker"))
    assert _release(project, key[0]).startswith("20240420T000000Z")
    stranger = str(uuid.uuid4())
    _sql(project, _PERSON.format(stranger))
    until(lambda: _computed(project, key[0], stranger), 60, lambda: project.log("reader"))
    assert "NOPERM" not in project.compose("logs", check=False).stdout


_PERSON = "INSERT INTO users (id, role, headline, skills) VALUES ('{}', 'developer', 'genomics', 'lab')"
_LIST = (
    f"pages = s3.get_paginator('list_objects_v2').paginate(Bucket={BUCKET!r}); "
    "print([found['Key'] for page in pages for found in page['Contents']])"
)


def _in_storage(project: Project, statement: str) -> str:
    code = (
        "import boto3; s3 = boto3.client('s3', endpoint_url='http://127.0.0.1:9000', aws_access_key_id='test', "
        f"aws_secret_access_key='test', region_name='us-east-1'); {statement}"
    )
    with suppress(AssertionError):
        until(lambda: project.inside("storage", "python", "-c", code, check=False).returncode == 0, 60)
    return project.inside("storage", "python", "-c", code).stdout


def test_down_leaves_nothing_of_anybody_outside_the_named_volumes(project: Project) -> None:
    project.compose("--profile", "workers", "down", "--timeout", "20")
    ours = {volume for volume in project.volumes() if volume.startswith(project.name)}
    named = ("postgres-data", "redis-data", "matchbook-home", "airflow-home")
    assert ours == {f"{project.name}_{name}" for name in named}
