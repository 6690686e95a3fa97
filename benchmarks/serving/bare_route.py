"""A minimal Flask route: a constant as long as an answer of ten items with reasons."""

from __future__ import annotations

from flask import Flask, Response

CONSTANT = b"x" * 3_300

app = Flask(__name__)


@app.get("/")
def constant() -> Response:
    return Response(CONSTANT, mimetype="application/json")


@app.get("/health/live")
def alive() -> Response:
    return Response(b"{}", mimetype="application/json")
