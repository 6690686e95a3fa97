"""Stores all entities at the cutoff as a bundle."""

from __future__ import annotations

from models.catalogue.catalogue import catalogue_bundle
from models.data.bundle import Bundle
from models.data.training_data import TrainingData


def fit(data: TrainingData[None]) -> Bundle:
    """Make the bundle catalogue_v1."""
    config = {"as_of_us": data.as_of_us, "rows": len(data.interactions)}
    return catalogue_bundle(data.users, data.startups, config)
