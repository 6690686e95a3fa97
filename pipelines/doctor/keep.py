"""Store the findings of a diagnosis in Redis, where the reader's console finds them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from models.lists.redis_format import Keys
from models.settings.settings import Settings
from pipelines.doctor.diagnosis import State
from pipelines.doctor.doctor import diagnose
from pipelines.redis_client import connect, redis_errors

log = logging.getLogger(__name__)


def keep_diagnosed(settings: Settings) -> dict[str, Any]:
    """Run every diagnosis now. Store {made_at, findings: [{id, title, state, says, cure}]} of those that are not well.

    Returns {made_at, found: ids, unknown: ids}. Raises ServiceError.
    """
    at = datetime.now(UTC)  # noqa: TID251 checks look at the present, whatever interval their run is of
    diagnoses = diagnose(settings, at)
    open_ = [d for d in diagnoses if d.state is not State.WELL]
    findings = [{k: v for k, v in d.to_json().items() if k != "figures"} for d in open_]
    told = {"made_at": at.isoformat(timespec="seconds"), "findings": findings}
    with redis_errors("storing the findings of the doctor"):
        connect(settings).set(Keys(settings.namespace).doctor, json.dumps(told))
    done = {
        "made_at": told["made_at"],
        "found": [d.id for d in open_ if d.state is State.FOUND],
        "unknown": [d.id for d in open_ if d.state is State.UNKNOWN],
    }
    log.info("diagnosed %s", done)
    return done
