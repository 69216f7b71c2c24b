"""The systems, one paper a file, and the detectors whose boxes some of them take."""

_NAMES = ("din", "r2ios", "ris", "rsis")


def names() -> tuple[str, ...]:
    """The names of the systems, sorted; answers without importing torch.

    The catalogue has "detector" too, for recipes and model folders: a detector gives boxes for a system to start from and is none itself.

    >>> "rsis" in names()
    True
    """
    return _NAMES
