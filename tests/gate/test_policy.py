"""Reading a policy: bounds, tables of a pyproject.toml, and what is wrong with one, in words."""

import os

import pytest

from detectors.gate.policy import Policy, PolicyError, parse_bound, read_policy


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a.b >= 0.5", ("a", "b", ">=", 0.5)),
        (" a.b<=-1e-3 ", ("a", "b", "<=", -1e-3)),
        ("a_1.causal.necessity > .5", ("a_1", "causal.necessity", ">", 0.5)),
        ("a.share_above_0.85 == 2", ("a", "share_above_0.85", "==", 2.0)),
        ("a.b < 2.E+2", ("a", "b", "<", 200.0)),
    ],
)
def test_a_bound_is_a_name_a_sign_and_a_number(text, parsed):
    assert parse_bound(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "a >= 1", "a.b", "a.b >= x", "a.b => 1", "1a.b >= 1", "a.b >= 1 or so", "a.b != 1"]
)
def test_what_is_no_bound(text):
    with pytest.raises(ValueError, match="is no bound; write"):
        parse_bound(text)


def test_the_detectors_of_a_policy_are_those_that_it_names_once():
    policy = Policy(
        must={"trig_logits": "present"},
        must_not={"memorisation": "present", "trig_logits": "inert"},
        bounds=["generalisation.score >= 0.5", "memorisation.score <= 1"],
    )
    assert policy.detectors == ["trig_logits", "memorisation", "generalisation"]


def written(folder, text, name="pyproject.toml"):
    (folder / name).write_text(text)
    return folder / name


def test_gates_of_a_pyproject(tmp_path):
    one = "[tool.detectors.gate.release]\naccuracy = { test = 0.9 }\n"
    two = one + "[tool.detectors.gate.nightly]\naccuracy = { train = 0.5 }\n"
    file = written(tmp_path, one)
    assert read_policy(file)[0].accuracy.test == 0.9
    assert read_policy(f"{file}:release")[1] == tmp_path
    file = written(tmp_path, two)
    assert read_policy(f"{file}:nightly")[0].accuracy.train == 0.5
    for place, words in (
        (file, "several gates; say which"),
        (f"{file}:none", "no gate 'none'; it has release, nightly"),
    ):
        with pytest.raises(PolicyError, match=words):
            read_policy(place)
    for empty in ("", "[tool.detectors]\ngate = 3\n"):
        with pytest.raises(PolicyError, match=r"has no table \[tool.detectors.gate.NAME\]"):
            read_policy(written(tmp_path, empty))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[accuracy]\nall = '1'", "accuracy.all: input should be a valid number"),
        ("[accuracy]\nall = 1.01", "less than or equal to 1"),
        ("[accuracy]\nall = -0.01", "greater than or equal to 0"),
        ("seed = -1", "seed: input should be greater than or equal to 0"),
        ("draws = 1000001", "draws: input should be less than or equal to 1000000"),
        ("[baseline]\ntolerence = 1", "did you mean 'tolerance'"),
        ("qqq = 1", "unknown key 'qqq'; known: task, train_indices"),
        ("must = { trig_logits = 'error' }", "must.trig_logits: input should be 'present', 'inert' or 'absent'"),
        ("must = { trig_logits = [] }", "must.trig_logits: list should have at least 1 item"),
        ("must_not = { trig_logits = [] }", "must_not.trig_logits: list should have at least 1 item"),
        ("a = " + "[" * 5000, "cannot be read as TOML"),
        ("#" * 2**20, "up to 1.0 MiB are read"),
        ("must = { qqq = 'present' }", "no detector 'qqq'; there are "),
        ("[baseline]\ntolerances = { qqq = 0.1 }", "no detector 'qqq'"),
        ("bounds = ['qqq.score >= 1']", "no detector 'qqq'"),
    ],
)
def test_what_is_wrong_is_said_of_the_file(tmp_path, text, words):
    with pytest.raises(PolicyError) as caught:
        read_policy(written(tmp_path, text, "x.gate.toml"))
    assert words in str(caught.value)


def test_the_ends_of_the_ranges_are_allowed(tmp_path):
    text = "draws = 1\nseed = 0\naccuracy = { all = 1.0, train = 0.0, unseen = 0.5 }\nbaseline = { tolerance = 1.0 }"
    policy, _ = read_policy(written(tmp_path, text, "x.gate.toml"))
    assert (policy.draws, policy.seed, policy.accuracy.all, policy.accuracy.train) == (1, 0, 1.0, 0.0)
    assert policy.accuracy.unseen == 0.5
    assert Policy(draws=1_000_000).draws == 1_000_000
    assert Policy().draws is None
    assert policy.baseline.tolerance == 1.0
    assert policy.baseline.key_irreps == "report"


def test_files_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for file in ("/dev/zero", tmp_path / "fifo"):
        with pytest.raises(PolicyError, match="is not a plain file"):
            read_policy(file)
    with pytest.raises(PolicyError, match="no policy"):
        read_policy(tmp_path / "none.gate.toml")
    with pytest.raises(PolicyError, match="cannot be read as TOML"):
        read_policy(tmp_path)
    (tmp_path / "b.gate.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="cannot be read as TOML"):
        read_policy(tmp_path / "b.gate.toml")
