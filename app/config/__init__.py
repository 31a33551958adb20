"""The settings: `settings.py` has each of them, once."""

from flask import current_app

from app.config.loading import load_config
from app.config.settings import ROOT, Config
from app.config.sources import environment, real_environment
from app.config.values import database_address

__all__ = [
    "ROOT",
    "Config",
    "current_config",
    "database_address",
    "environment",
    "load_config",
    "real_environment",
]


def current_config() -> Config:
    """The configuration of the running app."""
    config: Config = current_app.extensions["config"]
    return config
