"""Check docker-compose.yml: published schema, no default secret, no root, pinned, health-checked."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from models.settings.declared import DECLARED, variables
from tests.paths import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {"roles", "prepare", "load"}  # they run once and end
#: Services that may have a secret, by part of the variable's name.
KNOWN_TO = {
    "POSTGRES_PASSWORD": {"postgres", "roles"},
    "POSTGRES_OWNER_PASSWORD": {"roles", "prepare", "load"},
    "POSTGRES_READER_PASSWORD": {"roles", "reader", "reader-2"},
    "REDIS_READER_PASSWORD": {"redis", "reader", "reader-2"},
    "AIRFLOW_ADMIN_PASSWORD": {"prepare", "load"},
    "AIRFLOW_CONSOLE_PASSWORD": {"prepare", "load", "reader", "reader-2"},
}
FROM_READERS = ("POSTGRES_PIPELINE", "POSTGRES_AIRFLOW", "REDIS_PIPELINE", "REDIS_CELERY", "AIRFLOW_")
SCHEMA = json.loads((Path(__file__).parent / "compose-spec" / "compose-spec.json").read_text())


def test_it_keeps_to_the_published_schema() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(COMPOSE)


def test_the_schema_would_notice_a_mistake() -> None:
    broken = {**COMPOSE, "services": {**SERVICES, "reader": {**SERVICES["reader"], "comand": ["x"]}}}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.Draft7Validator(SCHEMA).validate(broken)


def test_every_part_of_the_system_is_there() -> None:
    assert set(SERVICES) == {
        "postgres",
        "redis",
        "prepare",
        "airflow-api-server",
        "airflow-scheduler",
        "airflow-dag-processor",
        "airflow-triggerer",
        "airflow-worker",
        "drain",
        "reader",
        "reader-2",
        "balancer",
        "roles",
        "load",
    }


def test_every_variable_must_be_given_and_the_example_gives_none() -> None:
    """Variables for names, ports, sizes and places have a default. The example has them as comments."""
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)(:.)", TEXT))
    secret, optional = ({name for name, kind in used if kind == wanted} for wanted in (":?", ":-"))
    assert len(secret) + len(optional) == len({name for name, _ in used}) and secret
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)) == secret
    assert set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE)) == optional
    assert not re.findall(r"^[A-Z_]+=.+", example, re.MULTILINE), "an example of a secret ends up in use"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_knows_no_secret_that_it_does_not_need(name: str) -> None:
    given = json.dumps(SERVICES[name].get("environment", {}))
    told = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):\?", given))
    assert not {secret for secret in told if name not in KNOWN_TO.get(secret, {name})}
    if name.startswith("reader"):
        assert {secret for secret in told if secret.startswith(FROM_READERS)} == {"AIRFLOW_CONSOLE_PASSWORD"}


def test_the_environment_file_is_made_and_filled_up(tmp_path: Path) -> None:
    """Existing values stay, new variables get a value, and only the owner may read the file."""
    for part in (".env.example", "docker/new-env.sh"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).write_text((ROOT / part).read_text())
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=mine\nREDIS_READER_PASSWORD=\nREADER_PORT=5001\n")
    for _ in range(2):
        subprocess.run(["sh", "docker/new-env.sh"], cwd=tmp_path, check=True, capture_output=True)
    lines = (tmp_path / ".env").read_text().splitlines()
    made = dict(line.split("=", 1) for line in lines)
    asked = re.findall(r"^([A-Z_]+)=$", (tmp_path / ".env.example").read_text(), re.MULTILINE)
    assert sorted(made) == sorted({*asked, "READER_PORT"}) and len(lines) == len(made)
    assert made["POSTGRES_PASSWORD"] == "mine" and made["READER_PORT"] == "5001"
    assert len(base64.urlsafe_b64decode(made.pop("AIRFLOW_FERNET_KEY"))) == 32
    assert len(made["AIRFLOW_JWT_SECRET"]) >= 64 and len(set(made.values())) == len(made)
    assert all(value.isalnum() for value in made.values()), "they become parts of addresses"


def test_a_new_environment_file_is_private(tmp_path: Path) -> None:
    for part in (".env.example", "docker/new-env.sh"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).write_text((ROOT / part).read_text())
    subprocess.run(["sh", "docker/new-env.sh"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_bounded(name: str) -> None:
    assert SERVICES[name]["mem_limit"]
    logging = SERVICES[name]["logging"]
    assert logging["driver"] == "json-file" and set(logging["options"]) == {"max-size", "max-file"}


def test_the_image_has_the_tag_of_its_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"MATCHBOOK_IMAGE:-matchbook:{version}}}" in TEXT


def test_no_health_check_starts_airflow() -> None:
    checks = {name: json.dumps(service.get("healthcheck", {})) for name, service in SERVICES.items()}
    slow = re.compile(r"airflow (?!\w*\.)|import airflow|celery --app")
    assert not {name for name, check in checks.items() if slow.search(check)}
    assert "127.0.0.1" in checks["postgres"], "the socket answers while the data are still being initialised"


def test_the_image_is_sent_no_secret_and_no_history() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert sent[1] == "*"
    assert {line[1:] for line in sent if line.startswith("!")} == {
        "requirements.in",
        "requirements.txt",
        "docker/imports.py",
        "models",
        "pipelines",
        "serving",
        "local",
        "sql",
        "dags",
    }


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_pinned_confined_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\d+\.\d+", service["image"])
    assert int(service["user"].split(":")[0]) > 0
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE))
def test_a_service_is_watched(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL") and check["interval"] and check["timeout"] and check["retries"]


OURS = sorted(name for name, s in SERVICES.items() if "MATCHBOOK_IMAGE" in s["image"] and name != "balancer")
#: Settings of the environment that this file sets, or that have no effect in a container.
DECIDED = {
    "MATCHBOOK_CONFIG": "the file is mounted at its usual place",
    "MATCHBOOK_HOME": "the image sets it",
    "MATCHBOOK_NAMESPACE": "docker/redis gives rights to matchbook:* only",
    "MATCHBOOK_ARTIFACTS_COPY": "the reader's goes with its container",
    "MATCHBOOK_READER_HOST": "all addresses of the container",
    "MATCHBOOK_READER_PORT": "READER_PORT is the one outside",
    "MATCHBOOK_AIRFLOW_PORT": "AIRFLOW_PORT is the one outside",
    "MATCHBOOK_AIRFLOW_LOGS": "in Airflow's volume",
    "MATCHBOOK_AIRFLOW_DATABASE_URL": "Airflow's own",
    "MATCHBOOK_AIRFLOW_URL": "the service, for readers only",
    "MATCHBOOK_AIRFLOW_SEEN_AT": "AIRFLOW_PORT is the one outside",
    "MATCHBOOK_AIRFLOW_USER": "the default: prepare makes its password",
    "MATCHBOOK_AIRFLOW_PASSWORD": "AIRFLOW_CONSOLE_PASSWORD, for readers only",
    "MATCHBOOK_EXECUTOR": "AIRFLOW_EXECUTOR",
    "DATABASE_URL": "a user for each part",
    "REDIS_URL": "a user for each part",
}
#: Secrets that one part reads.
OF_ONE_PART = {"MATCHBOOK_READER_DATABASE_URL": "reader", "MATCHBOOK_WEBHOOK_URL": "airflow"}


@pytest.mark.parametrize("name", OURS)
def test_every_setting_reaches_a_service(name: str) -> None:
    """Settings of the environment come from .env, all others from the mounted file."""
    given = SERVICES[name]["environment"]
    for d in (d for d in DECLARED.values() if d.in_environment and d.variable not in DECIDED):
        if name.startswith(OF_ONE_PART.get(d.variable, "")):
            wanted = rf"\$\{{{d.variable}:(-|\?.*)\}}"
            assert re.fullmatch(wanted, str(given.get(d.variable))), f"{name} lacks {d.variable}: ${{{d.variable}:-}}"
    assert "./matchbook.toml:/opt/matchbook/matchbook.toml:ro" in SERVICES[name]["volumes"]
    assert set(DECIDED) <= set(variables()), "a setting is gone"


def test_all_state_lies_in_named_volumes() -> None:
    named = set(COMPOSE["volumes"])
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in named or volume.endswith(":ro"), f"{volume}: what nobody named stays after `down`"


def test_dockerfile_and_compose_start_the_reader_alike() -> None:
    words = re.search(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert words and json.loads(words[1]) == SERVICES["reader"]["command"]


def test_the_image_runs_the_code_that_it_copies() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE)
    assert sorted(copied) == ["dags", "local", "models", "pipelines", "serving", "sql"]
    assert "AIRFLOW__CORE__PLUGINS_FOLDER=/opt/matchbook/dags/matchbook_plugins" in dockerfile
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert not re.search(r"^FROM .*:latest|^FROM [^:]+$", dockerfile, re.MULTILINE)
