"""What the README shows is what is printed of the published checkpoint that it names."""

from pathlib import Path

import pytest

from tests.docs.run_page import command

README = (Path(__file__).parents[2] / "README.md").read_text()
SHOWN = "    $ detectors run checkpoint.pth --task add:113 --train-indices train.json\n"


@pytest.mark.external
@pytest.mark.wide
def test_the_first_report_of_the_readme_is_what_is_printed(external, monkeypatch):
    folder = external / "progress"
    shown, _, _ = README.partition(SHOWN)[2].partition("That is the published checkpoint")
    monkeypatch.setenv("COLUMNS", "200")
    run = SHOWN.strip().removeprefix("$ ")
    run = run.replace("checkpoint.pth", str(folder / "wd_10-1_mod_addition_loss_curve.pth"))
    code, said = command(run.replace("train.json", str(folder / "wd_10-1_train_indices.json")))
    assert code == 0, said
    said = " ".join(said.split())
    rows, sentence = shown.strip().split("\n\n")[:-1], shown.strip().split("\n\n")[-1]
    for row in "\n".join(rows).splitlines():
        assert " ".join(row.split()) in said, row
    assert " ".join(sentence.split()).removesuffix(".") in said
