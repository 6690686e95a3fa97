"""The alert rules use metrics that the reader exports (J03)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import yaml
from flask import Flask

from tests.paths import ROOT

RULES = ROOT / "docker" / "prometheus-alerts.yml"


def test_every_number_of_the_rules_is_reported(start: Callable[..., Flask], publish: Callable[..., str]) -> None:
    publish()
    client = start().test_client()
    client.get(f"/api/recommendations/startups/for-developer/{uuid.uuid4()}")
    told = set(re.findall(r"^(matchbook_\w+)", client.get("/metrics").text, re.MULTILINE))
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"matchbook_\w+", rule["expr"])}
    assert len(asked) >= 5 and asked <= told, asked - told
    assert any("matchbook_request_seconds_bucket" in rule["expr"] and "> 0.5" in rule["expr"] for rule in rules)
