"""The composition root: creates engines and registry clients from options and environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bakery.defaults import REQUEST_BACKOFF_S, WAIT_TIMEOUT_S
from bakery.events import Emit, ignore
from bakery.limits import shares
from bakery.registry.config import RegistryConfig

if TYPE_CHECKING:
    from bakery.app.publishing import PublishOptions
    from bakery.engines.native import NativeEngine
    from bakery.publish.engine import Engine
    from bakery.publish.plan import Plan
    from bakery.registry.client import Client
    from bakery.retry import Clock, RetryPolicy


def make_engine(plan: Plan, options: PublishOptions, emit: Emit) -> Engine:
    """Return the engine that the options name, ready to be entered. Its time budget starts now."""
    from bakery.retry import SystemClock

    clock, environment = SystemClock(), options.environment
    if options.engine == "cli":
        from bakery.engines.cli import CliEngine
        from bakery.registry.credentials import hide_stored

        config = RegistryConfig.from_environment(environment)
        hide_stored(config.credentials)  # oras and soci read them, and print what a server sends back
        return CliEngine(
            options.context,
            config=config,
            environment=environment,
            needs_soci=any(target.soci is not None for target in plan.targets),
            registries=plan.registries,
            clock=clock,
            emit=emit,
            deadline=clock.now() + options.time_budget,
        )
    return make_native(plan, options, emit, clock=clock)


def make_native(
    plan: Plan, options: PublishOptions, emit: Emit, *, clock: Clock, attempts: int | None = None
) -> NativeEngine:
    """Return the native engine, whatever engine the options name. Its time budget starts now.

    attempts: of each request; None means those of the environment, or as many as the time allows.
    """
    from bakery.engines.native import NativeEngine
    from bakery.retry import RetryPolicy
    from bakery.soci.options import SociSettings

    environment, deadline = options.environment, clock.now() + options.time_budget
    policy = RetryPolicy.from_environment(environment, base_delay=REQUEST_BACKOFF_S)
    if attempts is not None:
        policy = replace(policy, max_attempts=min(attempts, policy.max_attempts), attempts_were_set=True)
    hosts = len({repository.registry for repository in plan.repositories}) + 1  # and one for the sources
    client = make_client(
        environment,
        policy=policy,
        clock=clock,
        emit=emit,
        deadline=deadline,
        hosts=hosts,
        lag_limit_s=options.wait_timeout,
    )
    client.announce_writes(plan.repositories)
    return NativeEngine(
        client,
        soci=SociSettings.from_environment(environment),
        sources=plan.source_repositories,
        towards=plan.repositories,
        spool_limit_files=shares(hosts).spools,
        emit=emit,
    )


def make_client(
    environment: Mapping[str, str],
    *,
    policy: RetryPolicy | None = None,
    clock: Clock | None = None,
    emit: Emit = ignore,
    deadline: float | None = None,
    hosts: int = 2,
    lag_limit_s: float = WAIT_TIMEOUT_S,
    logins: str = "",
) -> Client:
    """Return a registry client, configured by environment variables. policy: replaces the retries they configure.

    hosts: to how many registries it will speak, so that they share the files that this process may open.
    lag_limit_s: how long content that must exist may be absent. logins: a docker configuration, used for registries for
    which no login is stored.
    """
    from bakery.engines.credential_helper import run_helper
    from bakery.registry.client import Client
    from bakery.retry import RetryPolicy

    share = shares(hosts)
    config = RegistryConfig.from_environment(environment)
    return Client(
        config=replace(
            config,
            small_at_once=share.small,
            bodies_at_once=share.bodies,
            credentials=replace(config.credentials, last=logins),
        ),
        policy=policy or RetryPolicy.from_environment(environment, base_delay=REQUEST_BACKOFF_S),
        clock=clock,
        emit=emit,
        deadline=deadline,
        lag_limit_s=lag_limit_s,
        run_helper=run_helper,
    )


def command_lines(plan: Plan, options: PublishOptions) -> list[str]:
    """Return the command lines that the cli engine would run. The programs need not be installed."""
    from bakery.engines.argv import Oras, dry_run_lines

    environment = options.environment
    oras = Oras(environment.get("ORAS_PATH") or "oras", RegistryConfig.from_environment(environment))
    return dry_run_lines(plan, oras, environment.get("SOCI_PATH") or "soci")
