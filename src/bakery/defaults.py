"""The defaults of Bakery, each declared once. Options, help texts, engines and the client read them here.

Times are in seconds, sizes in bytes. Sources: pipeline.md 3.1 (retries), 5.3 (waiting, time budget), 10 (variables).
"""

from __future__ import annotations

from typing import Final

# bakery.yaml
LABEL_NAMESPACE: Final = "co.posit.image"  # that of the tool Bakery replaces: existing images keep their labels

# A publish
NATIVE_JOBS: Final = 32  # targets at once: a job of the native engine is a few small requests at a time
CLI_JOBS: Final = 4  # the cli engine runs a process per job
WAIT_TIMEOUT_S: Final = 600.0  # for the builds of a target
TIME_BUDGET_S: Final = 1800.0  # for the whole run

# Polling for something that may appear soon (polling.poll_delays)
FIRST_POLL_S: Final = 0.25
POLL_GROWTH: Final = 1.2
LONGEST_POLL_S: Final = 5.0

# Retries (retry.RetryPolicy)
REQUEST_BACKOFF_S: Final = 0.5  # the first backoff of a registry request; commands start with FIRST_BACKOFF_S
RETRY_ATTEMPTS: Final = 5
FIRST_BACKOFF_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 32.0
BACKOFF_GROWTH: Final = 2.0

# HTTP
CONNECT_TIMEOUT_S: Final = 20.0
RESPONSE_TIMEOUT_S: Final = 120.0  # GHCR takes 11 s to commit 700 MB, other registries longer
STALL_TIMEOUT_S: Final = 60.0  # for the next bytes of a body
SMALL_REQUESTS_PER_HOST: Final = 32
BODIES_PER_HOST: Final = 4
CREDENTIAL_HELPER_TIMEOUT_S: Final = 30.0

# Memory and disk
SPOOL_BYTES: Final = 4 * 1024**3  # content between its source and its destinations
SPOOL_MEMORY_BYTES: Final = 128 * 1024**2  # of it in memory, the rest in files
SPOOL_FILES: Final = 300  # a process may often have 1,024 files open
PRODUCT_CACHE_S: Final = 3600.0  # how long a response of a product API is reused
