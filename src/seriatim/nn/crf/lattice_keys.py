"""The packed keys of lattice points, which the plain and the compiled form share: one 64-bit number per point.

A lattice point is d integers and the number of its group. See `permutohedral` for what the integers are.
"""

from collections.abc import Sequence

from seriatim.core.errors import ConfigError

KEY_BITS = 62


def key_strides(ranges: Sequence[tuple[int, int]], num_groups: int = 1) -> list[int]:
    """What a step of each of the d integers, and then of the group, adds to a packed key; each range is one wider on either side.

    >>> key_strides([(0, 7), (-3, 4)])
    [1, 10, 100]

    Raises:
        ConfigError: if the keys would not fit into 64 bits.
    """
    strides = [1]
    for low, high in ranges:
        strides.append(strides[-1] * (high - low + 3))
    if strides[-1] * num_groups >= 2**KEY_BITS:
        spans = ", ".join(str(high - low + 1) for low, high in ranges)
        raise ConfigError(
            f"features: {len(ranges)} dimensions that span {spans} lattice steps do not fit into keys of {KEY_BITS} bits; "
            "divide them by larger bandwidths, or use fewer dimensions"
        )
    return strides
