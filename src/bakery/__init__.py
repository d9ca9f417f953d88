"""Bakery publishes multi-platform container images that CI has built and pushed by digest."""

try:
    from bakery._version import __version__ as __version__
except ModuleNotFoundError:  # a source tree that was never built or installed
    __version__ = "0.0.0+unknown"
