"""pyconfd keeps configuration files true to a live store."""

__version__ = "0.1.0"
