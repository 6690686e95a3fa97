"""The WSGI app of each process of the reader, with settings from the environment."""

from __future__ import annotations

import logging

from flask import Flask

from models.settings.settings import Settings
from serving.app import create_app


def configured_app(settings: Settings) -> Flask:
    """Set up logging, then make the app, which logs the loaded models and the routing rule (J13-J15)."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return create_app(settings)


app = configured_app(Settings.from_env())
