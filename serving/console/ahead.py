"""Do what the first page of a process would wait for: compile the templates and open the catalogue.

A process needs a third of a second for it, nearly all of it for the templates.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from flask import Flask

from models.errors import MatchbookError
from serving.console.release_files import ReleaseFiles
from serving.releases import Releases

log = logging.getLogger("matchbook.reader")


@dataclass(frozen=True)
class Ahead:
    """What the pages of a process share."""

    app: Flask
    releases: Releases
    files: ReleaseFiles

    def begin(self) -> threading.Thread:
        """Start it beside the requests. They do not wait for it."""
        thread = threading.Thread(target=self.prepare, name="console-ahead", daemon=True)
        thread.start()
        return thread

    def prepare(self) -> None:
        """Do it now. A release that cannot be opened costs its pages only, which say why."""
        for name in self.app.jinja_env.list_templates(["html"]):
            self.app.jinja_env.get_template(name)
        held = self.releases.current
        if held is not None:
            try:
                self.files.catalogue(held.release)
            except (MatchbookError, OSError, LookupError) as error:
                log.info("the console has not opened the catalogue of %s: %s", held.id, error)
