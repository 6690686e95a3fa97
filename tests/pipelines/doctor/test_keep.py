"""Keep the findings of the doctor where the console finds them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import redis

from models.lists.redis_format import Keys
from models.settings.settings import Settings
from pipelines.doctor.keep import keep_diagnosed
from pipelines.postgres import engine, migrate


def test_findings_are_kept_with_their_time_and_without_what_is_well(settings: Settings) -> None:
    migrate(engine(settings))
    began = datetime.now(UTC).replace(microsecond=0)
    done = keep_diagnosed(settings)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        told = json.loads(client.get(Keys(settings.namespace).doctor))
    assert told["made_at"] == done["made_at"] and began <= datetime.fromisoformat(told["made_at"]) <= datetime.now(UTC)
    assert [f["id"] for f in told["findings"] if f["state"] == "found"] == done["found"]
    assert "P03" in done["found"] and "servers" not in done["found"] + done["unknown"]  # nothing was ever built
    assert all(set(f) == {"id", "title", "state", "says", "cure"} for f in told["findings"])
