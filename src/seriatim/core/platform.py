"""Numbers so small that processors slow down: within `denormals_as_zero` they count as zero.

Below about 1.2e-38 a float32 is stored in another way (denormal), with which processors compute many times slower. Gradients that vanish over
the steps of a recurrent network, saturated sigmoids and the tails of Gaussians make such numbers, the more of them the longer a network has been
trained (`benchmarks/denormals.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Within it, denormal results and operands of this thread's arithmetic are zero; afterwards all is as before.

    A thread that torch starts within it keeps it for good; one that was there before does not have it. Nothing happens on a processor that
    cannot do it, nor on an accelerator, which has no such numbers in its fast arithmetic.

    >>> small = torch.tensor([1e-40])
    >>> with denormals_as_zero():
    ...     (small * 1).tolist()
    [0.0]
    >>> (small * 1 > 0).tolist()
    [True]
    """
    was_on = _are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)


def _are_zero() -> bool:
    smallest = torch.tensor([torch.finfo(torch.float32).tiny])
    return (smallest / 2).item() == 0.0
