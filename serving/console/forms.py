"""Check that a form was sent by a page of this reader, not by another site (CSRF)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from flask import g, request

from models.errors import NotAllowed
from models.keys import ANSWER_KEY
from models.settings.settings import Settings, is_loopback
from serving.http.answer_ids import KeptKey

FIELD = "form_token"
#: Differs between two forms, so that a form that is sent twice starts one run.
ONCE = "form_once"


class Forms:
    """Makes the token of every form and checks the posted ones. All processes of a reader use the same key."""

    def __init__(self, settings: Settings) -> None:
        self._loopback = is_loopback(settings.reader_host)
        self._kept = KeptKey(
            settings.answer_key.reveal(),
            settings.home,
            ANSWER_KEY,
            "forms of the console work only with one reader process, because there is no key for their tokens",
        )
        self._own = secrets.token_bytes(32)

    def token(self) -> str:
        """Return the token of this caller's forms."""
        key = self._kept.value or self._own
        return hashlib.blake2b(f"form of {g.caller}".encode(), key=key, digest_size=16).hexdigest()

    def once(self) -> str:
        """Return a text that no other form has."""
        return secrets.token_hex(8)

    def check(self) -> None:
        """Raises NotAllowed if a posted form comes from another site or lacks the token."""
        if request.method != "POST":
            return
        site, origin = request.headers.get("Sec-Fetch-Site", ""), request.headers.get("Origin", "")
        ours = site == "same-origin" if site else urlsplit(origin).netloc == request.host
        if not ours or not self._host_is_ours():
            raise _refused("a form of this console", f"one of {origin or 'an unknown site'}")
        if not hmac.compare_digest(request.form.get(FIELD, "").encode(), self.token().encode()):
            raise _refused("the token of this form", "another one")

    def _host_is_ours(self) -> bool:
        """Return whether a reader on loopback is asked by a loopback name: other names may be DNS rebinding."""
        return not self._loopback or is_loopback(urlsplit(f"//{request.host}").hostname or "")


def _refused(expected: str, got: str) -> NotAllowed:
    return NotAllowed("foreign_form", expected, got, "open the page again and send its form")
