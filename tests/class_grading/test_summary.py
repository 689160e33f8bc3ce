"""summary.html: one page that needs nothing else, on a screen and on paper."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from lessons.course.exercises import find_exercises
from tests.grade.summary import misconceptions

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def test_the_text(made: Path) -> None:
    """The page names level and promise, who needs a look, and each file that was not
    graded; nothing of an answer is taken for HTML, and nothing is loaded.
    """
    text = (made / "report" / "summary.html").read_text("utf-8")
    assert "Isolation process: made up for tests, it stops &lt;nothing&gt;." in text
    assert "Needs a look: 3" in text and "tampering" in text
    assert "=emre/notes.txt" in text and "not named as an answer" in text
    assert "Dora &lt;b&gt; Doe" in text and "<b> Doe" not in text
    assert not re.search(r"https?://|url\(|<link [^>]*stylesheet|<script src", text)


def test_misconceptions() -> None:
    """Tests of every exercise have a sentence on what somebody thinks who fails them,
    and the titles are those of the tests.
    """
    for exercise in find_exercises():
        known = misconceptions(exercise.stem)
        assert len(known) >= 8, f"{exercise.stem}: {[*known]}"
        assert all(title and sentence for title, sentence in known.items())


def test_in_a_browser(made: Path) -> None:
    """A click on a head sorts; the page is dark where that is wanted, but not on paper;
    the browser has nothing to complain about.
    """
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip("there is no Chromium on this machine")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found[0],
            args=["--headless=new", "--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(
            color_scheme="dark", viewport={"width": 800, "height": 600}
        )
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((made / "report" / "summary.html").as_uri())
        table = page.locator("table", has=page.get_by_role("button", name="05"))

        def students() -> list[str]:
            return table.locator("tbody a").all_inner_texts()

        head = table.get_by_role("button", name="total")
        head.click()
        assert students()[0] == "ada", "the most points come first"
        head.click()
        assert students()[-1] == "ada", "the other way round at the second click"
        table.get_by_role("button", name="student").click()
        assert students() == ["=emre", "77", "ada", "bo", "chen"]

        def paper_colour() -> str:
            return page.evaluate("getComputedStyle(document.body).backgroundColor")

        assert paper_colour() == "rgb(20, 24, 28)", "it is not dark"
        page.emulate_media(media="print")
        assert paper_colour() == "rgb(255, 255, 255)", "paper is not white"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 800, "it is wider than the window"
        browser.close()
    assert complaints == []
