"""A minimal Flask route: a constant of any length."""

from __future__ import annotations

from flask import Flask, Response

app = Flask(__name__)
_BODIES: dict[int, bytes] = {}


@app.get("/<int:length>")
def constant(length: int) -> Response:
    return Response(_BODIES.setdefault(length, b"x" * length), mimetype="application/json")


@app.get("/health/live")
def alive() -> Response:
    return Response(b"{}", mimetype="application/json")
