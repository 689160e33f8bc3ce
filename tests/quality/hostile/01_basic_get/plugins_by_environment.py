"""Asks for plugins by the environment of later processes."""

import os
from pathlib import Path

Path("evil.py").write_text("def pytest_runtest_call(item): item.obj = print\n")
Path("conftest.py").write_text("def pytest_runtest_call(item): item.obj = print\n")
Path("sitecustomize.py").write_text("print('I am here')\n")
Path("evil.pth").write_text("import sitecustomize\n")
Path("pytest.ini").write_text("[pytest]\naddopts = -p evil\n")
os.environ.update(
    PYTEST_ADDOPTS="-p evil", PYTEST_PLUGINS="evil", PYTHONPATH=os.getcwd()
)


def get_json(url, params=None, timeout=10.0):
    return None


def fetch_all(url, params=None):
    return []
