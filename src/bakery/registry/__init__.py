"""An asyncio client of the OCI distribution API. The pure modules decide; transport, credentials, gate and client act.

Source: OCI distribution-spec 1.1 and what registries really do (registry.md).
"""
