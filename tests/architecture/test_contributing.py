"""Check CONTRIBUTING.md and its files: hooks that run, a container that opens, a licence."""

from __future__ import annotations

import json
import os
import re
import tomllib

import yaml

from tests.paths import ROOT


def test_hooks_call_what_is_there() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for repository in config["repos"]:
        assert repository["repo"] == "local", "hooks of others need the network"
        for hook in repository["hooks"]:
            program, _, target = hook["entry"].partition(" ")
            assert target in targets if program == "make" else os.access(ROOT / program, os.X_OK), hook["entry"]


def test_the_container_installs_what_the_makefile_installs() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert f"python:{python}-" in container["image"] and container["postCreateCommand"].startswith("make install")


def test_forms_of_issues_are_readable() -> None:
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        if form.name == "config.yml":
            continue
        found = yaml.safe_load(form.read_text())
        assert found["name"] and found["description"] and all("type" in part for part in found["body"])


def test_the_licence_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0" and project["license-files"] == ["LICENSE"]
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_versions_of_the_changelog_have_dates_and_the_newest_is_first() -> None:
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    dated = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", head) for head in heads if head != "Unreleased"]
    assert heads and all(dated), f"write `## 1.2.3 - 2026-01-31`: {heads}"
    dates = [match[2] for match in dated if match]
    assert dates == sorted(dates, reverse=True)


def test_every_command_of_the_page_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"^make ([a-z0-9-]+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert used and used <= targets, f"the Makefile lacks {used - targets}"
