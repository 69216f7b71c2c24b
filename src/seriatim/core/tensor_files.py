"""Safetensors files that carry a SHA-256 of their content, so that every damaged bit is detected.

The digest covers names, types, shapes, bytes and the other metadata; it is stored in the metadata under the key `sha256`.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from seriatim.core.errors import CheckpointError
from seriatim.core.files import why_unreadable, write_atomically

DIGEST_KEY = "sha256"
METADATA = "__metadata__"

MAX_HEADER_BYTES = 10_000_000
"""Names, types and shapes of the tensors take less than this."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to `path` atomically; equal content gives equal bytes.

    Raises:
        FileWriteError: if the file cannot be written.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    marked = {**metadata, DIGEST_KEY: _digest(kept, metadata)}
    write_atomically(path, _sort_metadata(safetensors.torch.save(kept, marked)))


def _sort_metadata(data: bytes) -> bytes:
    """The same file with sorted metadata; safetensors writes them in random order."""
    length = _header_length(data)
    header = json.loads(data[8 : 8 + length])
    header = {METADATA: dict(sorted(header.pop(METADATA).items())), **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((struct.pack("<Q", len(text)), text, memoryview(data)[8 + length :]))


def _header_length(data: bytes) -> int:
    return struct.unpack("<Q", data[:8])[0]


def load_tensors(path: Path, max_bytes: int | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors (on the CPU) and the metadata of a file that `save_tensors` wrote.

    Args:
        path: of the file; what is no regular file is not opened.
        max_bytes: a file with more bytes of tensors is refused before it is read; None reads any.

    Raises:
        CheckpointError: naming the file, if it is missing, damaged, too large or has no digest.
    """
    header, num_bytes = _read_header(path)
    if max_bytes is not None and num_bytes > max_bytes:
        raise CheckpointError(f"{path}: holds {num_bytes} bytes of weights; expected at most {max_bytes}")
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        metadata = dict(header.get(METADATA) or {})
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path}: is not an intact safetensors file: {str(error)[:200]}") from None
    found = metadata.pop(DIGEST_KEY, None)
    if found is None:
        raise CheckpointError(f"{path}: has no {DIGEST_KEY}; was it written by seriatim?")
    if found != _digest(tensors, metadata):
        raise CheckpointError(f"{path}: is damaged (its SHA-256 does not match its content)")
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file that `save_tensors` wrote with its digest, which is not verified; the tensors are not read.

    Raises:
        CheckpointError: naming the file, if it is missing or is no safetensors file.
    """
    return dict(_read_header(path)[0].get(METADATA) or {})


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and the bytes of the tensors, which must be as many as the header says."""
    reason = why_unreadable(path)
    if reason is not None:
        raise CheckpointError(f"{path}: cannot be read: {reason.removeprefix('cannot be read: ')}")
    try:
        with open(path, "rb") as file:
            size, length = path.stat().st_size, _header_length(file.read(8))
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = dict(json.loads(file.read(length)))
        named = [dict(one)["data_offsets"] for name, one in header.items() if name != METADATA]
        end = max((int(last) for _, last in named), default=0)
        if end != size - 8 - length:
            raise ValueError(f"the header tells of {end} bytes of tensors, the file holds {size - 8 - length}")
        if not isinstance(header.get(METADATA) or {}, dict):
            raise ValueError("the metadata are no object")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, struct.error, RecursionError) as error:
        raise CheckpointError(f"{path}: is not an intact safetensors file: {str(error)[:200]}") from None
    return header, end


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
