"""The control endpoints under /_mock/, for other processes: they are never recorded,
faulted or limited.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from . import fault
from .fault import Fault
from .live import Live, detail
from .plan import Plan, Rule
from .records import Log
from .reply import to_json

# What can be posted where, as an example.
EXAMPLES: dict[str, dict[str, Any]] = {
    "script": {"faults": ["status(503)", "ok"]},
    "rules": {
        "method": "POST",
        "path": "/v1/chat/completions",
        "model": "mock-small",
        "faults": ["delay(0.5)", "slice(3)"],
        "latency": 0.2,
        "text": "The answer of the model.",
    },
    "chaos": {"share": 0.5, "faults": ["status(503)", "drop"]},
}
GETS = ["health", "records", "records/1", "advice", "faults", "events", ""]
POSTS = ["reset", *EXAMPLES]
ALL = [*(f"GET /_mock/{one}" for one in GETS), *(f"POST /_mock/{one}" for one in POSTS)]


def json_response(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=to_json(value), content_type="application/json"
    )


class Control:
    """Answers the control endpoints.

    reset: forgets all that the server has seen and was told.
    """

    def __init__(
        self, log: Log, plan: Plan, reset: Callable[[], None], live: Live
    ) -> None:
        self._log, self._plan, self._reset, self._live = log, plan, reset, live

    @staticmethod
    def is_for(request: web.BaseRequest) -> bool:
        """Say whether a request is for the control endpoints: one to /_mock/, or that
        of a browser which is to be led there.
        """
        accept = request.headers.get("Accept", "")
        is_browser = request.method == "GET" and "text/html" in accept
        is_at_door = request.path in ("/", "/_mock")
        return request.path.startswith("/_mock/") or (is_browser and is_at_door)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request for the control endpoints."""
        # A browser says which page a request comes from, and no other page than our
        # own may control this server (RFC 6454, section 7.3).
        own = f"http://{request.headers['Host']}"
        for origin in request.headers.getall("Origin", []):
            if origin != own:
                message = f"a page of {origin[:100]!r} may not control this server"
                return json_response({"error": f"{message}, only one of {own}"}, 403)
        match request.method, request.path:
            case "GET", "/_mock/health":
                return json_response({"status": "ok"})
            case "GET", "/_mock/records":
                records = [record.to_dict() for record in self._log.all()]
                seen = {"records": records, "peak_open": self._log.peak_open}
                return json_response(seen)
            case "GET", "/" | "/_mock":
                return web.Response(status=302, headers={"Location": "/_mock/"})
            case "GET", "/_mock/":
                return self._live.page()
            case "GET", "/_mock/events":
                return await self._live.events(request)
            case "GET", "/_mock/faults":
                return json_response({"faults": self._live.faults()})
            case "GET", "/_mock/advice":
                return json_response({"advice": await self._live.advice()})
            case "POST", "/_mock/reset":
                self._reset()
                return json_response({"status": "ok"})
        name = request.path.removeprefix("/_mock/")
        if request.method == "GET" and re.fullmatch("records/[0-9]{1,9}", name):
            record = self._log.find(int(name.removeprefix("records/")))
            if record is None:
                return json_response({"error": "there is no such record"}, 404)
            return json_response(detail(record, request.headers["Host"]))
        if request.method == "POST" and name in EXAMPLES:
            return self._order(name, await _read(request))
        message = f"the control endpoints are {', '.join(ALL)}"
        return json_response({"error": message}, 404)

    def _order(self, name: str, body: bytes) -> web.Response:
        """Carry out an order that was posted, or say what is wrong with it."""
        try:
            order = _read_order(name, body)
            faults = _read_faults(order.get("faults", [] if name == "rules" else None))
            answer: dict[str, Any] = {"status": "ok"}
            if name == "script":
                self._plan.add_to_script(faults)
                answer["scripted"] = len(faults)
            elif name == "chaos":
                self._plan.set_chaos(order.get("share"), faults)
            else:
                which = [order.get(key) for key in ("method", "path", "model")]
                how = {key: order.get(key) for key in ("latency", "text")}
                self._plan.add_rule(Rule(*which).reply(*faults, **how))
        except ValueError as error:
            message = f"{error}; send such as {json.dumps(EXAMPLES[name])}"
            wrong = {"error": message, "valid": sorted(fault.NAMES)}
            return json_response(wrong, 400)
        return json_response(answer)


async def _read(request: web.BaseRequest) -> bytes:
    try:
        return await request.read()
    except (web.HTTPRequestEntityTooLarge, web.RequestPayloadError):
        return b""


def _read_order(name: str, body: bytes) -> dict[str, Any]:
    try:
        order = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(order, dict):
        raise ValueError("the body must be a JSON object")
    for key in order:
        if key not in EXAMPLES[name]:
            raise ValueError(f"there is no key {key!r}")
    return order


def _read_faults(texts: Any) -> tuple[Fault, ...]:
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise ValueError("faults must be a list of texts")
    return tuple(fault.parse(text) for text in texts)
