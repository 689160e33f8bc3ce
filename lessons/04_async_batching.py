"""Many calls at once.

Three questions go to the API of your choice. Then twenty go to a mock server that
refuses one of them: first with the plain `gather` of most tutorials, then with
AsyncOpenAIClient of robust_client/batch.py, which is also cancelled half-way. Finally,
forty calls, with at most 1, 5 and 20 under way. It takes about four seconds:
python lessons/04_async_batching.py
python lessons/04_async_batching.py --calls 200

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    An API is the list of things you may ask another program for, and how to ask.
    The sky is blue because air scatters blue light more than red light.
    This is a mock answer to: Who are you?

    gather: HTTPStatusError 503
    0 answers; the server sent 200: 19, 503: 1

    AsyncOpenAIClient: 1 of 20 calls failed: HTTPStatusError
    19 answers; the server sent 200: 19, 503: 1
    to be asked again: Question 6

    cancelled; how the server's requests ended: client-gone: 4

    limit   time   answers  errors
        1  2.46 s       38       2
        5  0.62 s       38       2
       20  0.34 s       38       2
"""

import argparse
import asyncio
import sys
import time
from collections import Counter

import httpx
from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.batch import AsyncOpenAIClient, BatchError
from robust_client.chat import find_text
from tqdm import tqdm

QUESTIONS = ("What is an API?", "Why is the sky blue?", "Who are you?")
TWENTY = [f"Question {n}" for n in range(20)]


def break_one(server: MockServer) -> None:
    """Let the server refuse about one request in twenty; the same ones in each run."""
    server.reset()
    server.chaos(0.05, fault.status(503))


def count(server: MockServer, name: str) -> str:
    """Return how often each value of a field of the server's records occurs."""
    found = Counter(getattr(record, name) for record in server.records)
    return ", ".join(f"{value}: {times}" for value, times in sorted(found.items()))


async def plain_batch(http: httpx.AsyncClient, questions: list[str]) -> list[str]:
    """Ask all questions at once, as most tutorials do; one failure loses the rest."""

    async def ask(question: str) -> str:
        messages = [{"role": "user", "content": question}]
        body = {"model": "mock-small", "messages": messages}
        response = await http.post("/chat/completions", json=body)
        return find_text(response.raise_for_status().json())

    return await asyncio.gather(*(ask(question) for question in questions))


async def show_plain(server: MockServer) -> None:
    """Run the plain version against a server that refuses one call."""
    break_one(server)
    key = {"Authorization": f"Bearer {server.api_key}"}
    answers = []
    async with httpx.AsyncClient(base_url=server.base_url, headers=key) as http:
        try:
            answers = await plain_batch(http, TWENTY)
        except httpx.HTTPStatusError as error:
            print(f"gather: {type(error).__name__} {error.response.status_code}")
        await asyncio.to_thread(server.wait_for, 20)  # the other calls go on
    print(f"{len(answers)} answers; the server sent", count(server, "status"))


async def show_batch(server: MockServer, client: AsyncOpenAIClient) -> None:
    """Run the client against the same server: no answer is lost."""
    break_one(server)
    try:
        results = await client.batch_completion(TWENTY)
    except BatchError as error:
        print(f"\nAsyncOpenAIClient: {error}")
        results = error.results
    again = [n for n, result in enumerate(results) if isinstance(result, Exception)]
    print(f"{20 - len(again)} answers; the server sent", count(server, "status"))
    print("to be asked again:", ", ".join(TWENTY[n] for n in again))


async def show_cancel(server: MockServer, client: AsyncOpenAIClient) -> None:
    """Cancel a batch while calls are under way: none of them goes on."""
    server.reset()
    server.on().reply(latency=2.0)
    batch = asyncio.create_task(client.batch_completion(TWENTY))
    while len(server.records) < client.max_concurrency:
        await asyncio.sleep(0.01)
    batch.cancel()
    await asyncio.wait([batch])
    server.wait_for(client.max_concurrency)
    print("\ncancelled; how the server's requests ended:", count(server, "end"))


async def compare_limits(server: MockServer, calls: int) -> None:
    """Send calls to a server that fails some, under three limits."""
    queries, lines = [f"Question {n}" for n in range(calls)], []
    with tqdm(total=3 * calls, unit="call", leave=False, disable=None) as bar:
        for limit in (1, 5, 20):
            break_one(server)
            start = time.perf_counter()
            async with mock_client(server, limit) as client:
                results = await client.batch_results(queries, on_done=bar.update)
            seconds = f"{time.perf_counter() - start:.2f} s"
            answers = sum(isinstance(result, str) for result in results)
            lines.append(f"{limit:>5}  {seconds}  {answers:>7}  {calls - answers:>6}")
    print("\nlimit   time   answers  errors", *lines, sep="\n")


def mock_client(server: MockServer, limit: int) -> AsyncOpenAIClient:
    """Return a client of the mock server, whatever API is chosen."""
    return AsyncOpenAIClient(server.api_key, server.base_url, "mock-small", limit)


async def main() -> None:
    """Read the command line and run the lesson."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--calls", type=int, default=40, help="in the last part")
    calls = parser.parse_args().calls
    if calls < 1:
        parser.error(f"--calls must be 1 or more, not {calls}")
    with MockServer(latency=0.05, seed=1) as server:
        choose_endpoint(server)
        try:
            async with AsyncOpenAIClient() as client:
                print(*await client.batch_completion(QUESTIONS), "", sep="\n")
        except (BatchError, ValueError) as error:
            sys.exit("\n".join(map(str, [error, *getattr(error, "results", [])])))
        await show_plain(server)
        async with mock_client(server, limit=4) as client:
            await show_batch(server, client)
            await show_cancel(server, client)
        await compare_limits(server, calls)


if __name__ == "__main__":
    run_main(lambda: asyncio.run(main()))
