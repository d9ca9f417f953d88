"""The OCI image and distribution vocabulary as values. Pure: no I/O, no clock, no network."""
