"""TransformerLens's models through their own hook points; a real one of 2.x in an environment of its own."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError
from detectors.core.registry import builtin

SIZES = {
    "n_layers": 1,
    "d_model": 16,
    "d_head": 8,
    "n_heads": 2,
    "d_mlp": 32,
    "n_ctx": 3,
    "d_vocab": 8,
    "d_vocab_out": 7,
}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bridge():
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    torch.manual_seed(0)
    return TransformerBridge.boot_native(TransformerBridgeConfig(**SIZES, act_fn="relu", normalization_type=None))


def test_a_bridge_through_its_hooks_is_the_bridge_that_is_copied(bridge):
    hooked, copied = detectors.from_hooked(bridge, task="add:7"), detectors.from_bridge(bridge, task="add:7")
    assert detectors.check(hooked)
    assert torch.allclose(hooked.logits(), copied.logits(), atol=1e-5)
    assert torch.allclose(hooked.neurons(), copied.neurons(), atol=1e-5)
    assert torch.allclose(hooked.attention(0), copied.attention(0), atol=1e-5)
    assert torch.equal(hooked.embedding(1), copied.embedding(1))
    assert torch.allclose(hooked.readout(), copied.readout(), atol=1e-5)
    ours, theirs = detectors.run(hooked, draws=19), detectors.run(copied, draws=19)
    assert [d.verdict for d in ours] == [d.verdict for d in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


class Subtracts:
    """a - b mod 7 where it reads `= a b`, through the hook points that are asked for."""

    rows = 8
    cfg = SimpleNamespace(n_layers=1, d_model=8, n_ctx=3, n_heads=1)
    hook_dict: ClassVar = {"hook_embed": None}

    def named_parameters(self):
        return {"embed.W_E": torch.eye(self.rows), "unembed.W_U": torch.eye(self.rows)[:, :7]}.items()

    def run_with_hooks(self, tokens, return_type, fwd_hooks, reset_hooks_end):
        embedded = dict(fwd_hooks)["hook_embed"](torch.eye(self.rows)[tokens], hook=None)
        a, b = (embedded[:, i, :7] for i in (1, 2))
        turned = torch.stack([a.roll(-k, 1) for k in range(7)], dim=1)  # [batch, k, c] is a's at c + k
        return torch.einsum("bk,bkc->bc", b, turned)[:, None]


def test_the_layout_that_answers_is_taken():
    view = detectors.from_hooked(Subtracts(), task="sub:7")
    assert view.figures().accuracy.all == 1
    assert view.checkpoint.reading == ('it reads tokens "=:7 a b"',)
    assert detectors.from_hooked(Subtracts(), task="sub:7", tokens="a b =").figures().accuracy.all < 0.5


class Fixed(Subtracts):
    """Of three places and no other number of them, though its context has room for four."""

    rows = 9
    cfg = SimpleNamespace(n_layers=1, d_model=9, n_ctx=4, n_heads=1)

    def run_with_hooks(self, tokens, **given):
        if tokens.shape[1] != 3:
            raise IndexError("three places")
        return super().run_with_hooks(tokens, **given)


def test_a_layout_that_does_not_run_is_none():
    view = detectors.from_hooked(Fixed(), task="sub:7")
    assert len(view.network.layout) == 3
    assert view.figures().accuracy.all == 1

    class Never(Subtracts):
        def run_with_hooks(self, tokens, **given):
            raise IndexError("no places at all")

    with pytest.raises(CheckpointError, match=r"Tried .*no places at all.*Say what it reads: detectors\.from_hooked"):
        detectors.from_hooked(Never(), task="sub:7")


def test_what_is_no_such_model_says_what_it_lacks(bridge):
    with pytest.raises(CheckpointError, match=r"Linear has no run_with_hooks, hook_dict, cfg: .*detectors\.wrap"):
        detectors.from_hooked(torch.nn.Linear(2, 2), task="add:7")
    with pytest.raises(CheckpointError, match=r"has 11 tokens, and embed\.W_E 8 rows"):
        detectors.from_hooked(bridge, task="add:11")
    assert "= a b" in detectors.from_hooked(bridge, task="add:7", tokens="= a b").checkpoint.reading[0].replace(
        ":7", ""
    )


SCRIPT = """
import json, sys, torch, transformers
transformers.TRANSFORMERS_CACHE = ""  # which 2.x imports and later versions do not have
sys.path.insert(0, sys.argv[1])
from transformer_lens import HookedTransformer, HookedTransformerConfig
import transformer_lens, detectors
torch.manual_seed(0)
sizes = json.loads(sys.argv[2])
model = HookedTransformer(HookedTransformerConfig(**sizes, act_fn="relu", normalization_type=None, seed=0))
view = detectors.from_hooked(model, task="add:7")
tokens = torch.tensor([[a, b, 7] for a in range(7) for b in range(7)])
with torch.no_grad():
    logits, cache = model.run_with_cache(tokens)
assert torch.allclose(view.logits(), logits[:, -1], atol=1e-6)
assert torch.allclose(view.neurons(), cache["blocks.0.mlp.hook_post"][:, -1], atol=1e-6)
assert detectors.check(view)
print(json.dumps([d.verdict for d in detectors.run(view, draws=19)]))
"""


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_a_hooked_transformer_of_2x(tmp_path):
    """From PyPI, in an environment of its own that sees this one's other packages behind it."""
    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    (inside,) = env.glob("lib/python*/site-packages")
    (inside / "behind.pth").write_text(sysconfig.get_path("purelib"))
    pip = [str(env / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    packages = ["transformer-lens==2.15.4", "fancy_einsum", "better-abc"]
    done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"TransformerLens 2.x cannot be had here: {done.stderr.strip().splitlines()[-1][:200]}")
    run = [str(env / "bin" / "python"), "-c", SCRIPT, str(ROOT), json.dumps(SIZES)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) == len(builtin("operands"))
