"""The control endpoints under /_mock/, for other processes: they are never recorded,
faulted or limited.
"""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from . import fault
from .plan import Plan
from .records import Log
from .reply import to_json

KNOWN = "GET /_mock/health, GET /_mock/records, POST /_mock/script, POST /_mock/reset"
HINT = 'send {"faults": ["status(503)", "ok"]}'


def json_response(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=to_json(value), content_type="application/json"
    )


class Control:
    """Answers the control endpoints.

    reset: forgets all that the server has seen and was told.
    """

    def __init__(self, log: Log, plan: Plan, reset: Callable[[], None]) -> None:
        self._log, self._plan, self._reset = log, plan, reset

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer a request whose path begins with /_mock/."""
        match request.method, request.path:
            case "GET", "/_mock/health":
                return json_response({"status": "ok"})
            case "GET", "/_mock/records":
                records = [record.to_dict() for record in self._log.all()]
                seen = {"records": records, "peak_open": self._log.peak_open}
                return json_response(seen)
            case "POST", "/_mock/reset":
                self._reset()
                return json_response({"status": "ok"})
            case "POST", "/_mock/script":
                return self._script(await request.read())
        message = f"the control endpoints are {KNOWN}"
        return json_response({"error": message}, 404)

    def _script(self, body: bytes) -> web.Response:
        try:
            texts = json.loads(body)["faults"]
            steps = tuple(fault.parse(text) for text in texts)
        except (
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
            ValueError,
        ) as e:
            wrong = {"error": f"{e}; {HINT}", "valid": sorted(fault.NAMES)}
            return json_response(wrong, 400)
        self._plan.add_to_script(steps)
        return json_response({"status": "ok", "scripted": len(steps)})
