"""Store the findings of a diagnosis in Redis, where the reader's console finds them."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any

from models.lists.redis_format import Keys
from models.settings.settings import Settings
from pipelines.doctor.diagnosis import State
from pipelines.doctor.doctor import diagnose
from pipelines.redis_client import connect, redis_errors
from pipelines.run.run import parse_instant

log = logging.getLogger(__name__)


def keep_diagnosed(settings: Settings, at: datetime) -> dict[str, Any]:
    """Run every diagnosis and store {made_at, findings: [{id, title, state, says, cure}]} without those that are well.

    Older findings never replace newer ones. Returns {kept, made_at, found: ids, unknown: ids}. Raises ServiceError.
    """
    diagnoses = diagnose(settings, at)
    open_ = [d for d in diagnoses if d.state is not State.WELL]
    findings = [{k: v for k, v in d.to_json().items() if k != "figures"} for d in open_]
    told = {"made_at": at.isoformat(), "findings": findings}
    with redis_errors("storing the findings of the doctor"):
        client, key = connect(settings), Keys(settings.namespace).doctor
        before = client.get(key)
        kept = not isinstance(before, bytes) or parse_instant(json.loads(before)["made_at"]) <= at
        if kept:
            client.set(key, json.dumps(told))
    done = {
        "kept": kept,
        "made_at": told["made_at"],
        "found": [d.id for d in open_ if d.state is State.FOUND],
        "unknown": [d.id for d in open_ if d.state is State.UNKNOWN],
    }
    log.info("diagnosed %s", done)
    return done
