"""Send an alert once, over a real socket. For any receiver the sender continues within seconds."""

from __future__ import annotations

import http.server
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.run import alerts as notices
from pipelines.run.alerts import Alert, send_alert

PERSON = "0f0e0d0c-0b0a-4908-8706-050403020100"


class Listener(http.server.ThreadingHTTPServer):
    """Holds the posted requests and the answers to give."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.taken = 204, list[dict[str, Any]]()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Listener) and self.headers["Content-Type"] == "application/json"
        server.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def here(tmp_path: Path, listener: Listener) -> Settings:
    return Settings(home=tmp_path, webhook_url=Secret(f"http://127.0.0.1:{listener.server_port}/hidden-word"))


def test_a_matter_is_posted_once_and_logged_each_time(
    here: Settings, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    notice = Alert("task_failed", "als failed", ("dag", "run", "Error"), "http://here/run", about={"task": "als"})
    with caplog.at_level(logging.WARNING):
        assert [send_alert(here, notice) for _ in range(3)] == [True, False, False]
    assert listener.taken == [
        {
            "text": "Matchbook: als failed\nhttp://here/run",
            "what": "task_failed",
            "says": "als failed",
            "link": "http://here/run",
            "task": "als",
        }
    ]
    assert caplog.text.count("notice: als failed") == 3 and "hidden-word" not in caplog.text
    assert send_alert(here, replace(notice, matter=("dag", "another run", "Error")))


def test_a_larger_problem_is_not_reported_after_a_part_of_it(here: Settings, listener: Listener) -> None:
    run = ("dag", "run")
    assert send_alert(here, Alert("task_failed", "als failed", (*run, "DataError"), part_of=run))
    assert not send_alert(here, Alert("run_failed", "the run failed", run))
    assert send_alert(here, Alert("run_failed", "it took too long", (*run, "timed_out")))


def test_what_nobody_took_is_tried_again(here: Settings, listener: Listener) -> None:
    notice = Alert("late", "old lists", ("late", "r"))
    listener.status = 500
    assert not send_alert(here, notice)
    listener.status = 200
    assert send_alert(here, notice) and not send_alert(here, notice)
    assert len(listener.taken) == 2


def test_no_id_of_a_person_leaves_and_long_messages_are_cut(here: Settings, listener: Listener) -> None:
    about = {"reasons": [f"{PERSON} has no list"]}
    assert send_alert(here, Alert("task_failed", f"{PERSON} is not there" + "x" * 9999, ("a",), about=about))
    assert PERSON not in json.dumps(listener.taken) and len(listener.taken[0]["says"]) < 2000


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/x", "file:///etc/passwd", "nonsense", "http://[bad"])
def test_a_wrong_address_fails_nothing_and_is_not_shown(
    tmp_path: Path, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = Settings(home=tmp_path, webhook_url=Secret(address))
    assert not send_alert(here, Alert("late", "old lists", ("late", "r")))
    assert "did not take a notice" in caplog.text and address not in caplog.text


def test_a_server_that_never_answers_costs_the_patience_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = Settings(home=tmp_path, webhook_url=Secret(f"http://127.0.0.1:{silent.getsockname()[1]}/"))
        assert not send_alert(here, Alert("late", "old lists", ("late", "r")))


def test_without_an_address_it_is_logged_and_nothing_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not send_alert(Settings(home=tmp_path), Alert("late", "old lists", ("late", "r")))
    assert "notice: old lists" in caplog.text and not (tmp_path / "logs").exists()


def test_reports_are_forgotten_after_a_week(here: Settings, listener: Listener) -> None:
    notice = Alert("late", "old lists", ("late", "r"))
    assert send_alert(here, notice)
    (mark,) = (here.home / "logs" / "told").iterdir()
    os.utime(mark, (time.time() - 8 * 86_400,) * 2)
    assert send_alert(here, notice)
