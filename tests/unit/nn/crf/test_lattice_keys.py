import pytest

from seriatim.core.errors import ConfigError
from seriatim.nn.crf.lattice_keys import key_strides


def test_keys_leave_room_for_a_step_out_of_the_range():
    strides = key_strides([(0, 3), (5, 5)], 4)
    assert strides == [1, 6, 18]
    with pytest.raises(ConfigError, match="larger bandwidths"):
        key_strides([(0, 2**31), (0, 2**31)])
