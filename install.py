"""Make .venv and install both lock files into it. Runs under any python3."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent
VENV = CHECKOUT / ".venv"
LOCKS = (CHECKOUT / "requirements.txt", CHECKOUT / "requirements-dev.txt")  # of Matchbook, and of its tests
STAMP = VENV / "installed-lock"
LOG = VENV / "install.log"
OLDEST = (3, 11)


def main() -> int:
    """Install if needed. Return 0 if everything is installed, else print a message and return 1."""
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return failed(
            f"Python {wanted} or newer is needed, this is {sys.version.split()[0]} ({sys.executable}); "
            f"name another one: make PYTHON=/path/to/python{wanted} ..."
        )
    if STAMP.is_file() and STAMP.read_text() == wanted_stamp() and runs():
        return 0
    if not runs() and not make_environment():
        return 1
    return install()


def wanted_stamp() -> str:
    return hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS)).hexdigest()


def runs() -> bool:
    """Return whether the environment's Python starts."""
    python = VENV / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def make_environment() -> bool:
    say(f"making a virtual environment in {VENV} with {sys.executable}")
    shutil.rmtree(VENV, ignore_errors=True)
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        failed(
            f"this Python cannot make virtual environments ({sys.executable}). On Debian and Ubuntu: "
            f"apt-get install python3-venv. It said:\n{done.stdout}{done.stderr}"
        )
    return done.returncode == 0


def wanted() -> set[str]:
    """Return the lines of the lock files that name a package."""
    return {x for lock in LOCKS for x in lock.read_text().splitlines() if x and not x.startswith("#")}


def install() -> int:
    started, total = time.monotonic(), len(wanted())
    say(f"installing {total} packages into {VENV} (a minute or two on a fast line, about 1.8 GB of disk)")
    # without options: if the registry's torch is built for CUDA, pip also installs the CUDA libraries
    command = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
        *(word for lock in LOCKS for word in ("-r", str(lock))),
    ]
    with (
        LOG.open("w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
        ) as pip,
    ):
        assert pip.stdout is not None
        seen = 0
        for line in pip.stdout:
            log.write(line)
            seen = progress(line, seen, total)
    if pip.returncode != 0:
        end = "\n".join(LOG.read_text().splitlines()[-15:])
        return failed(f"pip could not install the packages; the end of {LOG}:\n{end}")
    STAMP.write_text(wanted_stamp())
    say(f"installed in {time.monotonic() - started:.0f} s")
    return 0


def environment() -> dict[str, str]:
    """Return the environment of pip, without the Python path of another project."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def progress(line: str, seen: int, total: int) -> int:
    found = re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9_.\[\]-]+)", line)
    if found:
        seen += 1
        if sys.stderr.isatty():
            sys.stderr.write(f"\r  {min(seen, total)}/{total} {found[1]:<60.60}")
        elif seen % 40 == 0:
            say(f"  {seen}/{total} packages found")
    elif line.startswith("Installing collected packages"):
        if sys.stderr.isatty():
            sys.stderr.write("\r")
        say(f"  {'unpacking (half of the time is spent here)':<70}")
    return seen


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def failed(text: str) -> int:
    say(f"make: {text}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
