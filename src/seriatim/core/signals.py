"""Signals that ask a process to end."""

import signal


def ending_signals() -> tuple[int, ...]:
    """SIGTERM, and SIGHUP of a terminal that closes where the system has it and nobody (`nohup`) has it ignored.

    SIGINT is not among them: Python raises KeyboardInterrupt for it.
    """
    hangup = getattr(signal, "SIGHUP", None)
    is_heard = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return (signal.SIGTERM, hangup) if hangup is not None and is_heard else (signal.SIGTERM,)


def leave_signals_to_parent() -> None:
    """Ignore, in a worker process, signals that its whole group receives: the parent finishes its work with the worker and then ends it."""
    for number in (*ending_signals(), signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
