"""Product APIs: versions for a constraint, offers of a channel, pinned versions; all from recorded responses."""

import json

import pytest

from bakery.config.load import load_project
from bakery.config.project import Constraint
from bakery.config.systems import build_system
from bakery.errors import UsageError, one_line
from bakery.products import channels, published
from bakery.products.catalog import ProductCatalog
from bakery.products.channels import PinRefused
from bakery.products.pages import Pages
from bakery.products.source import RecordedPages
from bakery.products.spec import DevSpec
from bakery.targets.catalog import LookupFailed
from bakery.targets.select import Selection, select
from tests import projects
from tests.config import parsing

PUBLISHED = ["4.6.1", "4.5.3", "4.5.2", "4.4.3", "4.4.1", "4.4.0", "4.3.3", "devel"]
CHOSEN = [
    ({"latest": True}, ["4.6.1"]),
    ({"latest": True, "count": 2}, ["4.6.1", "4.5.3"]),
    ({"latest": True, "min": "4.4"}, ["4.6.1", "4.5.3", "4.4.3"]),
    ({"max": "4.4", "count": 2}, ["4.4.3", "4.3.3"]),
    ({"max": "4.4.1", "count": 1}, ["4.4.1"]),
    ({"max": "4"}, ["4.6.1", "4.5.3", "4.4.3", "4.3.3"]),
    ({"max": "4", "min": "4.5.3"}, ["4.6.1", "4.5.3"]),
    ({"max": "3"}, []),
]


def constraint(name="R", *, prerelease=False, **given):
    return Constraint(name, given.get("latest"), given.get("count"), given.get("max"), given.get("min"), prerelease)


@pytest.mark.parametrize(("given", "versions"), CHOSEN, ids=[str(row[0]) for row in CHOSEN])
def test_a_constraint_selects(given, versions):
    assert list(published.choose(constraint(**given), PUBLISHED)) == versions


def test_published_spelling_is_kept_and_a_leading_v_is_dropped():
    assert published.choose(constraint(latest=True, count=3), ["v1.8.0", "2026.03.0-212", "2026.03.0-9", "1.7"]) == (
        "2026.03.0-212", "1.8.0", "1.7",
    )  # fmt: skip


@pytest.fixture
def pages():
    return Pages(RecordedPages(projects.HTTP))


RESOLVED = {
    "python without pre-releases, other systems and pypy": (("python", {"latest": True, "count": 2}), "3.14.2 3.13.9"),
    "R without devel and next": (("R", {"latest": True, "count": 3}), "4.5.2 4.4.3 4.3.3"),
    "quarto, the newest": (("quarto", {"latest": True}), "1.8.26"),
    "quarto, an older line": (("quarto", {"max": "1.6", "count": 1}), "1.6.43"),
    "positron": (("positron", {"latest": True, "count": 2}), "2026.03.0-212 2026.02.1-5"),
}


@pytest.mark.parametrize(("about", "versions"), RESOLVED.values(), ids=RESOLVED)
def test_a_constraint_resolves_with_recorded_responses(pages, about, versions):
    name, given = about
    assert " ".join(published.resolve(constraint(name, **given), pages)) == versions


def test_prereleases_are_included_if_requested(pages):
    assert published.resolve(constraint("quarto", latest=True, prerelease=True), pages) == ("1.9.12",)
    assert published.resolve(constraint("positron", latest=True, prerelease=True), pages) == ("2026.04.0-12",)


def test_an_unsatisfiable_constraint_reports_the_newest_version(pages):
    with pytest.raises(LookupFailed, match=r"newest published version is 4\.5\.2"):
        published.resolve(constraint("R", max="2"), pages)


def test_two_versions_of_quarto_are_an_error(pages):
    with pytest.raises(LookupFailed, match="single version"):
        published.resolve(constraint("quarto", latest=True, min="1.5"), pages)


OFFERS = {
    "connect release on Ubuntu": ("connect", "release", "Ubuntu 24.04", "2026.08.0 ~noble_amd64.deb"),
    "connect release on Debian 12": ("connect", "release", "Debian 12", "2026.08.0 ~noble_amd64.deb"),
    "connect release on RHEL 8": ("connect", "release", "RHEL 8", "2026.08.0 ~redhat8_amd64.deb"),
    "connect release on Rocky 9": ("connect", "release", "Rocky Linux 9", "2026.08.0 ~rhel9_amd64.deb"),
    "connect daily on Ubuntu": ("connect", "daily", "Ubuntu 22.04", "2026.04.0-dev+10-gbe0a4a3d31 ~ubuntu22_amd64.deb"),
    "connect daily on Debian 12": ("connect", "daily", "Debian 12", "2026.04.0-dev+10-gbe0a4a3d31 ~ubuntu24_amd64.deb"),
    "connect daily on Alma 9": ("connect", "daily", "Alma 9", "2026.04.0-dev+10-gbe0a4a3d31 .el9.x86_64.rpm"),
    "connect has no preview": ("connect", "preview", "Ubuntu 24.04", None),
    "connect release on something else": ("connect", "release", "Alpine 3", None),
    "package manager release on Ubuntu 24": ("package-manager", "release", "Ubuntu 24.04", "2026.08.0-3 ubuntu64"),
    "package manager release on Ubuntu 22": ("package-manager", "release", "Ubuntu 22.04", "2026.08.0-3 jammy"),
    "package manager release on Debian 11": ("package-manager", "release", "Debian 11", "2026.08.0-3 jammy"),
    "package manager release on RHEL 8": ("package-manager", "release", "RHEL 8", "2026.08.0-3 fedora28"),
    "package manager preview": ("package-manager", "preview", "Debian 12",
        "2025.12.0-rc2+3-g9876543210 "
        "https://cdn.posit.co/package-manager/deb/amd64/rstudio-pm_2025.12.0-rc2%2B3-g9876543210_amd64.deb"),
    "package manager daily on RHEL": ("package-manager", "daily", "RHEL 9",
        "2026.01.0-dev+12-g0123456789 "
        "https://cdn.posit.co/package-manager/rpm/x86_64/rstudio-pm-2026.01.0-dev%2B12-g0123456789.x86_64.rpm"),
    "package manager daily on something else": ("package-manager", "daily", "Scratch", None),
    "workbench release": ("workbench", "release", "Ubuntu 22.04", "2026.08.1+195.pro1 server/jammy"),
    "workbench session release": ("workbench-session", "release", "Ubuntu 24.04", "2026.08.1+195.pro1 session/noble"),
    "workbench daily": ("workbench", "daily", "Ubuntu 24.04", "2026.05.0-daily+20.pro1 noble/amd64/rstudio-workbench"),
    "workbench daily on RHEL": ("workbench", "daily", "RHEL 9", "2026.05.0-daily+20.pro1 rhel9/x86_64"),
    "workbench session preview": ("workbench-session", "preview", "Debian 11", "2026.05.0-daily+20.pro1 rsp-session"),
}  # fmt: skip


@pytest.mark.parametrize(("product", "channel", "system", "wanted"), OFFERS.values(), ids=OFFERS)
def test_a_channel_offers(pages, product, channel, system, wanted):
    found = channels.offer(product, channel, build_system(system), pages)
    if wanted is None:
        assert found is None
        return
    version, _, piece = wanted.partition(" ")
    assert found is not None
    assert found.version == version
    assert piece in found.url


def test_the_architecture_in_a_url_becomes_a_build_argument_unless_only_amd64_is_built():
    url = "https://x.org/amd64/a_amd64.deb"
    assert channels.for_platforms(url, ("linux/amd64",)) == url
    both = channels.for_platforms("https://x.org/amd64/x86_64", ("linux/amd64", "linux/arm64"))
    assert both == "https://x.org/$TARGETARCH/$TARGETARCH"
    assert "$TARGETARCH" in channels.for_platforms(url, ("linux/arm64",))


SPECS = {
    "invalid JSON": "{",
    "nested deeply": "[" * 20_000,
    "not an object": "[]",
    "an unknown key": '{"version": "1.2.3", "x": 1}',
    "empty": "{}",
    "only a channel": '{"channel": "daily"}',
    "a version of two numbers": '{"version": "1.2"}',
    "an unknown channel": '{"version": "1.2.3", "channel": "nightly"}',
    "a number": '{"version": 1}',
}


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS)
def test_an_invalid_spec_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--dev-spec"):
        DevSpec.parse(text)


def test_the_channel_of_a_spec_is_a_filter_and_must_not_conflict_with_dev_channel():
    spec = DevSpec.parse('{"version": "1.2.3", "channel": "daily"}')
    assert spec.channel_filter(None) == spec.channel_filter("daily") == "daily"
    with pytest.raises(UsageError, match="--dev-channel"):
        spec.channel_filter("preview")


def dev(project, spec=None, source=None, **wanted):
    catalog = ProductCatalog(source or RecordedPages(projects.HTTP), DevSpec.parse(json.dumps(spec)) if spec else None)
    found = select(project, Selection(dev_versions="only", matrix_versions="include", **wanted), catalog, environ={})
    return found, [problem.message for problem in found.problems]


def entry(product, channel, systems="[{name: Ubuntu 24.04}]", extra=""):
    return parsing.image(
        f"devVersions: [{{sourceType: channel, product: {product}, channel: {channel}, os: {systems}{extra}}}]"
    )


def test_only_the_newest_version_of_a_channel_gets_its_tags_when_pinned():
    project = entry("connect", "daily")
    head, _ = dev(project, {"version": "2026.04.0-dev+10-gbe0a4a3d31", "channel": "daily"})
    older, _ = dev(project, {"version": "2026.04.0-dev+3-gabc", "channel": "daily"})
    assert "app:daily" in head.targets[0].references
    assert "app:daily" not in older.targets[0].references
    system = older.targets[0].system
    assert system is not None
    assert system.download_url is not None
    assert "2026.04.0-dev%2B3-gabc~ubuntu24" in system.download_url


def test_a_pinned_workbench_is_looked_up_in_the_branch_of_its_month():
    found, _ = dev(entry("workbench", "daily"), {"version": "2026.08.2-daily+9.pro1", "channel": "daily"})
    system = found.targets[0].system
    assert system is not None
    assert system.download_url == "https://s3.example/noble/amd64/rstudio-workbench-2026.08.2-daily-9.pro1-amd64.deb"


def test_a_release_branch_without_a_version_selects_its_dailies():
    found, _ = dev(entry("workbench", "daily"), {"release_branch": "apple-blossom"})
    assert {target.version for target in found.targets} == {"2026.07.1-daily+88.pro3"}
    other, _ = dev(entry("connect", "daily"), {"release_branch": "apple-blossom"})
    assert {target.version for target in other.targets} == {"2026.04.0-dev+10-gbe0a4a3d31"}


def test_a_pinned_package_that_does_not_exist_is_an_error(tmp_path):
    index = json.loads((projects.HTTP / "index.json").read_text())
    index["get"] = {url: str(projects.HTTP / name) for url, name in index["get"].items()}
    (tmp_path / "index.json").write_text(json.dumps(index | {"head": {"default": 404}}))
    spec = {"version": "2026.04.0-dev+3-gabc", "channel": "daily"}
    with pytest.raises(PinRefused, match="404"):
        dev(entry("connect", "daily"), spec, RecordedPages(tmp_path))


def test_a_spec_that_applies_to_two_entries_is_ambiguous():
    project = parsing.image(
        "devVersions: [{sourceType: channel, product: connect, channel: daily, os: [{name: U}]},"
        " {sourceType: channel, product: workbench, channel: daily, os: [{name: U}]}]"
    )
    with pytest.raises(UsageError, match="2 development versions"):
        dev(project, {"version": "1.2.3", "channel": "daily"})


def test_a_system_that_the_channel_does_not_offer_is_left_out_with_a_warning():
    project = entry("connect", "daily", "[{name: Alpine 3, primary: true}, {name: Ubuntu 24.04}]")
    found, messages = dev(project)
    assert [target.os for target in found.targets] == ["Ubuntu 24.04"]
    assert any("Alpine 3" in message for message in messages)


def test_an_entry_that_cannot_be_looked_up_is_left_out_and_counted():
    found, messages = dev(entry("connect", "preview"))
    assert (found.targets, found.failed > 0) == ((), True)
    assert any("left out" in message for message in messages)


def test_an_unexpected_response_is_reported_with_its_url(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps({"get": {channels.CONNECT_DAILY: "a", published.R: "b"}}))
    (tmp_path / "a").write_text('{"packages": [{"platform": "ubuntu24/amd64", "version": 3}]}')
    (tmp_path / "b").write_text("<html>")
    found, messages = dev(entry("connect", "daily"), source=RecordedPages(tmp_path))
    assert found.targets == ()
    assert any(channels.CONNECT_DAILY in message for message in messages)
    with pytest.raises(LookupFailed, match="not valid JSON") as caught:
        published.resolve(constraint("R", latest=True), Pages(RecordedPages(tmp_path)))
    assert "--dev-spec" in one_line(caught.value)


def test_every_url_is_fetched_once_and_only_if_the_filters_need_it():
    fetched = []

    class Counting(RecordedPages):
        def fetch(self, urls):
            fetched.extend(urls)
            return super().fetch(urls)

    project = load_project(projects.HERE / "nightly")
    select(project, Selection(dev_versions="include", image_name="package"), ProductCatalog(Counting(projects.HTTP)))
    assert sorted(fetched) == sorted([channels.PPM_MAIN, channels.PPM_RC])
    fetched.clear()
    everything = Selection(dev_versions="include", matrix_versions="include")
    select(project, everything, ProductCatalog(Counting(projects.HTTP)))
    assert len(fetched) == len(set(fetched))
    fetched.clear()
    select(project, Selection(), ProductCatalog(Counting(projects.HTTP)))
    assert fetched == []
