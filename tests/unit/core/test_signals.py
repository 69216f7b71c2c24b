"""Signals that ask a process to end."""

import signal

import pytest

from seriatim.core.signals import ending_signals, leave_signals_to_parent


@pytest.fixture
def kept():
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_hangup_counts_unless_nohup_has_it_ignored(kept):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert ending_signals() == (signal.SIGTERM, signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert ending_signals() == (signal.SIGTERM,)


def test_a_worker_ignores_what_its_whole_group_receives(kept):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    leave_signals_to_parent()
    assert {signal.getsignal(number) for number in kept} == {signal.SIG_IGN}
