"""Signals that ask a process to end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def ending_signals() -> tuple[int, ...]:
    """SIGTERM, and SIGHUP of a terminal that closes where the system has it and nobody (`nohup`) has it ignored.

    SIGINT is not among them: Python raises KeyboardInterrupt for it.
    """
    hangup = getattr(signal, "SIGHUP", None)
    is_heard = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return (signal.SIGTERM, hangup) if hangup is not None and is_heard else (signal.SIGTERM,)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes started within it never receive the signals that ask to end, which a terminal or `kill` sends to the whole group.

    The parent finishes its work with them and then ends them itself. Signals that come within the block reach the parent after it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows, which has no such groups
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*ending_signals(), signal.SIGINT))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
