"""The same failure of many targets is reported once, with a count; different ones are kept apart."""

from bakery.errors import AuthError, RegistryError
from bakery.oci.digest import Digest
from bakery.oci.reference import Repository
from bakery.publish.outcome import DestinationOutcome, Failure, Outcome, State, Step, TargetOutcome
from bakery.publish.policy import PolicyRefused
from bakery.report.grouping import MOST_NAMED, grouped
from tests.report.texts import outcome_lines

HOST = "ghcr.io"


def failed(name, *errors):
    """A target that failed at a destination for each error."""
    places = tuple(
        DestinationOutcome(Repository(host, f"acme/{name}"), State.FAILED, (), Failure(Step.STAGE, error))
        for host, error in errors
    )
    return TargetOutcome(name, name, "1", "", "", State.FAILED, None, (), places)


def full(name, host=HOST, why="the quota is reached"):
    about = f"{host}/acme/{name}@{Digest.of(name.encode())}"
    return host, RegistryError("cannot push blob", about=about, why=why, hint="delete", error_code="registry/quota")


def test_one_reason_for_many_targets_is_one_group():
    names = [f"image-{number}" for number in range(20)]
    (group,) = grouped(Outcome(tuple(failed(name, full(name)) for name in names)))
    assert (group.code, group.uids) == ("registry/quota", tuple(names))
    assert group.text.startswith("image-0: [stage] ghcr.io/acme/image-0: cannot push blob")
    assert group.text.endswith(f"and {19 - MOST_NAMED} more)")
    assert "(and 19 other targets: image-1, " in group.text


def test_registries_reasons_codes_and_steps_are_kept_apart():
    denied = "quay.io", AuthError("cannot push blob", about="quay.io/acme/c", why="the quota is reached", hint="delete")
    outcome = Outcome(
        (
            failed("a", full("a"), full("a", "quay.io")),
            failed("b", full("b", why="the disk is full")),
            failed("c", denied),
            TargetOutcome("d", "d", "1", "", "", State.FAILED, None, (), (), Failure(Step.WAIT, full("d")[1])),
        )
    )
    assert [len(group.places) for group in grouped(outcome)] == [1, 1, 1, 1, 1]


def test_one_reason_at_several_destinations_of_a_target_names_all_of_them():
    refused = PolicyRefused("a tag may not move", why="1.0 is immutable")
    (group,) = grouped(Outcome((failed("app", ("one.example", refused), ("two.example", refused)),)))
    assert group.text == (
        "app: [stage] one.example/acme/app: a tag may not move: 1.0 is immutable "
        "(and 1 other destination: two.example/acme/app)"
    )


def test_the_end_of_a_report_has_one_line_for_the_same_failure():
    text = outcome_lines(Outcome(tuple(failed(name, full(name)) for name in ("a", "b", "c"))))
    assert text.count("error[") == 1
    assert "(and 2 other targets: b, c)" in text
    assert "3 failures" in text
