"""Run the compose file in a container engine, as a separate project."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.architecture.tree import tracked
from tests.e2e import stand_ins
from tests.paths import ROOT
from tests.waiting import until

PATIENCE_S = 420.0  # seconds until containers are healthy, on a slow machine


def compose_command() -> list[str]:
    """Return `docker compose` or the older `docker-compose`, or nothing without either."""
    if shutil.which("docker") and run(["docker", "compose", "version"], check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


def lacking() -> str:
    """Explain why the compose file cannot run on this machine. Empty if no reason is known."""
    if not shutil.which("docker") or not compose_command():
        return "there is no container engine: neither `docker compose` nor docker-compose is installed"
    if answers() or (os.geteuid() == 0 and shutil.which("dockerd")):
        return ""
    return "no container engine answers, and one is started only by root with dockerd installed"


def answers() -> bool:
    return run(["docker", "info"], check=False).returncode == 0


@contextmanager
def engine_running() -> Iterator[None]:
    """Use the running engine, else start one with its own folders and remove both at the end."""
    if answers():
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="matchbook-docker-", dir="/var/tmp"))
    address = f"unix://{folder}/docker.sock"
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                "dockerd",
                "--data-root",
                folder / "data",
                "--exec-root",
                folder / "exec",
                "--pidfile",
                folder / "pid",
                "--host",
                address,
                "--bridge",
                "none",
            ],
            stdout=log,
            stderr=log,
        )
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = address
    try:
        until(answers, 60, lambda: (folder / "log").read_text()[-3000:])
        yield
    finally:
        daemon.terminate()
        daemon.wait(60)
        os.environ.pop("DOCKER_HOST") if before is None else os.environ.update(DOCKER_HOST=before)
        _remove(folder)


def _remove(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        run(["umount", place])
    shutil.rmtree(folder)


@dataclass
class Project:
    """The tracked files of the checkout in a folder, and its containers. given: variables in addition to .env."""

    folder: Path
    name: str
    files: list[str] = field(default_factory=lambda: ["docker-compose.yml"])

    def compose(self, *words: str, check: bool = True, stdin: Any = None) -> subprocess.CompletedProcess[str]:
        chosen = [word for file in self.files for word in ("-f", file)]
        return run([*compose_command(), "-p", self.name, *chosen, *words], cwd=self.folder, check=check, stdin=stdin)

    def container(self, service: str) -> str:
        """Return the id of the first container of a service, running or not."""
        found = run(
            [
                "docker",
                "ps",
                "-aq",
                "--filter",
                f"label=com.docker.compose.project={self.name}",
                "--filter",
                f"label=com.docker.compose.service={service}",
                "--filter",
                "label=com.docker.compose.oneoff=False",
            ]
        ).stdout.split()
        assert found, f"{service} has no container"
        return found[0]

    def inspect(self, service: str) -> dict[str, Any]:
        """Return the engine's data about the first container of a service."""
        found: dict[str, Any] = json.loads(run(["docker", "inspect", self.container(service)]).stdout)[0]
        return found

    def addresses(self, service: str) -> list[str]:
        return [network["IPAddress"] for network in self.inspect(service)["NetworkSettings"]["Networks"].values()]

    def wait_until_healthy(self, *services: str) -> None:
        for service in services:
            until(partial(self.healthy, service), PATIENCE_S, partial(self.log, service))

    def healthy(self, service: str) -> bool:
        state = self.inspect(service)["State"]
        return bool(state["Running"]) and state.get("Health", {}).get("Status") == "healthy"

    def log(self, service: str) -> str:
        state = json.dumps(self.inspect(service)["State"])[-1500:]
        return f"{service}: {state}\n{self.compose('logs', '--tail', '60', service, check=False).stdout[-6000:]}"

    def inside(self, service: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(["docker", "exec", self.container(service), *words], check=check)

    def kill(self, service: str) -> None:
        """Send SIGKILL to the first process, so that the restart policy applies. Needs root."""
        os.kill(self.inspect(service)["State"]["Pid"], signal.SIGKILL)

    def volumes(self) -> set[str]:
        return set(run(["docker", "volume", "ls", "-q"]).stdout.split())


def checked_out(folder: Path) -> Path:
    """Copy the tracked files. If no registry answers, replace the images.

    Raises LookupError with the reason if there are no images.
    """
    for path in tracked():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    images = stand_ins.named(folder)
    if not all(map(_had, images)):
        if why := stand_ins.lacking():
            raise LookupError(why)
        with tempfile.TemporaryDirectory(prefix="matchbook-stand-ins-", dir="/var/tmp") as aside:
            made = stand_ins.make(images, Path(aside))
        for file in (folder / "Dockerfile", folder / "docker-compose.yml"):
            text = file.read_text()
            for image, stand_in in made.items():
                text = text.replace(image, stand_in)
            file.write_text(text)
    return folder


def _had(image: str) -> bool:
    """Return whether an image exists or can be pulled. A registry that does not answer is asked only once."""
    return run(["docker", "image", "inspect", image], check=False).returncode == 0 or _pulled(image)


def _pulled(image: str) -> bool:
    try:
        return run(["docker", "pull", "--quiet", image], check=False, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def run(words: list[Any], check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. A failure shows its output."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    assert not check or done.returncode == 0, f"{words}\n{done.stdout[-4000:]}{done.stderr[-8000:]}"
    return done
