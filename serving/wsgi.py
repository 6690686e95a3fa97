"""Make the WSGI app of each process from the environment."""

from __future__ import annotations

from flask import Flask

from models.settings.settings import Settings
from serving import log_lines
from serving.app import create_app


def configured_app(settings: Settings) -> Flask:
    """Set up logging, then make the app, which logs the loaded models and the routing rule (J13-J15)."""
    log_lines.begin(settings.log_level)
    made = create_app(settings)
    made.extensions["matchbook"].ahead.begin()
    return made


app = configured_app(Settings.from_env())
