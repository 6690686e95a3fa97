"""A refreshed release into the place of the one that it refreshes; where another went live meanwhile, that one wins."""

from __future__ import annotations

import logging
from typing import Any

from models.nouns.release import Keys
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.release.cache import connect, decoded, wrapped
from pipelines.release.lease import lease
from pipelines.release.load import Loadable, load
from pipelines.release.publish import drop_unfinished, keep_loaded, note_publish, switch

log = logging.getLogger(__name__)


def publish_refresh(settings: Settings, release: str) -> dict[str, Any]:
    """Load a refreshed release and move the pointer to it, if what it refreshes is still live. It takes that place:
    the builds that can be gone back to stay the same.

    Returns what `publish_release` does. Raises ReleaseNotFound, ReleaseIncomplete, ReleaseTooBig or ServiceError: the
    live release stays.
    """
    loadable = Loadable.open(Artifacts(settings), release)
    with wrapped("publishing a refresh"):
        client, keys = connect(settings), Keys(settings.namespace)
        with lease(client, keys) as held:
            live, refreshes = decoded(client.get(keys.current)), loadable.manifest.replaces
            if live not in (refreshes, release):
                reason = f"{live or 'nothing'} is live by now, not {refreshes}, which this refresh was made from"
                log.info("refresh not published id=%s reason=%s", release, reason)
                return {"published": False, "release": release, "previous": live, "reason": reason}
            drop_unfinished(held, keep=release)
            done = {
                "published": True,
                "release": release,
                "previous": refreshes,
                "reason": "refreshed",
                **load(settings, held, loadable),
            }
            if live != release:
                switch(held, loadable.manifest, replaces=refreshes)
                note_publish(settings, done)
    log.info("refresh published %s", done)
    return done


def keep_alive(settings: Settings) -> int:
    """Lists that nothing changes about stay: the time after which the loaded releases expire begins again. Returns how
    many releases are kept so."""
    with wrapped("keeping the live lists"):
        client, keys = connect(settings), Keys(settings.namespace)
        with lease(client, keys) as held:
            return keep_loaded(settings, held)
