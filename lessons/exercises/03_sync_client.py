"""Exercise 03: hold a conversation with a model, over one connection.

You may copy from the notebook; an import of robust_client gives no points.
"""

from typing import Any, Self


class ChatClient:
    """A conversation with a model, at any API that is compatible with OpenAI's.

    api_key, base_url, model: without them, OPENAI_API_KEY, OPENAI_BASE_URL and
        OPENAI_MODEL are read from the environment. ValueError if the key or the address
        is missing or empty. No part of the key is in a repr. The address may end in a
        slash; its path stays as it is.
    timeout: seconds to connect, and seconds of silence, for every request; one number
        for both, or two.
    history: all questions and answers so far, oldest first, as messages with only a
        role and a content.

    All calls use one connection. close() closes it, and so does the end of a `with`
    block, which lets an error in the block out. Every call raises requests.HTTPError,
    or your library's own error for it, for a 4xx or 5xx status, whatever the body is;
    the next call works again.

    Further, if you like:
    - The caller may change or replace history, to go on with yesterday's conversation.
    - A redirect is not followed, and is an error like a 4xx.
    - After a timeout, the next call works again.
    - Spaces and line ends around the key are removed. A key with one inside is a
      ValueError that does not quote it. A login in ~/.netrc does not replace the key.
    - If the content is a list of parts, ask joins their texts. If it is null, ask
      returns "" or raises ValueError.
    - A reply without an answer, without the list of models, or with an "error" in it or
      in its choice, is a ValueError.
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
        """Send these messages, without the history, and return the whole reply.

        messages: a list; leave it as it is.
        options: more fields of the request, such as temperature=0 or max_tokens=100.
        """
        raise NotImplementedError("03_sync_client: write chat")

    def models(self) -> list[str]:
        """Return the names of the models that this API offers."""
        raise NotImplementedError("03_sync_client: write models")

    def ask(self, prompt: str, system: str | None = None) -> str:
        """Go on with the conversation: ask this, and return the text of the answer.

        system: instructions that go first; they are not kept in history.
        ValueError for half an answer: its finish_reason is "length", "content_filter"
        or "error". A good end is any other word, such as "eos_token", or none at all.
        A call that fails leaves history as it was.
        """
        # TODO 3
        # Further, if you like: parts, null, and a reply without an answer.
        raise NotImplementedError("03_sync_client: write ask")
