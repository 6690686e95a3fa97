"""docker-compose.yml keeps to the published schema and to our rules: no default secret, no root, pinned, watched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OPTIONAL = ("AIRFLOW_EXECUTOR", "MATCHBOOK_ARTIFACTS")
SCHEMA = json.loads((Path(__file__).parent / "compose-spec" / "compose-spec.json").read_text())


def test_it_keeps_to_the_published_schema() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(COMPOSE)


def test_the_schema_would_notice_a_mistake() -> None:
    broken = {**COMPOSE, "services": {**SERVICES, "reader": {**SERVICES["reader"], "comand": ["x"]}}}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.Draft7Validator(SCHEMA).validate(broken)


def test_every_part_of_the_system_is_there() -> None:
    assert set(SERVICES) == {"postgres", "redis", "prepare", "airflow-api-server", "airflow-scheduler",
                             "airflow-dag-processor", "airflow-triggerer", "airflow-worker", "reader", "reader-2",
                             "balancer"}


def test_every_variable_must_be_given_and_the_example_gives_none() -> None:
    """What chooses where tasks run and artefacts lie has a default; nothing that is secret has."""
    used = [(name, rest) for name, rest in re.findall(r"(?<!\$)\$\{([A-Z_]+)(.*?)\}", TEXT) if name not in OPTIONAL]
    assert used and all(rest.startswith(":?") for _, rest in used)
    example = dict(line.split("=", 1) for line in (CHECKOUT / ".env.example").read_text().splitlines()
                   if line and not line.startswith("#"))
    assert set(example) == {name for name, _ in used}
    assert set(example.values()) == {""}


def test_the_image_is_sent_no_secret_and_no_history() -> None:
    sent = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert sent[1] == "*"
    assert {line[1:] for line in sent if line.startswith("!")} == {
        "requirements.txt", "models", "pipelines", "serving", "sql", "dags"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_pinned_confined_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\d+\.\d+", service["image"])
    assert int(service["user"].split(":")[0]) > 0
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name == "prepare" else "unless-stopped")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"prepare"}))
def test_a_service_is_watched(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL") and check["interval"] and check["timeout"] and check["retries"]


def test_all_state_lies_in_named_volumes() -> None:
    named = set(COMPOSE["volumes"])
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            copies = service.get("profiles") == ["workers"] and source.startswith("/")  # of what object storage holds
            assert source in named or volume.endswith(":ro") or copies, volume


def test_dockerfile_and_compose_start_the_reader_alike() -> None:
    words = re.search(r"^CMD (\[.*\])$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert words and json.loads(words[1]) == SERVICES["reader"]["command"]


def test_the_image_runs_the_code_that_it_copies() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE)
    assert sorted(copied) == ["dags", "models", "pipelines", "serving", "sql"]
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert not re.search(r"^FROM .*:latest|^FROM [^:]+$", dockerfile, re.MULTILINE)
