"""The real trainers, on a network that learns 11 x 11 pairs by heart."""

import warnings

import pytest
import torch
from torch import nn

import detectors
from detectors.report.parquet import read_rows
from detectors.series.story import axes

P = 11
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
TRAIN = torch.randperm(P * P, generator=torch.Generator().manual_seed(0))[:45]
MASK = torch.zeros(P * P, dtype=torch.bool).index_fill(0, TRAIN, True).numpy()
HARD = {"train_mask": MASK, "every": 10}


@pytest.fixture
def by_heart(tmp_path):
    """A policy that any lookup meets."""
    file = tmp_path / "stop.gate.toml"
    file.write_text(f"must = {{ {axes()['M']} = 'present' }}\naccuracy = {{ train = 0.99 }}\n")
    return file


def check(folder, seen, end):
    """It stopped where the policy first held, and the series says so."""
    steps = sorted({row["step"] for row in read_rows(folder)})
    assert steps == [*range(0, end, 10), end] == [found["detectors/step"] for found in seen]
    train = {row["step"]: row["accuracy_train"] for row in read_rows(folder)}
    assert train[end] >= 0.99
    assert 0 < end < 400


def test_lightning_stops_when_the_policy_holds(tmp_path, by_heart):
    lightning = pytest.importorskip("lightning")
    seen = []

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(
                nn.Embedding(P, 32), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, P)
            )

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self.inner(batch), batch.sum(1) % P)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    class Kept(lightning.pytorch.loggers.logger.DummyLogger):
        def log_metrics(self, metrics, step):
            if "detectors/step" in metrics:
                seen.append(metrics)

    torch.manual_seed(0)
    callback = detectors.lightning_callback(
        f"add:{P}", model=lambda module: module.inner, folder=tmp_path / "series", policy=by_heart, **HARD
    )
    with warnings.catch_warnings():  # on workers, intervals and the like
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_steps=400, callbacks=[callback], logger=Kept(), accelerator="cpu", enable_progress_bar=False,
            enable_checkpointing=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(net := Net(), torch.utils.data.DataLoader(PAIRS[TRAIN], batch_size=45))
    check(tmp_path / "series", seen, trainer.global_step)
    assert net.inner.training


@pytest.mark.wide
def test_the_trainer_of_hugging_face_stops_when_the_policy_holds(tmp_path, by_heart):
    transformers = pytest.importorskip("transformers")
    seen = []
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=P, n_positions=2, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    sums = PAIRS.sum(1) % P
    data = [{"input_ids": PAIRS[i], "labels": torch.stack([torch.tensor(-100), sums[i]])} for i in TRAIN]

    def loss(outputs, labels, **_):  # the answer stands at the last position, not behind it
        return nn.functional.cross_entropy(outputs.logits[:, -1], labels[:, -1])

    arguments = transformers.TrainingArguments(
        output_dir=tmp_path / "out", max_steps=400, learning_rate=1e-2, per_device_train_batch_size=45, use_cpu=True,
        report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, lr_scheduler_type="constant",
    )  # fmt: skip
    callback = detectors.trainer_callback(
        f"add:{P}", tokens="a b", folder=tmp_path / "series", policy=by_heart, log=seen.append, **HARD
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = transformers.Trainer(
            model, arguments, train_dataset=data, compute_loss_func=loss, callbacks=[callback]
        )
        trainer.train()
    check(tmp_path / "series", seen, trainer.state.global_step)
