"""Run the command line: python -m tests.grade HAND_INS --out report/."""

import sys

from lessons.course.exercises import Mistake

try:
    from .command import main
except Mistake as error:  # the engine says where it cannot be: on Windows
    print(f"grade: {error}", file=sys.stderr)
    sys.exit(2)

sys.exit(main())
