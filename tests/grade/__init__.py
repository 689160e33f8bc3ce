"""Grade a class: python -m tests.grade HAND_INS --out report/.

hand_ins.py finds the answers, engine.py grades each, journal.py keeps every grade, and
report.py, exports.py and summary.py write what an instructor hands on.
"""
