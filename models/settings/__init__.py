"""Settings: one frozen value, declared in tables, read from matchbook.toml and the environment."""

from models.settings.declared import PREFIX
from models.settings.environment import Secret
from models.settings.settings import Settings

__all__ = ["PREFIX", "Secret", "Settings"]
