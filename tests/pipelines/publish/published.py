"""Hold a marketplace with published lists: its settings and the content of Redis."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from models.lists.redis_format import Keys
from models.settings.settings import Settings
from pipelines.redis_client import current_release


@dataclass(frozen=True, eq=False)
class Published:
    """Gives tests their published lists."""

    settings: Settings

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.settings.redis_url.reveal())

    @property
    def current(self) -> str:
        return str(current_release(self.settings))

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.namespace)
