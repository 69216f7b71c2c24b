"""What the processor must be kept from, before anything is computed.

oneDNN, torch's arithmetic on processors, has a fault where the processor has matrix tiles (AMX): the backward pass of a convolution in bfloat16
that steps, such as the 1x1 shortcuts of a ResNet, runs into an instruction that does not exist, and the process dies by SIGILL, without an
error that could be caught. So a run in "bf16-mixed" of an encoder of that kind would be killed at its first iteration. Seen with torch 2.15.0
(the implementation that oneDNN chooses there is called `brgconv_strided:avx10_1_512_amx`).

With ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 oneDNN leaves the tiles alone and takes its next best instructions. It reads the variable once, when it
first computes, so it must be set before; importing torch is no computation. A user's own value is left as it is.
"""

import os
from pathlib import Path

VARIABLE = "ONEDNN_MAX_CPU_ISA"
SAFE = "AVX512_CORE_BF16"
"""The best of oneDNN's instruction sets without tiles."""

_CPUINFO = Path("/proc/cpuinfo")


def avoid_matrix_tiles(cpuinfo: Path = _CPUINFO) -> bool:
    """Keep oneDNN from the matrix tiles where the processor has them and the user has not chosen; True if that was done now.

    Args:
        cpuinfo: the file in which Linux describes the processor; where there is none, nothing is done.
    """
    if VARIABLE in os.environ or not has_matrix_tiles(cpuinfo):
        return False
    os.environ[VARIABLE] = SAFE
    return True


def has_matrix_tiles(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the processor has AMX, as Linux tells it.

    Args:
        cpuinfo: the file in which Linux describes the processor.
    """
    try:
        described = cpuinfo.read_text(errors="replace")
    except OSError:
        return False
    return any(line.startswith("flags") and "amx_tile" in line.split() for line in described.splitlines())
