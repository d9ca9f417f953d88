"""Moves content between stores: once, streaming and verified. Knows neither HTTP nor SOCI."""
