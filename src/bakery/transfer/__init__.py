"""Moves content between stores: once, streaming, checked. Knows neither HTTP nor SOCI."""
