"""Lesson 09, imported by its notebook: the API in which things are looked up.

It is GitHub's search: https://docs.github.com/en/rest/search/search
"""

import httpx

from .batch import TIMEOUT
from .errors import InvalidResponseError, error_from_exception, error_from_response
from .replies import FAILURES
from .retry import retry_on_error


class RepositorySearch:
    """Finds the repository for a topic, and asks a question about it.

    address: that of the API, such as https://api.github.com
    """

    def __init__(self, address: str) -> None:
        self.http = httpx.AsyncClient(base_url=address, timeout=TIMEOUT)

    @retry_on_error(max_retries=4, initial_delay=0.2, max_delay=10.0)
    async def look_up(self, topic: str) -> str:
        """Return a question about the repository with most stars. Raises APIError."""
        wanted = {"q": topic, "sort": "stars", "per_page": 1}
        try:
            response = await self.http.get("/search/repositories", params=wanted)
        except FAILURES as cause:
            raise error_from_exception(cause) from cause
        if response.status_code != 200:
            raise error_from_response(response)
        try:
            found = response.json()["items"]
            name = found[0]["full_name"] if found else topic
        except (ValueError, LookupError, TypeError) as cause:
            raise InvalidResponseError("not what a search finds", status=200) from cause
        return f"In one sentence: what is {name}?"

    async def close(self) -> None:
        """Close all connections."""
        await self.http.aclose()
