"""A report in a browser: nothing to object to by axe-core, light and dark, on phones and screens; without JavaScript,
without a network, on paper and by keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convscale.records import write_record
from convscale.report.writing import write_report
from tests.figures.planted import study
from tests.report.made import made_run
from tests.report.test_studies import DIFFERENCE, ROWS, SEARCH

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
pytestmark = pytest.mark.long
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Rules that axe leaves out unless asked: the strictest contrast.
OPTIONS = {"rules": {"color-contrast-enhanced": {"enabled": True}}}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a run, of an unfinished study, and of all together."""
    folder = tmp_path_factory.mktemp("reports")
    run = made_run(folder / "run").path
    for name in ("study", "search"):
        (folder / name).mkdir()
    result = study([*ROWS[:2], replace(ROWS[2], accuracy=None, seeds=1)], quoted=True)
    write_record(folder / "study" / "results.json", replace(result, differences=(DIFFERENCE,), chance=0.1))
    write_record(folder / "search" / "coefficients.json", SEARCH)
    several = [run, made_run(folder / "other", finished=False).path, folder / "study", folder / "search"]
    return {"run": write_report(run, folder / "run.html"), "all": write_report(several, folder / "all.html")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """Opens a report in a new context; whatever is asked of a network fails the test."""
    contexts, asked = [], list[str]()

    def opened(name: str, **options: Any) -> Any:
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert all(url.startswith(("file:", "data:")) for url in asked)


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [
        *(("run", scheme, width) for scheme in ("light", "dark") for width in (360, 1280)),
        ("all", "light", 360),
        ("all", "dark", 1280),
    ],
)
def test_axe_finds_nothing(open_page: Any, name: str, scheme: str, width: int) -> None:
    page = open_page(name, color_scheme=scheme, viewport={"width": width, "height": 800})
    for details in page.query_selector_all("details"):
        details.evaluate("element => element.open = true")
    found = axe.Axe().run(page, options=OPTIONS)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing scrolls sideways but in its place"


def test_axe_would_find_something(open_page: Any) -> None:
    """The check of the check: a grey that is too light, and a picture without a text."""
    page = open_page("run")
    page.evaluate(
        "document.querySelector('dd').style.color = '#888888'; document.querySelector('img').removeAttribute('alt')"
    )
    rules = {one["id"] for one in axe.Axe().run(page, options=OPTIONS).response["violations"]}
    assert {"color-contrast", "image-alt"} <= rules


def test_it_is_complete_without_javascript(open_page: Any) -> None:
    texts = [open_page("run", java_script_enabled=enabled).inner_text("body") for enabled in (True, False)]
    assert texts[0] == texts[1] and "Confusion, calibration and mistakes" in texts[0]


def test_dark_pages_are_dark_and_figures_follow(open_page: Any) -> None:
    def colours(scheme: str) -> tuple[str, str]:
        page = open_page("run", color_scheme=scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return ground, page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")

    light, dark = colours("light"), colours("dark")
    assert light[0] == "rgb(255, 255, 255)" and dark[0] == "rgb(22, 24, 27)"
    assert light[1] != dark[1]


def test_by_keyboard_the_first_stop_leads_to_the_content(open_page: Any) -> None:
    page = open_page("run")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open"), "numbers unfold by keyboard"


def test_on_paper_the_numbers_are_unfolded_and_the_page_is_light(open_page: Any) -> None:
    page = open_page("run", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate("document.querySelector('details table').getBoundingClientRect().height") > 0
    assert page.pdf()[:4] == b"%PDF"
