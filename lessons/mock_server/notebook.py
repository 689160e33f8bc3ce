"""What a notebook says where a cell is run again after its server has stopped."""

import sys
from types import TracebackType
from typing import Any

_running: set[int] = set()  # the servers of this process, by their ids


def note_start(server: object) -> None:
    """Note that a server runs."""
    _running.add(id(server))


def note_stop(server: object) -> None:
    """Note that a server has stopped.

    If it was the last one of a notebook, a connection that is refused gives a sentence
    there from now on, in place of a long traceback. Other errors look as before.
    """
    _running.discard(id(server))
    IPython = sys.modules.get("IPython")
    shell = IPython.get_ipython() if IPython else None
    if shell is not None:
        shell.set_custom_exc((Exception,), _show)


def _show(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> None:
    if not _running and _is_refused(error):
        print("the server is stopped: run the first cell again")
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _is_refused(error: BaseException | None) -> bool:
    """Say whether an error goes back to a connection that was refused."""
    if error is None or isinstance(error, ConnectionRefusedError):
        return error is not None
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_refused, error.exceptions))
    return _is_refused(error.__cause__) or _is_refused(error.__context__)
