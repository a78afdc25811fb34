"""The command as a user types it."""

import pytest
from typer.testing import CliRunner

from detectors.cli import app
from models_zoo.architectures import initial_weights

MLP = {"kind": "mlp", "n_tokens": 13, "d_model": 4, "d_mlp": 8, "d_vocab_out": 13}


@pytest.fixture
def call():
    def invoke(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "100"})

    return invoke


@pytest.fixture
def untrained(saved):
    return saved(initial_weights(MLP, 0), "untrained.pt")
