"""The version of this package, which an agent tells the portal too."""

__version__ = "0.1.0"
