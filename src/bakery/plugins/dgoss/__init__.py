"""Goss tests in containers: `bakery dgoss run` (pipeline.md 8)."""

from bakery.plugins.dgoss.plugin import DgossPlugin

__all__ = ["DgossPlugin"]
