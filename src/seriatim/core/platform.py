"""What the processor must be kept from: denormal numbers, and oneDNN's kernels for matrix tiles.

Denormals. A float32 below about 1.2e-38 is stored in another form (denormal), with which processors compute many times slower. Vanishing
gradients, saturated sigmoids and the tails of Gaussians give such numbers. Within `denormals_as_zero` they count as zero.

Matrix tiles (AMX). oneDNN, which computes convolutions for torch, chooses a faulty kernel on processors with matrix tiles for the backward pass
of a strided convolution in bfloat16, such as the 1x1 shortcuts of a ResNet: it runs into an invalid instruction, and SIGILL kills the process
(seen with torch 2.15.0; the kernel is `brgconv_strided:avx10_1_512_amx`). `avoid_matrix_tiles` sets ONEDNN_MAX_CPU_ISA to AVX512_CORE_BF16, the
best instruction set without tiles. oneDNN reads the variable once, at its first computation; importing torch is not yet a computation.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

VARIABLE = "ONEDNN_MAX_CPU_ISA"
SAFE = "AVX512_CORE_BF16"
"""The best of oneDNN's instruction sets without tiles."""

_CPUINFO = Path("/proc/cpuinfo")


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Within it, denormal results and operands of this thread's arithmetic are zero; afterwards all is as before.

    A thread that torch starts within it keeps the setting for good; one that already runs does not get it. Nothing happens on a processor
    that cannot do it, nor on an accelerator, whose fast arithmetic has no denormals.

    >>> small = torch.tensor([1e-40])
    >>> with denormals_as_zero():
    ...     (small * 1).tolist()
    [0.0]
    >>> (small * 1 > 0).tolist()
    [True]
    """
    smallest = torch.tensor([torch.finfo(torch.float32).tiny])
    was_on = (smallest / 2).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)


def avoid_matrix_tiles(cpuinfo: Path = _CPUINFO) -> bool:
    """Keep oneDNN off the matrix tiles where the processor has them and the user has set nothing; True if this call did it.

    Args:
        cpuinfo: the file in which Linux describes the processor; nothing is done where it does not exist.
    """
    if VARIABLE in os.environ or not has_matrix_tiles(cpuinfo):
        return False
    os.environ[VARIABLE] = SAFE
    return True


def has_matrix_tiles(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the processor has AMX, according to Linux.

    Args:
        cpuinfo: the file in which Linux describes the processor.
    """
    try:
        described = cpuinfo.read_text(errors="replace")
    except OSError:
        return False
    return any(line.startswith("flags") and "amx_tile" in line.split() for line in described.splitlines())
