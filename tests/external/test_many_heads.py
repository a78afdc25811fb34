"""A published head in many copies that share what it writes: none is missed alone, and none helps alone."""

from __future__ import annotations

import json
from shutil import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

import detectors

pytestmark = pytest.mark.external
NAME = "palindrome_july23"  # 0.0 compares mirror images


def in_copies(external, folder, many: int):
    """Every head many times, with noise of 5%; the last head of layer 0, a copy of 0.0, writes noise as large."""
    source, generator = external / "sequences" / f"{NAME}.safetensors", torch.Generator().manual_seed(0)
    weights = {}
    for name, w in load_file(source).items():
        if ".attn." in name and not name.endswith("b_O"):
            w = torch.cat([w, *[w] * (many - 1), w[:1]])
            w = w / many if name.endswith("W_O") else w
            w = w + 0.05 * w.std() * torch.randn(w.shape, generator=generator)
            if name == "blocks.0.attn.W_O":
                w[-1] = w[0].std() * torch.randn(w[-1].shape, generator=generator)
        weights[name] = w.contiguous()
    save_file(weights, folder / source.name)
    config = json.loads(source.with_suffix(".json").read_text())
    heads = len(weights["blocks.0.attn.W_Q"])
    (folder / f"{NAME}.json").write_text(json.dumps(config | {"n_heads": heads}))
    copy(source.with_suffix(".data.npz"), folder / f"{NAME}.data.npz")
    return folder / source.name, heads


@pytest.mark.wide
@pytest.mark.parametrize("many", [2, 4, 7])
def test_every_copy_compares_mirror_images_and_one_that_writes_noise_does_not(external, tmp_path, many):
    file, heads = in_copies(external, tmp_path, many)
    report = detectors.run(detectors.load(file), names=["mirror_heads"])
    found, entries = report["mirror_heads"], report["mirror_heads"].evidence["heads"]
    assert found.verdict == "present", found.reason
    verdicts = {(h["layer"], h["head"]): h["verdict"] for h in entries}
    copies = {(0, 2 * i) for i in range(many)}
    assert {where for where, said in verdicts.items() if said == "present"} >= copies
    assert verdicts.get((0, heads - 1)) != "present"
