"""The lessons of the course; `python -m lessons` lists them."""
