"""Work through notebooks in JupyterLab, in a real browser, as a learner does. By hand:

    python -m tests.in_jupyter 02 05      these, or all without a number

In a copy of the course, each notebook is opened, its links to files are clicked, all
cells are run, and it is saved. Then pytest runs on the saved notebooks. It takes about
half a minute a notebook, so it is no part of the tests.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Page, sync_playwright

from tests.lesson_files import NOTEBOOKS, ROOT
from tests.mock_server.test_live_page import BROWSERS, OPTIONS

TOKEN = "a-word-for-this-run"
COUNT = itertools.count(1)
LAB = [
    *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
    *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
    *(f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"),
]
# What is open in front, as a path from the root of Jupyter.
IN_FRONT = "() => window.jupyterapp.shell.currentWidget?.context?.path ?? ''"
IS_READY = """path => {
    const widget = window.jupyterapp?.shell.currentWidget;
    return widget?.context?.path === path && widget.context.isReady
        && widget.sessionContext.session?.kernel?.status === 'idle'
        && window.jupyterapp.commands.hasCommand('notebook:run-all-cells');
}"""
LEFT = """() => window.jupyterapp.shell.currentWidget.content.widgets.filter(
    cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().trim()
        && !cell.model.executionCount).length"""
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"


def copy_course(folder: Path) -> Path:
    """Copy the files that git knows, and make work/, as `start` does."""
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, encoding="utf-8")
    for name in names.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def start_lab(folder: Path) -> tuple[subprocess.Popen, str]:
    """Start JupyterLab at the root of the copy; return it and its address."""
    log = folder.parent / "jupyter.log"
    with log.open("w") as output:
        process = subprocess.Popen(LAB, cwd=folder, stdout=output, stderr=output)
    for _ in range(600):
        if process.poll() is not None:
            break
        if found := re.search(r"http://127\.0\.0\.1:\d+/(?=lab)", log.read_text()):
            return process, found[0]
        time.sleep(0.1)
    process.kill()
    sys.exit(f"Jupyter did not start:\n{log.read_text()}")


def visit(page: Page, url: str, path: str) -> None:
    """Open a notebook in an empty JupyterLab, and wait until its kernel is there."""
    # A workspace of its own, so that nothing else is open in it.
    page.goto(f"{url}lab/workspaces/w{next(COUNT)}/tree/{path}?token={TOKEN}")
    page.wait_for_function(IS_READY, arg=path)


def links(path: Path) -> list[str]:
    """Return the addresses of files that the Markdown of a notebook links to."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] != "code")
    found = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)[^)]*\)", text)
    return [one for one in dict.fromkeys(found) if not urlsplit(one).scheme]


def click(page: Page, path: str, link: str) -> str:
    """Click a link of the notebook in front; return what is wrong, "" if it opens."""
    wanted = os.path.normpath(os.path.join(os.path.dirname(path), unquote(link)))
    target = page.locator(f'.jp-RenderedMarkdown a[href*="{Path(link).name}"]').first
    # JupyterLab draws only what is near; a click of the page itself needs no scrolling.
    target.evaluate("link => link.click()")
    for _ in range(100):
        if dialog := page.locator(".jp-Dialog-content").all():
            return f"{link}: {dialog[0].inner_text()!r}"
        if page.evaluate(IN_FRONT) == wanted:
            return ""
        page.wait_for_timeout(100)
    return f"{link}: {page.evaluate(IN_FRONT)!r} is in front, not {wanted}"


def work_through(page: Page, url: str, notebook: Path) -> list[str]:
    """Click the links of a notebook, run all of it and save; return what went wrong."""
    path, trouble = f"notebooks/{notebook.name}", []
    for link in links(notebook):
        visit(page, url, path)
        if wrong := click(page, path, link):
            trouble.append(wrong)
    visit(page, url, path)
    page.evaluate(RUN_ALL)
    if left := page.evaluate(LEFT):
        trouble.append(f"{left} cells did not run")
    page.evaluate(SAVE)
    page.wait_for_function(
        "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"
    )
    return trouble


def main(numbers: list[str]) -> int:
    """Work through the notebooks with these numbers; 0 if all is well."""
    chosen = [one for one in NOTEBOOKS if not numbers or one.name[:2] in numbers]
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not chosen or not browser_path:
        sys.exit("no such notebook" if browser_path else "there is no Chromium here")
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_course(Path(temporary) / "course")
        process, url = start_lab(folder)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=browser_path, args=list(OPTIONS)
                )
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                page.set_default_timeout(60_000)
                for notebook in chosen:
                    trouble = work_through(
                        page, url, folder / "notebooks" / notebook.name
                    )
                    failed |= bool(trouble)
                    print(
                        f"{notebook.name}: {'; '.join(trouble) or 'well'}", flush=True
                    )
        finally:
            process.terminate()
            process.wait()
        paths = [f"notebooks/{one.name}" for one in chosen]
        tests = ["tests/lessons/test_notebooks.py", "tests/repository/test_style.py"]
        command = [sys.executable, "-m", "pytest", "-q", *paths, *tests]
        failed |= subprocess.run(command, cwd=folder).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
