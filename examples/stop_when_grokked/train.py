"""Train a + b mod p and stop when the circuit is there: `generalisation` present and `memorisation` absent.

python examples/stop_when_grokked/train.py

The network is this script's own. It inherits nothing of ours: it has the attributes and methods of
`help(detectors.Network)`, calls `hook(name, tensor)` at the points that detectors may read, and can be scored as it
is trained.
"""

import argparse
import json
from pathlib import Path

import torch

import detectors

P, D, NEURONS = 31, 32, 64
ANSWERED = 0.99
CHEAP = ["generalisation", "memorisation"]  # both need the logits alone: a tenth of a second at this size


class Quadratic(torch.nn.Module):
    """logits = square([W_x[a], W_y[b]] @ W) @ W_U, which can hold an exact solution (arXiv:2301.02679)."""

    n_tokens, n_layers = P, 1

    def __init__(self):
        super().__init__()
        sizes = {"W_x": (P, D), "W_y": (P, D), "W": (2 * D, NEURONS), "W_U": (NEURONS, P)}
        for name, (rows, columns) in sizes.items():
            setattr(self, name, torch.nn.Parameter(torch.randn(rows, columns) / rows**0.5))
        self.architecture = {"kind": "mlp", "n_tokens": P, "d_model": D, "d_mlp": NEURONS, "act_fn": "square"}

    @property
    def weights(self):
        return {name: w.detach() for name, w in self.named_parameters()}

    def forward(self, tokens, hook=lambda name, tensor: tensor):
        embedded = hook("hook_embed", torch.stack([self.W_x[tokens[:, 0]], self.W_y[tokens[:, 1]]], dim=1))
        pre = hook("blocks.0.mlp.hook_pre", (embedded.flatten(1) @ self.W)[:, None])
        return hook("blocks.0.mlp.hook_post", pre.square())[:, 0] @ self.W_U

    def embedding(self, operand):
        return self.W_x @ self.W[:D] if operand == 0 else self.W_y @ self.W[D:]

    def readout(self, layer):
        return self.W_U


def main(steps, every, seed, out):
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # more threads gain nothing at this size
    pairs = torch.cartesian_prod(torch.arange(P), torch.arange(P))  # pair a * P + b is row a * P + b
    answers = pairs.sum(1) % P
    train = torch.zeros(P * P, dtype=torch.bool)
    train[torch.randperm(P * P)[: int(0.6 * P * P)]] = True

    network = Quadratic()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1.0, betas=(0.9, 0.98))
    print(f"{'step':>5} {'train':>6} {'test':>6} {'G':>6} {'M':>6}  phase")
    for step in range(steps + 1):
        if step % every == 0:
            # a view keeps its forward passes, so every score of changed weights gets a view of its own
            view = detectors.ModelView(network, f"add:{P}", train_mask=train.numpy())
            report = detectors.run(view, names=CHEAP)
            g, m, accuracy = report["generalisation"], report["memorisation"], report.accuracy
            print(
                f"{step:5} {accuracy.train:6.3f} {accuracy.test:6.3f} {g.score:6.3f} {m.score:6.3f}",
                f" {m.evidence['phase']}",
                flush=True,
            )
            # the verdicts say what it holds, the accuracy on pairs seen in neither order that it wins
            if g.verdict == "present" and m.verdict == "absent" and accuracy.unseen >= ANSWERED:
                print(f"stopped at step {step}: generalisation is present, memorisation absent, unseen pairs answered")
                break
        # log-softmax in float64: a float32 loss stalls near 1e-7, where what is memorised has not yet worn away
        loss = torch.nn.functional.cross_entropy(network(pairs[train]).double(), answers[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    else:
        raise SystemExit(f"no circuit after {steps} steps")
    if out:
        torch.save(network.state_dict(), out)  # these names are a layout that `detectors run` knows
        indices = Path(out).with_suffix(".json")
        indices.write_text(json.dumps(train.nonzero().flatten().tolist()))
        print(f"detectors run {out} --task add:{P} --arch act_fn=square --train-indices {indices}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10000, help="give up after so many")
    parser.add_argument("--every", type=int, default=250, help="steps between scores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the weights; the training pairs go beside it")
    main(**vars(parser.parse_args()))
