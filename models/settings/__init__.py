"""Settings: one frozen value, read from the environment in one file."""

from models.settings.kinds import Limits, Secret
from models.settings.settings import PREFIX, Settings

__all__ = ["PREFIX", "Limits", "Secret", "Settings"]
