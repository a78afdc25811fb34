"""Numbers of a language model in a folder: of the whole model, and of one that is too large, row by row."""

import pytest
import torch
from typer.testing import CliRunner

import detectors
import models_zoo
from detectors.cli import app
from detectors.core.errors import CheckpointError
from detectors.core.memory import MemoryBudget
from detectors.subjects.words.view import RowsView

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
SIZES = {"hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Whose numbers 0 to 99 lie on a helix in the embedding."""
    path = tmp_path_factory.mktemp("numbers") / "m"
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=300, **SIZES))
    rows = models_zoo.number_rows("helix", seed=1).rows(range(100))["embedding"].float()
    turned = rows @ torch.linalg.qr(torch.randn(rows.shape[1], max(64, rows.shape[1]))).Q[:, :64]
    with torch.no_grad():
        model.get_input_embeddings().weight[100:200] = turned
    model.save_pretrained(path)
    vocabulary = {"<unk>": 0, **{str(n): 100 + n for n in range(100)}}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(path)
    return path


def test_a_helix_of_the_embedding_is_found(folder):
    view = detectors.load(folder)
    report = detectors.run(view, names=["number_helix", "cyclic_concepts"])
    assert report["number_helix"].verdict == "present"
    assert report["cyclic_concepts"].verdict == "not_applicable"
    assert "numbers on circles of period" in report.summary


def test_places_are_the_embedding_and_the_stream_behind_layers(folder):
    view = detectors.load(folder)
    found = view.rows([100, 107])
    assert list(found) == ["embedding", "layer 0", "layer 1", "layer 2"]
    texts = torch.tensor([[view.network.bos, 100], [view.network.bos, 107]])
    with torch.no_grad():
        hidden = view.network.model(texts, output_hidden_states=True).hidden_states
    for layer in range(3):
        assert torch.allclose(found[f"layer {layer}"].float(), hidden[layer + 1][:, -1], atol=1e-5)


def test_of_a_model_too_large_rows_are_read_one_by_one(folder, monkeypatch):
    whole = detectors.load(folder)
    monkeypatch.setenv("DETECTORS_MEMORY", "0.0001")
    with pytest.raises(MemoryBudget, match="motifs of words, named with -d, read rows of its embedding alone"):
        detectors.load(folder)
    view = detectors.load(folder, words=True)
    assert isinstance(view, RowsView)
    assert torch.equal(view.rows([100, 150])["embedding"], whole.rows([100, 150])["embedding"])
    assert view.tokens_of(["7", "x"]) == [107, None]
    monkeypatch.delenv("DETECTORS_MEMORY")
    assert not isinstance(detectors.load(folder, words=True), RowsView)


def test_the_command_reads_rows_where_no_more_is_asked(folder, monkeypatch):
    monkeypatch.setenv("DETECTORS_MEMORY", "0.0001")
    told = CliRunner().invoke(app, ["run", str(folder), "-d", "number_helix"])
    assert told.exit_code == 0, told.output
    assert "the model was not loaded: rows of its embedding alone" in " ".join(told.output.split())
    asked = CliRunner().invoke(app, ["run", str(folder), "-d", "number_helix", "-d", "induction_heads"])
    assert asked.exit_code == 2


def test_a_folder_without_the_table_or_words_is_refused(folder, tmp_path, monkeypatch):
    import shutil

    from safetensors.torch import load_file, save_file

    copy = tmp_path / "m"
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    monkeypatch.setenv("DETECTORS_MEMORY", "0.0001")
    save_file({k: w for k, w in weights.items() if "embed" not in k}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no \*.safetensors of .* has model.embed_tokens.weight"):
        detectors.load(copy, words=True)
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        detectors.load(copy, words=True)
