"""Do what the first page of a process would wait for: compile the templates, open the catalogue, connect to PostgreSQL.

A process needs half a second for it, most of it for the templates.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from flask import Flask

from models.errors import MatchbookError
from models.schema import Entity
from serving.clients.postgres import Database
from serving.console.browse import Browser, Search
from serving.releases import Releases

log = logging.getLogger("matchbook.reader")


@dataclass(frozen=True)
class Ahead:
    """What the pages of a process share."""

    app: Flask
    releases: Releases
    browser: Browser
    database: Database

    def begin(self) -> threading.Thread:
        """Start it beside the requests. They do not wait for it."""
        thread = threading.Thread(target=self.prepare, name="console-ahead", daemon=True)
        thread.start()
        return thread

    def prepare(self) -> None:
        """Do it now. What cannot be opened or does not answer costs its pages only, which say why."""
        for name in self.app.jinja_env.list_templates(["html"]):
            self.app.jinja_env.get_template(name)
        held = self.releases.current
        if held is not None:
            try:
                for entity in Entity:
                    page = self.browser.page(held.release, held.settings, entity, Search())
                    self.database.names(entity, [row.id for row in page.rows])
            except (MatchbookError, OSError, LookupError) as error:
                log.info("the console is not ready for its first page: %s", error)
