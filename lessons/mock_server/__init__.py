"""A real HTTP server on this machine that plays an API and breaks on demand.

from mock_server import MockServer, fault

with MockServer() as server:
    server.script(fault.status(503), fault.drop("rst"))
    ...                       # two requests meet those faults, later ones succeed
    server.show()             # what the server saw
"""

from . import fault
from .records import Record
from .server import MockServer

__all__ = ["MockServer", "Record", "fault"]
