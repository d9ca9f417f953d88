"""What is mutated, room by room, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """modules: paths below src/bakery, as globs. tests: what pytest collects; slow and peer tests are left out."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "oci": Room(("oci/*.py",), ("tests/oci",)),
    "transfer": Room(("transfer/*.py", "ledger.py"), ("tests/transfer", "tests/test_ledger.py")),
    "publish": Room(("publish/*.py",), ("tests/publish",)),
    "registry": Room(
        ("registry/upload_plan.py", "registry/put_plan.py", "registry/gate.py"),
        ("tests/registry/test_upload_plan.py", "tests/registry/test_put_plan.py", "tests/registry/test_gate.py"),
    ),
    "answers": Room(
        (
            "registry/answers.py",
            "registry/challenge.py",
            "registry/domains.py",
            "registry/links.py",
            "registry/ranges.py",
            "registry/reasons.py",
            "registry/token.py",
            "registry/verify.py",
            "registry/http/address.py",
            "registry/http/config.py",
            "registry/http/redirect.py",
            "registry/http/url.py",
        ),
        (
            "tests/registry/test_answers.py",
            "tests/registry/test_challenge.py",
            "tests/registry/test_config.py",
            "tests/registry/test_domains.py",
            "tests/registry/test_links.py",
            "tests/registry/test_origin.py",
            "tests/registry/test_put_plan.py",
            "tests/registry/test_ranges.py",
            "tests/registry/test_reasons.py",
            "tests/registry/test_token.py",
            "tests/registry/test_upload_plan.py",
            "tests/registry/test_verify.py",
            "tests/registry/http",
            "tests/wire/test_certificates.py",
            "tests/wire/test_looks.py",
            "tests/wire/test_manifests.py",
            "tests/wire/test_odd_registries.py",
            "tests/wire/test_proxies.py",
            "tests/wire/test_security_content.py",
            "tests/wire/test_security_login.py",
            "tests/wire/test_socks.py",
            "tests/wire/test_uploads.py",
        ),
    ),
    "build": Room(
        (
            "build/argv.py",
            "build/check.py",
            "build/metadata.py",
            "build/outcome.py",
            "build/plan.py",
            "build/progress.py",
            "build/record.py",
        ),
        (
            "tests/build/test_metadata.py",
            "tests/build/test_outcome.py",
            "tests/build/test_plan.py",
            "tests/build/test_progress.py",
            "tests/build/test_record.py",
        ),
    ),
    "soci": Room(
        ("soci/checkpoint.py",),
        ("tests/soci/test_checkpoint.py", "tests/soci/test_properties.py"),
    ),
    "http": Room(
        ("registry/http/exchange.py", "registry/http/pool.py"),
        (
            "tests/wire/test_exchange.py",
            "tests/wire/test_pool.py",
            "tests/wire/test_connections.py",
            "tests/wire/test_downloads.py",
            "tests/wire/test_proxies.py",
            "tests/wire/test_socks.py",
            "tests/wire/test_hostile_hosts.py",
            "tests/wire/test_security_login.py",
        ),
    ),
    "wire": Room(
        ("registry/http/wire.py", "registry/http/turns.py"),
        ("tests/wire/test_wire.py", "tests/wire/test_wire_ends.py", "tests/wire/test_pool.py"),
    ),
}
