"""Exchange of places, by its definition and by the short way for keys that have a place each."""

import numpy as np
import pytest
import torch

import detectors
from detectors.subjects.sequences.positions import _beyond, _exchanged, _one_key_each
from detectors.subjects.sequences.view import SequenceView
from models_zoo import induction_head


def test_the_short_way_has_the_law_of_the_long_one():
    """Means over all exchanges: of each query the lead of its best key, over the keys that it might be; 0 where no
    place is wanted. Keys without a place take no part.
    """
    rng = np.random.default_rng(0)
    size, draws = 6, 4000
    option = torch.arange(size).expand(size, size).clone()
    option[torch.ones(size, size).triu(1).bool()] = size  # none behind the query
    option[:, 0] = size  # nor at the first place
    wanted = (torch.arange(size) - 1).clamp_min(-1)
    available = torch.zeros(size, size + 1, dtype=torch.bool).scatter_(1, option, True)[:, :size]
    wanted = wanted.masked_fill(~((wanted >= 1) & (available.sum(1) > 1)), -1)
    mean = torch.from_numpy(rng.dirichlet(np.ones(size), (3, size))).float()
    short = _one_key_each(mean, option, wanted, available, draws, rng)
    long = torch.stack([_beyond(mean, _exchanged(option, size, rng), wanted, available).sum(1) for _ in range(draws)])
    expected = torch.zeros(3)
    for head in range(3):
        for query in range(size):
            if wanted[query] >= 0:
                first, second = mean[head, query, 1 : query + 1].topk(2).values
                expected[head] += (first - second) / query
    spread = float(long.std(0).max()) / draws**0.5
    for found in (short, long):
        assert torch.allclose(found.mean(0), expected, atol=5 * spread)
    assert torch.allclose(short.std(0), long.std(0), rtol=0.1)
    assert float(expected.min()) > 20 * spread


class Rests:
    """A network whose first layer's heads look at the start with some of their mass."""

    def __init__(self, network, share):
        self.network, self.share = network, share

    def __getattr__(self, name):
        return getattr(self.network, name)

    def forward(self, tokens, hook):
        def resting(name, x):
            if name == "blocks.0.attn.hook_pattern":
                start = torch.zeros_like(x)
                start[..., 0] = 1
                x = (1 - self.share) * x + self.share * start
            return hook(name, x)

        return self.network.forward(tokens, resting)


@pytest.mark.parametrize("share", [0.0, 0.45, 0.6])
def test_a_head_that_rests_on_the_start_looks_at_the_previous_token_with_the_rest(share):
    honest = induction_head(n_tokens=12, n_ctx=16)
    found = detectors.run(SequenceView(Rests(honest.network, share), "repeat"), names=["previous_token_heads"])[0]
    assert found.verdict == "present"
    assert found.score == pytest.approx(1 - share, abs=0.1)
    start = detectors.run(SequenceView(Rests(honest.network, 1.0), "repeat"), names=["previous_token_heads"])[0]
    assert (start.verdict, start.score) == ("absent", pytest.approx(0, abs=0.01))
