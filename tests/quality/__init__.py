"""How good the graders are: answers that must be accepted, answers that must be
rejected, and who runs them.

right/NN_topic/NAME.py      right answers in other styles: full points
wrong/NN_topic.md           wrong answers, as changes to right ones: one misconception
                            each, who rejects it, and the points it keeps
survivors.toml              mutants of the reference that no test rejects, and why
rounds.toml                 how blind rounds were graded
hostile/NN_topic/NAME.py    hand-ins that try to give themselves points

`python -m tests.quality` prints the figures. CONTRIBUTING.md says more.
"""
