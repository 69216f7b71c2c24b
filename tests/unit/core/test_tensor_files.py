import json
import pickle
import struct

import numpy as np
import pytest
import safetensors.torch
import torch

from seriatim.core.errors import CheckpointError
from seriatim.core.tensor_files import load_tensors, save_tensors


def content():
    chance = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(3, 4, generator=chance),
        "half": torch.randn(5, generator=chance).to(torch.bfloat16),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "nothing": torch.zeros(0, 3),
    }


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_tensors(path, content(), {"format": "seriatim model 1", "state": json.dumps({"iteration": 3})})
    return path


def test_tensors_and_metadata_come_back_as_they_were(saved):
    tensors, metadata = load_tensors(saved)
    assert tensors.keys() == content().keys()
    for name, tensor in content().items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert metadata == {"format": "seriatim model 1", "state": '{"iteration": 3}'}


def test_the_same_content_gives_the_same_bytes(saved, tmp_path):
    save_tensors(tmp_path / "again", content(), {"format": "seriatim model 1", "state": json.dumps({"iteration": 3})})
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_views_are_stored_as_they_are_seen(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    save_tensors(tmp_path / "views", {"turned": whole.T, "row": whole[1]}, {})
    assert torch.equal(load_tensors(tmp_path / "views")[0]["turned"], whole.T)


def assert_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as error:
        load_tensors(path)
    assert str(path) in str(error.value)


def test_none_of_200_flipped_bits_is_accepted(saved):
    data, chance = saved.read_bytes(), np.random.default_rng(0)
    for position in chance.choice(len(data) * 8, size=200, replace=False):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        assert_refused(saved, bytes(damaged))


def test_no_flipped_bit_of_header_and_metadata_is_accepted(saved):
    data = saved.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert b"seriatim model 1" in data[: 8 + length]
    for position in range(8 + length):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 7
        assert_refused(saved, bytes(damaged))


def test_none_of_200_truncations_is_accepted(saved):
    data, chance = saved.read_bytes(), np.random.default_rng(1)
    for length in [0, 1, 7, 8, len(data) - 1, *chance.choice(len(data), size=195, replace=False)]:
        assert_refused(saved, data[:length])
    assert_refused(saved, data + b"\0")


def test_a_renamed_tensor_and_changed_metadata_are_noticed(saved):
    tensors, _ = load_tensors(saved)
    marked = json.loads(saved.read_bytes()[8 : 8 + struct.unpack("<Q", saved.read_bytes()[:8])[0]])["__metadata__"]
    assert_refused(saved, safetensors.torch.save({**tensors, "extra": torch.zeros(1)}, marked))
    swapped = {**tensors, "weight": tensors["weight"].view(4, 3)}
    assert_refused(saved, safetensors.torch.save(swapped, marked))
    assert_refused(saved, safetensors.torch.save(tensors, {**marked, "state": '{"iteration": 4}'}))


def test_a_file_without_digest_is_refused(saved):
    assert_refused(saved, safetensors.torch.save(content(), {"format": "seriatim model 1"}))
    assert_refused(saved, safetensors.torch.save(content()))


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_refused_and_its_code_not_executed(tmp_path):
    sprung = tmp_path / "sprung"
    assert_refused(tmp_path / "model.safetensors", pickle.dumps(Trap(sprung)))
    torch.save(content(), tmp_path / "torch.pt")
    assert_refused(tmp_path / "model.safetensors", (tmp_path / "torch.pt").read_bytes())
    assert not sprung.exists()


def test_hostile_headers_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    for header in (b"null", b"[]", b'{"__metadata__": null}', b'{"__metadata__": 3}', b"[" * 5000, b'{"a": {}}'):
        assert_refused(path, struct.pack("<Q", len(header)) + header)
    assert_refused(path, struct.pack("<Q", 2**63) + b"{}")


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_tensors(path)
