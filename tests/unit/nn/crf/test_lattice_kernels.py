import threading

import numpy as np
import pytest

from seriatim.nn.crf.lattice_kernels import bounds_by_load, in_ranges


def test_every_range_runs_once_and_each_in_a_thread_of_its_own():
    barrier = threading.Barrier(3, timeout=60)  # broken unless three threads meet
    done = []

    def kernel(start, stop, name):
        barrier.wait()
        done.append((start, stop, name))

    in_ranges(kernel, [0, 2, 2, 5, 9], "a")
    assert sorted(done) == [(0, 2, "a"), (2, 5, "a"), (5, 9, "a")]


def test_no_range_runs_nothing():
    in_ranges(lambda start, stop: pytest.fail("there is nothing to do"), [0, 0, 0])


@pytest.mark.parametrize("fails", [0, 4])
def test_what_a_range_raises_is_raised_after_all_have_ended(fails):
    ended = []

    def kernel(start, stop):
        if start == fails:
            raise MemoryError(str(start))
        ended.append(start)

    with pytest.raises(MemoryError, match=str(fails)):
        in_ranges(kernel, [0, 4, 8])
    assert ended == [4 - fails]


def test_bounds_by_load_cover_everything_even_where_one_entry_holds_all():
    assert bounds_by_load(np.array([0, 0, 100, 100]), 4) == [0, 2, 2, 2, 3]
