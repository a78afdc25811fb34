"""Damaged, dangerous and oversized files get one clear sentence, and nothing in a file is run."""

import pickle
import zipfile

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError
from detectors.loading import containers as module
from detectors.loading.tensors import read_tensors

MLP = {"kind": "mlp", "n_tokens": 7, "d_model": 4, "d_mlp": 6, "d_vocab_out": 7}


class Bomb:
    ran = False

    def __reduce__(self):
        return (setattr, (Bomb, "ran", True))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_named_and_not_run(tmp_path, legacy):
    path = tmp_path / "bomb.pt"
    torch.save({"W_x": Bomb()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"pickle with code in it and was not run.*setattr"):
        detectors.load(path, task="add:7")
    assert not Bomb.ran


def test_a_bare_pickle_is_refused_and_not_run(tmp_path):
    path = tmp_path / "bomb.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=r"was not run.*setattr"):
        detectors.load(path, task="add:7")
    assert not Bomb.ran


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_name_that_a_bare_pickle_asks_for_is_listed(tmp_path, protocol):
    """Twice the same global, and a second pickle behind the first: names that come from the memo."""
    path = tmp_path / "bomb.pkl"
    path.write_bytes(
        pickle.dumps([Bomb(), zipfile.ZipFile, Bomb()], protocol) + pickle.dumps(zipfile.ZipInfo, protocol)
    )
    with pytest.raises(CheckpointError, match=r"was not run.*setattr.*zipfile\.ZipFile, zipfile\.ZipInfo"):
        read_tensors(path)
    assert not Bomb.ran


def test_a_pickle_that_asks_for_memory_costs_none(tmp_path):
    """Memo place 2^32 - 1, for which Python's own unpickler reserves 64 GiB, before a name that is refused."""
    path = tmp_path / "bomb.pkl"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\xff0cbuiltins\nexec\n.")
    with pytest.raises(CheckpointError, match=r"builtins\.exec"):
        read_tensors(path)


def test_what_is_not_a_checkpoint(tmp_path):
    cases = {
        "empty.pt": b"",
        "text.pt": b"hello world",
        "text.safetensors": b"hello world, this is text",
        "zeros.pt": bytes(4096),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            detectors.load(tmp_path / name, task="add:7")
    with pytest.raises(CheckpointError, match="no file or folder"):
        detectors.load(tmp_path / "absent.pt", task="add:7")
    with pytest.raises(CheckpointError, match=r"holds 4 checkpoints.*pass one of them"):
        detectors.load(tmp_path, task="add:7")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="folder without config"):
        detectors.load(tmp_path / "folder", task="add:7")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(CheckpointError, match=r"other\.zip"):
        detectors.load(tmp_path / "other.zip", task="add:7")


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": 1}, {}, torch.zeros(3), {"model": {"epoch": 3}}, {"W_x": torch.zeros(3)}]
)
def test_files_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="holds no weights"):
        detectors.load(tmp_path / "c.pt", task="add:7")


def test_sizes_are_checked_before_anything_is_computed(tmp_path, saved, mlp, monkeypatch):
    huge = torch.zeros(1).expand(2**20, 2**12)
    torch.save(mlp | {"W_x": huge}, tmp_path / "huge.pt")
    with pytest.raises(CheckpointError, match="elements"):
        detectors.load(tmp_path / "huge.pt", task="add:7")
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**22))
    monkeypatch.setattr(module, "MAX_GROWTH", 2**20)
    with pytest.raises(CheckpointError, match="unpacks to"):
        detectors.load(bomb, task="add:7")
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(CheckpointError, match="files up to"):
        detectors.load(saved(mlp), task="add:7")


@pytest.mark.parametrize("prefix", ["model.", "module.", "_orig_mod."])
def test_a_prefix_that_wrappers_add_is_taken_off(saved, mlp, prefix):
    view = detectors.load(saved({prefix + k: v for k, v in mlp.items()}), task="add:7")
    torch.testing.assert_close(view.logits(), detectors.load(saved(mlp, "plain.pt"), task="add:7").logits())


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "weights"])
def test_weights_under_a_key_load_and_unused_tensors_are_listed(tmp_path, mlp, key):
    torch.save({key: mlp | {"x_embed": torch.zeros(3, 3)}, "epoch": 3, "losses": [1.0, 2.0]}, tmp_path / "c.pt")
    view = detectors.load(tmp_path / "c.pt", task="add:7")
    assert view.checkpoint.unused == ("x_embed",)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(saved, mlp, dtype):
    view = detectors.load(saved({k: v.to(dtype) for k, v in mlp.items()}), task="add:7")
    exact = detectors.load(saved(mlp, "exact.pt"), task="add:7")
    assert view.weight("W").dtype == torch.float32
    torch.testing.assert_close(view.logits(), exact.logits(), atol=0.05, rtol=0.05)


def test_safetensors_come_in_the_order_of_the_file(tmp_path):
    """The package gives them in another at every call, and the reader of structure goes by their order."""
    from safetensors.torch import save_file

    names = [f"layers.{i}.{part}" for i in range(12) for part in ("norm1.weight", "norm2.weight")]
    save_file({name: torch.ones(4, 4) for name in names}, tmp_path / "a.safetensors")
    assert list(read_tensors(tmp_path / "a.safetensors")) == sorted(names)
