"""The key goes to its own API and nowhere else: no other host, repr or traceback."""

import asyncio
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx_aiohttp import AiohttpTransport
from mock_server import MockServer, fault
from robust_client.batch import AsyncOpenAIClient, BatchError
from robust_client.chat import OpenAIClient, read_answer

from tests.lessons.test_failures import KEY, WAYS, Clients, account_of


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[MockServer, Clients]]:
    """A server that accepts a key which no mask and no other text contains, and clients
    for all ways, opened once.
    """
    with MockServer(api_key=KEY) as server:
        clients = Clients(account_of(server))
        yield server, clients
        clients.close()


@pytest.fixture
def keyed(opened: tuple[MockServer, Clients]) -> MockServer:
    """That server, as if it had just started."""
    opened[0].reset()
    return opened[0]


@pytest.fixture
def clients(opened: tuple[MockServer, Clients]) -> Clients:
    """The clients of that server."""
    return opened[1]


def chain(error: Any) -> Iterator[BaseException]:
    """Yield an exception, and all that are linked from it."""
    if isinstance(error, BaseException):
        yield error
        for linked in (*error.args, error.__cause__, error.__context__):
            yield from chain(linked)


def all_said(error: BaseException) -> str:
    """Return all that an exception and those behind it print, and their reprs."""
    reprs = [f"{one!r} {one}" for one in chain(error)]
    return "\n".join([*reprs, *traceback.format_exception(error)])


@pytest.mark.parametrize("way", WAYS)
def test_netrc_does_not_replace_the_key(
    way: str, keyed: MockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default login in ~/.netrc is not sent in the place of the key."""
    file = tmp_path / "netrc"
    file.write_text("default login ada password secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(file))
    clients = Clients(account_of(keyed), way)
    clients.call(way)
    clients.close()
    assert [record.status for record in keyed.records] == [200]


@pytest.mark.parametrize("way", WAYS)
def test_redirect_is_not_followed(
    way: str, keyed: MockServer, clients: Clients, server: MockServer
) -> None:
    """A redirect to another host is an error that names it; that host sees nothing."""
    address = f"{server.url}/v1/chat/completions"
    keyed.script(fault.status(307, headers={"Location": address}))
    seen = clients.failure(way)
    assert (seen.status, "127.0.0.1" in seen.words) == (307, True)
    assert (len(keyed.records), server.records) == (1, [])


# Replies that repeat the key; the start that an error shows may end in half of it.
WORDS = {"error": {"message": f"invalid token {KEY}"}}
PAGE = f"<p>{'-' * 180}{KEY}</p>"
EVENT = f"data: {'-' * 45}{KEY}\n\n"
STREAM = {"Content-Type": "text/event-stream"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "trouble",
    [
        fault.drop("rst"),
        fault.garbage(),
        fault.status(401),
        fault.cut(after_bytes=9),
        pytest.param(fault.status(403, body=WORDS), id="repeated in the words"),
        pytest.param(fault.status(502, body=PAGE), id="repeated in a page"),
        pytest.param(fault.status(200, body=EVENT, headers=STREAM), id="in an event"),
    ],
    ids=str,
)
def test_errors_do_not_show_the_key(
    way: str, trouble: fault.Fault, keyed: MockServer, clients: Clients
) -> None:
    """Neither an error nor what it was made of has the key in its text or repr."""
    keyed.script(trouble)
    with pytest.raises(Exception) as raised:
        clients.call(way)
    assert KEY[:9] not in all_said(raised.value)


UNREADABLE = {"choices": [{}], "data": [{}], "seen": "-" * 150 + KEY}
HALF = {"message": {"content": KEY}, "finish_reason": "length"}


@pytest.mark.parametrize("body", [UNREADABLE, {"choices": [HALF]}], ids=["no", "half"])
def test_unreadable_answers_do_not_show_the_key(body: Any, keyed: MockServer) -> None:
    """An answer that cannot be read, or half of one, may repeat the key as well."""
    keyed.on().reply(fault.status(200, body=body))
    with OpenAIClient(*account_of(keyed)) as client:
        for read in (
            lambda: read_answer(client.chat_completion([])),
            client.get_models,
        ):
            with pytest.raises(ValueError) as raised:
                read()
            assert KEY[:9] not in all_said(raised.value)


@pytest.mark.parametrize("trouble", [fault.garbage(), fault.drop("fin")], ids=str)
def test_other_transports_do_not_show_the_key(
    trouble: fault.Fault, keyed: MockServer
) -> None:
    """aiohttp keeps the headers of the request in its errors; they do not get out."""

    async def run() -> BatchError:
        transport = AiohttpTransport()
        async with AsyncOpenAIClient(*account_of(keyed), transport=transport) as client:
            keyed.on().reply(trouble)
            with pytest.raises(BatchError) as raised:
                await client.batch_completion(["Say hello"])
        return raised.value

    error = asyncio.run(run())
    assert KEY not in all_said(error) + all_said(error.results[0])


@pytest.mark.parametrize("client_class", [OpenAIClient, AsyncOpenAIClient])
def test_client_does_not_show_the_key(client_class: Any, keyed: MockServer) -> None:
    """No repr of a client, or of what it sends with, has the key in it."""
    client = client_class(*account_of(keyed))
    sender = getattr(client, "session", None) or client.http
    assert KEY not in repr(client) + repr(sender) + repr(sender.auth) + str(client)


@pytest.mark.parametrize("key", [f"{KEY}\nx", f"{KEY} x", f"{KEY}é", "  ", "\0"])
def test_impossible_keys_are_refused_unquoted(key: str) -> None:
    """What cannot be a key is a ValueError before any request, and is not quoted."""
    for client_class in (OpenAIClient, AsyncOpenAIClient):
        with pytest.raises(ValueError) as raised:
            client_class(key, "http://127.0.0.1:9/v1")
        assert KEY not in all_said(raised.value)
