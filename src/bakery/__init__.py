"""Bakery publishes multi-platform container images that CI has built and pushed by digest."""

__version__ = "0.1.0"
