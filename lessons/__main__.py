"""The course at the command line: `python -m lessons`."""

import sys

from .course.cli import main

if __name__ == "__main__":
    sys.exit(main())
