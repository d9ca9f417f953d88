"""Jobs are sent to runners by platform, and named so that no two of them leave the same artifact."""

import pytest

from bakery.errors import UsageError
from bakery.targets.runners import Runners, with_runners

MAPPING = ("default=ubuntu-24.04", "linux/arm64=ubuntu-24.04-arm", "linux/arm=self-hosted,arm", "windows=windows-2025")
PLATFORMS = {
    "linux/amd64": "ubuntu-24.04",
    "linux/arm64": "ubuntu-24.04-arm",
    "linux/arm64/v8": "ubuntu-24.04-arm",
    "linux/arm/v7": ["self-hosted", "arm"],
    "windows/amd64": "windows-2025",
}


@pytest.mark.parametrize(("platform", "runner"), PLATFORMS.items())
def test_the_longest_prefix_wins(platform, runner):
    assert Runners.parse(MAPPING).of(platform) == runner


@pytest.mark.parametrize("text", ["", "ubuntu", "=ubuntu", "linux/amd64=", "default=,"])
def test_a_mapping_without_platform_or_label_is_refused(text):
    with pytest.raises(UsageError, match="PLATFORM=LABEL"):
        Runners.parse([text])


def test_a_platform_without_a_runner_is_an_error_that_names_it():
    with pytest.raises(UsageError, match="linux/s390x"):
        Runners.parse(["linux/amd64=x"]).of("linux/s390x")


def test_ids_are_unique_and_may_name_an_artifact():
    jobs = [
        {"image": "app", "version": "1.0", "platform": "linux/amd64"},
        {"image": "app", "version": "1.0 linux", "platform": "amd64"},
        {"image": "app", "version": "1.0"},
        {"platform": "linux/arm/v7"},
    ]
    named = with_runners(jobs, Runners.parse(["default=x"]))
    assert [job["id"] for job in named] == [
        "app-1.0-linux-amd64",
        "app-1.0-linux-amd64-2",
        "app-1.0",
        "linux-arm-v7",
    ]
