"""The mock server in a process of its own, started the way a person starts it in a
terminal.
"""

import re
import signal
import subprocess
import sys

LINES = (
    r"(http://127\.0\.0\.1:(\d+))/v1  \(key: (\S+); stop with Ctrl-C\)\n"
    r"watch the requests arrive: \1/_mock/\n"
)
IS_WINDOWS = sys.platform == "win32"  # which cannot send Ctrl-C to one process alone


def _listen_to_ctrl_c() -> None:
    """Undo what a shell does to its background jobs: they, and all their children, are
    deaf to Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """A running server; arguments are those of its command, and options go to Python
    itself.

    It has printed its two lines: url, port and key are what they say.
    """

    def __init__(self, *arguments: str, options: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *options, "-m", "mock_server", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=None if IS_WINDOWS else _listen_to_ctrl_c,
        )
        lines = self.process.stdout.readline() + self.process.stdout.readline()
        found = re.fullmatch(LINES, lines)
        assert found, (
            f"the first lines were {lines!r}, and then: "
            f"{self.process.communicate(timeout=5)}"
        )
        self.url, self.port, self.key = found[1], int(found[2]), found[3]

    def stop(self) -> tuple[int, str, str]:
        """Press Ctrl-C; return the exit status and all that was printed after the first
        lines, to both outputs.
        """
        if IS_WINDOWS:
            self.process.kill()
        else:
            self.process.send_signal(signal.SIGINT)
        try:
            printed, errors = self.process.communicate(timeout=15)
        finally:
            self.process.kill()
        return 0 if IS_WINDOWS else self.process.returncode, printed, errors
