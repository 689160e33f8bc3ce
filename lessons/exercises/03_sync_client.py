"""Exercise 03: hold a conversation with a model, over one connection.

You may copy from the notebook; an import of robust_client gives no points.
"""

from typing import Any, Self


class ChatClient:
    """A conversation with a model, at any API that is compatible with OpenAI's.

    api_key, base_url, model: OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL of the
        environment unless given. ValueError if key or address is missing or empty. No
        part of the key is in a repr. The address may end in a slash; a path that it has
        stays as it is.
    timeout: seconds to connect, and seconds of silence, for every request.
    history: all questions and answers so far, oldest first, as messages that have a
        role and a content only.

    All calls use one connection, which close() or the end of a `with` block closes; an
    error in the block gets out. The calls raise requests.HTTPError, or what your
    library has in its place, for a 4xx or 5xx status, whatever the body is; the next
    call works again.

    Further, if you like:
    - history may be changed or replaced, to go on with a conversation of yesterday.
    - A redirect is not followed, and is an error like a 4xx. After a timeout, too, the
      next call works.
    - Spaces and line ends around the key come off; a key with one in it is a ValueError
      that does not quote it. A login in ~/.netrc does not replace the key.
    - ask joins the texts of a content that is a list of parts. For a content of null it
      returns "" or raises ValueError. A reply without an answer, with an "error" in it
      or in its choice, or without the list of models, is a ValueError.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        timeout: float | tuple[float, float] = (3.05, 30),
    ) -> None:
        # TODO 1
        raise NotImplementedError("03_sync_client: write ChatClient.__init__")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # TODO 2

    def close(self) -> None:
        """Close the connection."""
        raise NotImplementedError("03_sync_client: write close")

    def chat(self, messages: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """Send these messages, whatever the history is, and return the whole reply.

        messages: a list, which stays as it is.
        options: more fields of the request, such as temperature=0 or max_tokens=100.
        """
        raise NotImplementedError("03_sync_client: write chat")

    def models(self) -> list[str]:
        """Return the names of the models that this API offers."""
        raise NotImplementedError("03_sync_client: write models")

    def ask(self, prompt: str, system: str | None = None) -> str:
        """Ask something in the conversation so far, and return the answer's text.

        system: instructions that stand before all else; they are not kept in history.
        ValueError for half an answer, whose finish_reason is "length", "content_filter"
        or "error". Words such as "eos_token" are good ends, and so is none at all.
        A call that fails leaves history as it was.
        """
        # TODO 3
        # Further, if you like: parts, null, and a reply without an answer.
        raise NotImplementedError("03_sync_client: write ask")
