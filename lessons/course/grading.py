"""Run the tests of an exercise in another process, and read their report."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from .exercises import ROOT, WORK, Exercise, Mistake, shown
from .results import Result


def grade(exercise: Exercise) -> list[Result]:
    """Return what the tests of an exercise say about the answer in work/.

    Raises Mistake, with what that process said last, if it broke down.
    """
    handle, name = tempfile.mkstemp(suffix=".xml")
    os.close(handle)
    report = Path(name)
    command = [sys.executable, "-m", "pytest", str(exercise.tests)]
    # With a blank before the folder, pytest would look for settings in it.
    command += [f"--submission={WORK}", f"--junitxml={report}", "-q"]
    # Neither notebooks nor several processes are wanted for one file, and without
    # plugins pytest starts at once.
    command += ["-o", "addopts=", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    changes = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUTF8": "1"}
    changes["PYTHONOPTIMIZE"] = ""  # the titles of the tests are their docstrings
    changes |= {"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **changes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        results = read_report(report.read_text(encoding="utf-8"))
    finally:
        report.unlink()
    if not results:
        raise Mistake(_broken_off(exercise, done))
    return results


def read_report(text: str) -> list[Result]:
    """Return the results in a JUnit report; none if the report was never written."""
    results = []
    for case in ElementTree.fromstring(text).iter("testcase") if text else ():
        found = {one.get("name"): one.get("value") for one in case.iter("property")}
        if "result" in found:
            results.append(Result.from_json(found["result"]))
    return results


def _broken_off(exercise: Exercise, done: subprocess.CompletedProcess) -> str:
    """Say why there is no report, as far as that can be told."""
    words, answer = done.stdout.strip().splitlines(), shown(exercise.find_answer())
    sentence = f"the tests did not finish (exit status {done.returncode})"
    if done.returncode in (2, 3, 4, 5) and words:  # pytest itself gave up
        return "\n".join([f"{sentence}; their last words:", *words[-12:]])
    sentence += (
        ": your code ended the whole process (by os._exit(), or by a crash), or could "
        f"not be stopped; look for that in {answer}"
    )
    # Of a crash there are the lines that it happened in, the innermost first.
    places = [line for line in words if f'"{answer}' in line]
    return "\n".join([sentence, *places[:3]])
