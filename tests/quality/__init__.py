"""How good the graders are: answers that must be accepted, answers that must be
rejected, and who runs them.

right/NN_topic/NAME.py      right answers in other styles: full points.
wrong/NN_topic/NAME.py      one misconception each; the docstring names it, who rejects
it, and the points it keeps. survivors.toml              mutants of the reference that
no test rejects, each with the reason.

`python -m tests.quality` prints the figures. CONTRIBUTING.md says more.
"""
