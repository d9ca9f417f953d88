"""The timeline in a real Chromium: it is drawn, works with mouse and keyboard, and is accessible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bakery.events import Event, RunStarted, RunTarget, StepFinished, StepStarted, TargetFinished
from bakery.report.journals import entries, runs
from bakery.report.model import Run
from bakery.report.timeline_page import timeline_page
from tests.peers.programs import need
from tests.report.runs import run_of

pytestmark = pytest.mark.peer

SAMPLE = Path(__file__).parents[1] / "report" / "samples" / "journal-2.jsonl"
LARGEST = 3_000_000  # bytes of a page with 1,000 targets
LONGEST_MS = 2_000  # until it is drawn


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Shown:
    """A page in the browser, what it wrote to the console, and what it loaded."""

    page: Page
    console: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    @property
    def rows(self):
        return self.page.locator("#targets > li:not([hidden])")

    def axe(self) -> list[str]:
        """What axe-core finds, as the name of each rule with the elements that break it."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {[node['html'] for node in one['nodes']][:3]}" for one in found]


@pytest.fixture
def show(chromium, tmp_path):
    opened: list[Shown] = []

    def show(run: Run, *, width: int = 1400, height: int = 900, scheme: str = "light") -> Shown:
        file = tmp_path / "timeline.html"
        file.write_text(timeline_page(run), encoding="utf-8")
        page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        shown = Shown(page)
        opened.append(shown)
        page.on("console", lambda message: shown.console.append(message.text))
        page.on("pageerror", lambda error: shown.console.append(str(error)))
        page.on("request", lambda request: shown.loaded.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn]")
        return shown

    yield show
    for shown in opened:
        shown.page.close()
        assert shown.console == []
        assert len(shown.loaded) == 1, "a page that is kept for years loads nothing"


def small() -> Run:
    return run_of(20, failing=frozenset({3}))


def test_every_target_is_a_row_every_step_a_bar_and_every_registry_a_lane(show):
    shown = show(small())
    expect(shown.page.locator("h1")).to_contain_text("Publish: 1 of 20 targets failed")
    expect(shown.rows).to_have_count(20)
    expect(shown.page.locator(".bar")).to_have_count(20 * 8 - 2)
    expect(shown.page.locator(".bar.error")).to_have_count(1)
    expect(shown.page.locator("#hosts > li")).to_have_count(2)
    expect(shown.page.locator("#hosts svg path")).to_have_count(6)
    expect(shown.page.locator(".held")).to_have_count(1)
    first = shown.page.locator(".bar").first.bounding_box()
    assert first["width"] > 10


def test_a_recorded_run_is_drawn(show):
    (run,) = runs(entries(SAMPLE.read_text().splitlines()))
    shown = show(run)
    expect(shown.rows).to_have_count(2)
    assert shown.page.locator(".mark").count() > 0


def test_a_run_that_was_killed_is_drawn_up_to_then(show):
    lines = SAMPLE.read_text().splitlines()
    (run,) = runs(entries(lines[:30]))
    assert run.state == "running"
    shown = show(run)
    expect(shown.page.locator("h1")).to_contain_text("did not end")
    expect(shown.rows).to_have_count(2)


def test_the_filter_finds_text_status_and_registry_and_can_be_cleared(show):
    shown = show(small())
    page = shown.page
    page.fill("#text", "permission to push")
    expect(shown.rows).to_have_count(1)
    expect(page.locator("#count")).to_have_text("1 of 20 targets")
    page.fill("#text", "1.1 latest")
    expect(shown.rows).to_have_count(11)  # 1.1.0 and 1.10.0 to 1.19.0
    page.fill("#text", "nothing like it")
    expect(page.locator("#none")).to_be_visible()
    page.click("#clear")
    expect(shown.rows).to_have_count(20)
    page.click("#states [data-state=failed]")
    expect(shown.rows).to_have_count(1)
    page.click("#states [data-state=failed]")
    page.select_option("#registry", "docker.io")
    expect(page.locator("#hosts > li:not([hidden])")).to_have_count(1)
    expect(shown.rows).to_have_count(20)


def test_rows_can_be_sorted(show):
    shown = show(small())
    shown.page.select_option("#sort", "time")
    shown.page.select_option("#sort", "name")
    names = shown.page.locator("#targets .label").evaluate_all("labels => labels.map((label) => label.title)")
    assert names == sorted(names)
    shown.page.select_option("#sort", "plan")
    assert shown.page.locator("#targets .label").first.get_attribute("title") == "hello-1-0-0"


def span(page: Page) -> float:
    return float(page.evaluate("getComputedStyle(document.getElementById('chart')).getPropertyValue('--span')"))


def test_zoom_by_buttons_keys_wheel_and_by_dragging_over_the_overview(show):
    page = show(small()).page
    page.click("#in")
    assert span(page) == 0.5
    page.keyboard.press("-")
    assert span(page) == 1
    ticks = page.locator("#ticks").inner_text()
    box = page.locator("#overview").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10, steps=4)
    page.mouse.up()
    assert span(page) == pytest.approx(0.25, abs=0.01)
    assert page.locator("#ticks").inner_text() != ticks
    page.click("h1")
    page.keyboard.press("0")
    assert span(page) == 1
    page.mouse.move(box["x"] + 200, box["y"] + 300)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_function("getComputedStyle(document.getElementById('chart')).getPropertyValue('--span') < 1")


def test_a_row_whose_bars_are_out_of_sight_says_on_which_side_they_are(show):
    page = show(small()).page
    expect(page.locator(".earlier, .later")).to_have_count(0)
    for _ in range(3):
        page.keyboard.press("+")
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    expect(page.locator(".row.later")).to_have_count(20 - 11)  # of the first 16, one begins each tenth of a second
    expect(page.locator(".row.earlier")).to_have_count(0)


def test_everything_can_be_done_by_keyboard(show):
    shown = show(small())
    page = shown.page
    page.keyboard.press("/")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("hello")
    page.locator("#targets .label").first.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    details = page.locator("#details")
    expect(details).to_be_focused()
    expect(details).to_contain_text("hello 1.18.0 Standard")
    expect(details).to_contain_text("docker.io/acme/hello:latest")
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(page.locator('#targets .label[title="hello-1-18-0"]')).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator("#targets .label").first).to_be_focused()
    assert page.locator('#targets .label[tabindex="0"]').count() == 1
    page.keyboard.press("Escape")
    expect(page.locator("#text")).to_have_value("")


def test_what_is_under_the_pointer_is_explained(show):
    page = show(small()).page
    tip = page.locator("#tip")
    page.locator(".bar.error").hover()
    expect(tip).to_contain_text("403 DENIED: no permission to push")
    page.locator(".mark").nth(1).hover()
    expect(tip).to_contain_text("503 UNAVAILABLE")
    page.locator(".held").hover()
    expect(tip).to_contain_text("429 TOOMANYREQUESTS")
    page.locator("#hosts .track").nth(1).hover()
    expect(tip).to_contain_text("requests/s")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 420])
def test_contrast_labels_and_roles_are_right(show, scheme, width):
    shown = show(small(), scheme=scheme, width=width)
    assert shown.axe() == []
    shown.page.click("#keys")
    shown.page.click("#states [data-state=failed]")
    shown.page.locator("#targets .label:visible").first.click()
    expect(shown.page.locator("#details")).to_be_visible()
    shown.page.wait_for_timeout(250)  # the details slide in
    assert shown.axe() == []


@pytest.mark.parametrize("width", [1400, 700, 420])
def test_nothing_is_wider_than_the_window(show, width):
    page = show(small(), width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_printed_it_is_light_and_has_every_row_and_no_controls(show):
    page = show(small(), scheme="dark").page
    page.emulate_media(media="print")
    expect(page.locator("#controls")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.pdf()[:5] == b"%PDF-"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'> \u2028 ${1} /*SCRIPT*/ <!--"


def test_foreign_text_is_shown_as_text(show):
    run = Run(started_at=1.0)
    about = RunTarget(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,))
    events: list[Event] = [
        RunStarted(HOSTILE, (about,)),
        StepStarted(HOSTILE, f"{HOSTILE} {HOSTILE}"),
        StepFinished(HOSTILE, f"{HOSTILE} {HOSTILE}", 1.0, HOSTILE),
        TargetFinished(HOSTILE, "failed", 2.0),
    ]
    for at, event in enumerate(events):
        run.apply(event, float(at))
    page = show(run).page
    page.locator(".label").last.click()
    page.locator(".bar").hover(force=True)
    assert page.evaluate("window.owned") is None
    assert page.locator("img").count() == 0
    expect(page.locator("#details")).to_contain_text("</script><script>window.owned = 1</script>")


def test_a_run_of_1000_targets_is_small_and_drawn_at_once(show, tmp_path):
    run = run_of(1000, retries=3, failing=frozenset(range(0, 1000, 50)))
    assert len(run.marks) >= 6000
    page = show(run).page
    size = (tmp_path / "timeline.html").stat().st_size
    assert size < LARGEST, f"{size:,} bytes"
    took_ms = int(page.evaluate("document.documentElement.dataset.drawn"))
    assert took_ms < LONGEST_MS, f"{took_ms} ms"
    assert page.locator("#targets > li").count() == 1000
