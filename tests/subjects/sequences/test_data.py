"""Sequences from a file: read whole and as they are, or refused with a sentence."""

import os

import numpy as np
import pytest

from detectors.core.errors import TaskError
from detectors.subjects.sequences.task import SequenceTask

TOKENS = np.arange(12).reshape(4, 3)
TARGETS = np.where(np.arange(3) == 2, TOKENS, -100)


def task(tmp_path, **arrays):
    np.savez(tmp_path / "d.npz", **({"tokens": TOKENS, "targets": TARGETS} | arrays))
    return SequenceTask.parse(f"data:{tmp_path / 'd.npz'}", {"num_digits": 5})


def test_rows_are_drawn_without_replacement(tmp_path):
    found = task(tmp_path)
    assert found.parameters == {"num_digits": 5}
    tokens, targets = found.draw(np.random.default_rng(0), 9, 12, 3)
    assert tokens.tolist() == TOKENS.tolist()
    assert targets.tolist() == TARGETS.tolist()
    some = {tuple(found.draw(np.random.default_rng(seed), 1, 12, 3).tokens[0].tolist()) for seed in range(40)}
    assert some == {tuple(row) for row in TOKENS.tolist()}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"tokens": TOKENS.astype(float)}, "integers are read"),
        ({"tokens": TOKENS[:, :2]}, "where both are"),
        ({"tokens": TOKENS[0], "targets": TARGETS[0]}, "where both are"),
        ({"tokens": TOKENS - 1}, "0 and more"),
        ({"targets": TARGETS * 0 - 100}, "some must be"),
        ({"targets": TARGETS.clip(-1)}, "targets too, or -100"),
        ({"tokens": np.array([object()] * 3)}, "integers are read"),
        ({"tokens": np.zeros((0, 3), int), "targets": np.zeros((0, 3), int)}, "where both are"),
    ],
)
def test_what_is_no_bank_of_sequences(tmp_path, arrays, said):
    with pytest.raises(TaskError, match=said):
        task(tmp_path, **arrays)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.npz").write_text("tokens")
    np.savez(tmp_path / "other.npz", other=TOKENS)
    for name, said in (("none.npz", "no file"), ("text.npz", "is no .npz"), ("other.npz", "is no .npz")):
        with pytest.raises(TaskError, match=said):
            SequenceTask.parse(f"data:{tmp_path / name}")


def test_a_model_that_reads_less(tmp_path):
    with pytest.raises(TaskError, match="has the token 11; the model reads 11"):
        task(tmp_path).draw(np.random.default_rng(0), 1, 11, 3)
    with pytest.raises(TaskError, match="sequences of 3 tokens; the model reads up to 2"):
        task(tmp_path).draw(np.random.default_rng(0), 1, 12, 2)


def test_files_that_are_damaged_end_in_a_sentence(tmp_path):
    """Seeds that once ended in an error of zlib's or zipfile's, and some more."""
    np.savez_compressed(tmp_path / "d.npz", tokens=TOKENS, targets=TARGETS)
    whole, rng = (tmp_path / "d.npz").read_bytes(), np.random.default_rng(0)
    read = 0
    for _ in range(1500):
        data = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.2 else whole)
        for place in rng.integers(len(data), size=rng.integers(1, 7)):
            data[place] = rng.integers(256)
        (tmp_path / "f.npz").write_bytes(data)
        try:
            found = SequenceTask.parse(f"data:{tmp_path / 'f.npz'}").draw(np.random.default_rng(0), 9, 12, 3)
        except TaskError as error:
            assert "f.npz" in str(error)
            continue
        read += 1
        assert found.tokens.tolist() == TOKENS.tolist()  # what is read has its checksum
        assert found.targets.tolist() == TARGETS.tolist()
    assert read > 0


def test_what_unpacks_to_much_and_what_never_ends_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "big.npz", tokens=np.zeros((2**20, 40), np.int64), targets=TARGETS)
    assert (tmp_path / "big.npz").stat().st_size < 2**20
    with pytest.raises(TaskError, match="tokens unpacks to 320 MiB; up to 256 are read"):
        SequenceTask.parse(f"data:{tmp_path / 'big.npz'}")
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", "/dev/zero"):
        with pytest.raises(TaskError, match="plain file"):
            SequenceTask.parse(f"data:{path}")
