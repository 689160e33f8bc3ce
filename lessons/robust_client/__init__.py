"""One client that grows: what lessons 03 to 09 build.

    chat.py     03  OpenAIClient             one conversation over one connection
    batch.py    04  AsyncOpenAIClient        many calls under way, with a bound
    errors.py   05  CheckedAPIClient         every failure as one family of errors
    retry.py    06  RobustAPIClient          failures that may pass are tried again
    stream.py   07  StreamingAPIClient       answers that arrive word by word
    limits.py   08  APIClientWithRateLimit   all of it, inside a rate limit
    router.py   09  SmartRouter              several providers behind one interface
    store.py    09  Store                    jobs that outlive the processes
    pipeline.py 09  Worker                   all jobs, inside a budget and one pace

A module imports earlier ones only, and chat.py alone reads the environment. Nothing
here knows the mock server, so the folder can be copied into a program as it is.
"""
