"""Call a function in a child process under another account, because root may do what others may not."""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import signal
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import pytest

import pipelines.cli
from models.errors import MatchbookError
from models.settings.settings import Settings

NOBODY, PATIENCE_S = 65534, 120
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def called(what: Callable[[], Any], settings: Settings, uid: int = 0, **variables: str) -> tuple[int, str]:
    """Return (status, output) of a call in a child, under an account, with these variables. Kill it on a time-out."""
    for module in pkgutil.iter_modules(pipelines.cli.__path__, "pipelines.cli."):
        importlib.import_module(module.name)  # now, because another account may not read root's Python
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code, said = 1, io.StringIO()
        try:
            os.environ.update(
                {
                    "DATABASE_URL": settings.database_url.reveal(),
                    "REDIS_URL": settings.redis_url.reveal(),
                    "MATCHBOOK_HOME": str(settings.home),
                    **variables,
                }
            )
            signal.alarm(PATIENCE_S)
            if uid:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            with redirect_stderr(said):
                code = int(what() or 0)
        except MatchbookError as error:
            said.write(f"{type(error).__name__}: {error}")
        except BaseException:
            said.write(traceback.format_exc())
        os.write(writing, said.getvalue()[-6000:].encode())
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said_bytes = answer.read()
    return os.waitpid(child, 0)[1], said_bytes.decode()
