"""The terms of the OCI image and distribution specs, as values. Pure: no I/O, no clock, no network."""
