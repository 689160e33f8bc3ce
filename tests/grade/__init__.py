"""Grade a class: python -m tests.grade HAND_INS --out report/.

command.py reads the command line. files.py, people.py and hand_ins.py find the answers,
engine.py grades each in a sandbox, workers.py several at a time; journal.py keeps every
verdict. report.py, exports.py and summary.py write what an instructor hands on.
"""
