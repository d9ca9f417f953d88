"""Lazy-loading indexes (SOCI index manifest v2) for image layers: bytes in, bytes out. No I/O, no network.

The format, and why every byte is as it is: docs/soci.md.
"""
