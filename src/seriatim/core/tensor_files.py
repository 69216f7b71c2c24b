"""Safetensors files that carry a SHA-256 of their content, so that every damaged bit is detected.

The digest covers names, types, shapes, bytes and the other metadata; it is stored in the metadata under the key `sha256`.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from seriatim.core.errors import CheckpointError
from seriatim.core.files import write_atomically

DIGEST_KEY = "sha256"
METADATA = "__metadata__"


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


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors (on the CPU) and the metadata of a file that `save_tensors` wrote.

    Raises:
        CheckpointError: naming the file, if it is missing, damaged or has no digest.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        tensors = safetensors.torch.load(data)
        metadata = json.loads(data[8 : 8 + _header_length(data)]).get(METADATA) or {}
    except (SafetensorError, ValueError, struct.error, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path}: is not an intact safetensors file: {str(error)[:200]}") from None
    found = metadata.pop(DIGEST_KEY, None)
    if found is None:
        raise CheckpointError(f"{path}: has no {DIGEST_KEY}; was it written by seriatim?")
    if found != _digest(tensors, metadata):
        raise CheckpointError(f"{path}: is damaged (its SHA-256 does not match its content)")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
