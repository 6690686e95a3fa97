"""Serve the stylesheet, scripts and icon of the console. A digest in the URL lets clients keep them for a year."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from flask import Response, abort, request

FOLDER = Path(__file__).parent / "static"
KEPT = "public, max-age=31536000, immutable"


class Files:
    """All files of the folder `static`, read once."""

    def __init__(self) -> None:
        self._contents = {str(p.relative_to(FOLDER)): p.read_bytes() for p in FOLDER.rglob("*") if p.is_file()}
        self._digests = {n: hashlib.sha256(data).hexdigest()[:12] for n, data in self._contents.items()}

    def url(self, name: str) -> str:
        """Return the address of a file with its digest. Raises KeyError for an unknown name."""
        return f"/static/{name}?d={self._digests[name]}"

    def file(self, name: str) -> Response:
        """Answer with a file, or 404."""
        if name not in self._contents:
            abort(404)
        response = Response(self._contents[name], mimetype=mimetypes.guess_type(name)[0] or "text/plain")
        if request.args.get("d") == self._digests[name]:
            response.headers["Cache-Control"] = KEPT
        return response
