"""The mock server's /v1/embeddings, as the official openai package sees it."""

import threading
import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from mock_server import MockServer
from openai import OpenAI

from tests.mock_server import wire

MODEL = "mock-embedding"


@pytest.fixture
def client(server: MockServer) -> Iterator[OpenAI]:
    """The official client, which never retries."""
    with OpenAI(
        api_key=server.api_key, base_url=server.base_url, max_retries=0, timeout=5
    ) as made:
        yield made


def embed(client: OpenAI, texts: object, **more) -> list[list[float]]:
    """Return the vectors of some texts."""
    reply = client.embeddings.create(model=MODEL, input=texts, **more)
    assert [one.index for one in reply.data] == list(range(len(reply.data)))
    return [one.embedding for one in reply.data]


def cosine(one: list[float], other: list[float]) -> float:
    """Return how near two vectors of length 1 are."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_that_share_words_are_near(client: OpenAI) -> None:
    """The more words two texts share, the nearer they are; order, case and signs do not
    count.
    """
    base, same, near, far, none = embed(
        client,
        [
            "The cat sat on the mat.",
            "on the mat the cat sat",
            "A cat sat on a mat.",
            "A dog ate my cat.",
            "Stocks fell again, hard!",
        ],
    )
    assert cosine(base, base) == pytest.approx(1, abs=1e-6)
    assert cosine(base, same) == pytest.approx(1, abs=1e-6)
    assert 0.4 < cosine(base, near) < 0.9
    assert 0.1 < cosine(base, far) < cosine(base, near)
    assert abs(cosine(base, none)) < 0.2
    chinese = embed(client, ["今天天气很好", "今天天气不好", "猫坐在垫子上"])
    assert cosine(chinese[0], chinese[1]) > 0.5 > cosine(chinese[0], chinese[2])


def test_forms_of_one_vector(client: OpenAI) -> None:
    """A vector is always the same: in base64, which the SDK asks for by itself, as
    numbers, alone and in a list; it is also what it was when this test was written.
    """
    (vector,) = embed(client, "blue sky")
    assert embed(client, "blue sky", encoding_format="float") == [vector]
    assert embed(client, ["x", "blue sky"])[1] == vector
    assert embed(client, [1, 2, 3]) == embed(client, [[1, 2, 3]]) != [vector]
    assert len(vector) == 256 and vector[:2] == [
        -0.0308894794434309,
        0.09966228157281876,
    ]


def test_dimensions(client: OpenAI) -> None:
    """Fewer dimensions are the first ones, at length 1 again."""
    (whole,), (short,) = embed(client, "sky"), embed(client, "sky", dimensions=8)
    assert len(short) == 8 and cosine(short, short) == pytest.approx(1, abs=1e-6)
    ratios = [one / other for one, other in zip(short, whole, strict=False)]
    assert ratios == pytest.approx([ratios[0]] * 8, rel=1e-5)


def test_counts_and_limit(client: OpenAI) -> None:
    """The tokens of all texts are counted, and charged to the key."""
    with MockServer(tokens_per_minute=10, clock=lambda: 0.0) as server:
        limited = client.with_options(base_url=server.base_url)
        made = limited.embeddings.create(model=MODEL, input=["one two", "three"])
        assert (made.usage.prompt_tokens, made.usage.total_tokens) == (3, 3)
        with pytest.raises(openai.RateLimitError) as caught:
            embed(limited, "one two three four five six seven eight")
    assert (caught.value.type, caught.value.response.headers["retry-after"]) == (
        "tokens",
        "6",
    )


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a " * 8200}, "input"),
        ({"input": ["a " * 8000] * 40}, "input"),
        ({"dimensions": 257}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
def test_wrong_requests(client: OpenAI, wrong: dict, param: str) -> None:
    """What is wrong, or more than the service takes, is a 400 that names it."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(**{"model": MODEL, "input": "a", **wrong})
    assert caught.value.param == param and len(caught.value.message) < 300


def test_unknown_model(client: OpenAI) -> None:
    """A model that does not exist is a 404 that names the one that does."""
    with pytest.raises(openai.NotFoundError, match=MODEL):
        client.embeddings.create(model="no-such", input="a")


def test_nobody_waits_for_many_vectors(server: MockServer) -> None:
    """While 2,048 vectors are made, another client gets several answers."""
    url, headers = server.base_url, {"Authorization": f"Bearer {server.api_key}"}
    body = {"model": MODEL, "input": ["a"] * 2048}
    ask = (f"{url}/embeddings",)
    how = {"json": body, "headers": headers, "timeout": 60}
    thread = threading.Thread(target=httpx.post, args=ask, kwargs=how)
    answers = 0
    with wire.connect(server) as connection:
        thread.start()
        while not server.records:
            time.sleep(0.001)
        while server.records[0].first_byte is None:
            connection.sendall(wire.request("GET /users/ada"))
            connection.recv(65536)
            answers += 1
    thread.join()
    assert answers >= 5, "the other waited until all vectors were made"
