"""SOCI index manifest v2: indexes for loading the layers of an image lazily. Bytes in, bytes out; no I/O, no network.

docs/soci.md describes the format and the modules.
"""
