"""`python -m website.page_pictures [FOLDER]`: pictures of the timeline and the summary page of a real run, as PNG.

Requires Chromium and a font with emoji (Debian: chromium, fonts-noto-color-emoji).

The project in docs/pictures/project is rehearsed with faults: real transfers to registries in this process. In its
journal and its summary, the addresses of these registries become the names that the project has for them. The timeline
is drawn from that journal, the page from that summary, and both are photographed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import cmarkgfm
from cmarkgfm.cmark import Options
from playwright.sync_api import Browser, sync_playwright
from tests.peers.programs import need

from bakery.app.rehearse import RehearseRequest, rehearse_request
from bakery.oci.canonical import parse_object
from bakery.publish.journal import line_of
from bakery.report.journals import entries, runs
from bakery.report.merging import merge
from bakery.report.page import summary_page
from bakery.report.reading import read_summary
from bakery.report.recorder import Recorder
from bakery.report.summary import dump, to_json
from bakery.report.timeline_page import timeline_page
from bakery.report.work import started

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
PROJECT = FOLDER / "project"
SEED = 7
# As GitHub shows a page, near enough for a picture.
STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1f2328; margin: 28px 32px; max-width: 1080px; }
h2 { font-size: 23px; border-bottom: 1px solid #d1d9e0; padding-bottom: 6px; margin: 0 0 14px; }
h3 { font-size: 18px; margin: 22px 0 12px; }
table { border-collapse: collapse; font-size: 13px; } th, td { border: 1px solid #d1d9e0; padding: 6px 12px; }
code { font: 12px "DejaVu Sans Mono", monospace; background: #eff1f3; border-radius: 5px; padding: 2px 5px; }
pre { background: #f6f8fa; border-radius: 6px; padding: 14px; font-size: 12px; }
pre code { background: none; padding: 0; }
a { color: #0969da; text-decoration: none; } details { margin: 10px 0; } summary { cursor: pointer; }
"""


def rehearse() -> tuple[str, str]:
    """Return the page of the timeline and the summary page, as HTML."""
    lines: list[str] = []
    recorder = Recorder()
    recorder.listen(lambda event, run, at: lines.append(line_of(event, started(run, at))))
    request = RehearseRequest(PROJECT, faults=str(PROJECT / "faults.json"), seed=SEED)
    done = rehearse_request(request, emit=recorder)

    def named(text: str) -> str:
        for name, address in done.stand_ins.items():
            text = text.replace(address, name)
        return text

    (run,) = runs(entries(map(named, lines)))
    run.doing = "publish"
    summary = parse_object(named(dump(to_json(done.outcome, recorder.run) | {"kind": "publish"})).encode())
    markdown = summary_page(merge([read_summary(summary)]))
    page = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
    return timeline_page(run), f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{page}"


def photograph(folder: Path) -> None:
    """Write every picture to a folder."""
    timeline, page = rehearse()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        _shoot(browser, timeline, folder / "timeline.png", width=1280, height=860)
        _shoot(browser, timeline, folder / "timeline-dark.png", width=1280, height=860, scheme="dark", open_failed=True)
        opened = page.replace("<details><summary>Time by stage", "<details open><summary>Time by stage")
        opened = opened.replace("<details><summary>Registries", "<details open><summary>Registries")
        _shoot(browser, opened, folder / "summary-page.png", width=1150, height=1000, whole=True)
        browser.close()


def _shoot(
    browser: Browser, html: str, file: Path, *, width: int, height: int, scheme: Literal["light", "dark"] = "light",
    whole: bool = False, open_failed: bool = False,
) -> None:  # fmt: skip
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.set_content(html)
    if open_failed:
        page.locator(".row .label:has(.state.failed)").first.click()
        page.wait_for_timeout(300)  # the details slide in
    page.screenshot(path=file, full_page=whole)
    page.close()


if __name__ == "__main__":
    photograph(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
