"""Stores all entities at the cutoff as a bundle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.catalogue.catalogue import catalogue_bundle
from models.catalogue.directory import directory_columns, shown_names
from models.data.bundle import Bundle
from models.data.training_data import TrainingData


def fit(data: TrainingData[None]) -> Bundle:
    """Make the bundle catalogue_v1."""
    config = {"as_of_us": data.as_of_us, "rows": len(data.interactions)}
    bundle = catalogue_bundle(data.users, data.startups, config)
    columns = dict(bundle.arrays)
    for entities in (data.users, data.startups):  # operators also look for people who opted out
        everybody = replace(entities, opted_out=np.zeros(len(entities), bool))
        columns |= directory_columns(entities.entity, shown_names(data.profiles(everybody)))
    return replace(bundle, arrays=columns)
