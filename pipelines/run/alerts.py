"""Send alerts: a log line, and a POST of JSON to MATCHBOOK_WEBHOOK_URL if it is set.

Sending never raises and takes at most a few seconds. Each machine sends the same matter once a week, by marker files
in `logs/told` of the home. Ids of people are removed.

The body: {"text": for chat programs, "what", "says", "link", …}. "what" is "task_failed", "run_failed", "gate_asks"
or "late".
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

from models.settings.settings import Settings

log = logging.getLogger(__name__)
PATIENCE_S = 3.0
_KEPT_S = 7 * 86_400
_MOST = 1500  # maximum characters of a message, because chat programs refuse long ones
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Alert:
    """An alert, sent once per `matter`.

    what: the kind, one word. says: a sentence for people. about: further facts for programs.
    part_of: a larger matter that is then also marked as sent.
    """

    what: str
    says: str
    matter: tuple[str, ...]
    link: str = ""
    part_of: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        says = self.says[:_MOST]
        found = {
            "text": f"Matchbook: {says}" + (f"\n{self.link}" if self.link else ""),
            "what": self.what,
            "says": says,
            "link": self.link,
            **self.about,
        }
        masked: dict[str, Any] = json.loads(_ID.sub("(id)", json.dumps(found)))
        return masked


def send_alert(settings: Settings, notice: Alert) -> bool:
    """Log the alert, and send it unless it was sent before. Return whether it was sent now."""
    body = notice.body()
    log.warning("notice: %s", body["says"], extra={"notice": notice.what})
    url = settings.webhook_url.reveal()
    try:
        if not url or not _first_time(settings, notice):
            return False
        if _posted(url, json.dumps(body).encode()):
            if notice.part_of:
                _mark(settings, notice.part_of).touch(mode=0o600)
            return True
        _mark(settings, notice.matter).unlink(missing_ok=True)  # not delivered, so the next attempt may send it
    except OSError as error:
        log.warning("a notice was not sent: %s", error)
    return False


def _posted(url: str, body: bytes) -> bool:
    """Return whether the server accepted the body within PATIENCE_S."""
    taken: list[str] = []
    sender = threading.Thread(target=lambda: taken.append(_post(url, body)), daemon=True)
    sender.start()
    sender.join(PATIENCE_S)
    said = taken[0] if taken else f"no answer within {PATIENCE_S:.0f} s"
    if said:
        log.warning("MATCHBOOK_WEBHOOK_URL did not take a notice: %s", said)
    return not said


def _post(url: str, body: bytes) -> str:
    """Return "" or the server's reason, without the address, which is a secret."""
    if not url.startswith(("http://", "https://")):
        return "expected an address that begins with http:// or https://"
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 the scheme was checked above
            return "" if answer.status < HTTPStatus.MULTIPLE_CHOICES else f"status {answer.status}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {getattr(error, 'reason', '')}".replace(url, "***")


def _mark(settings: Settings, matter: tuple[str, ...]) -> Path:
    return settings.home / "logs" / "told" / hashlib.sha256("\n".join(matter).encode()).hexdigest()[:24]


def _first_time(settings: Settings, notice: Alert) -> bool:
    mark = _mark(settings, notice.matter)
    mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in mark.parent.iterdir():
        if old.stat().st_mtime < time.time() - _KEPT_S:
            old.unlink(missing_ok=True)
    try:
        mark.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    return True
