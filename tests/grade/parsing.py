"""One thread at a time reads a program: Python 3.11 counts how deep it is in a syntax
tree for all threads together, and fails if two of them read at once.
"""

import threading

one_at_a_time = threading.Lock()
