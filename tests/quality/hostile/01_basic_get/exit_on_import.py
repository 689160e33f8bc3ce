"""Ends the process as soon as it is loaded, with exit status 0."""

import os

os._exit(0)
