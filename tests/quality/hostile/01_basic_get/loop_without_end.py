"""Never returns, and swallows whatever should end it."""


def get_json(*_, **__):
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


fetch_all = get_json
