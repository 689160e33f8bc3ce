"""Takes memory without end."""


def get_json(*_, **__):
    taken = []
    while True:
        try:
            taken.append(bytearray(64 << 20))
        except MemoryError:
            return taken[0] == taken[-1]


fetch_all = get_json
