"""Declaring a detector, and finding those that there are."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from detectors.core import registry
from detectors.core.registry import Spec, builtin, detector, known, load, names, picture_of, result_of, spec_of
from detectors.core.score import Score


@detector(needs=("logits",), version=2, source="here", news="bad", order=7)
def quiet(model, /, *, draws=199, seed=0) -> Score:
    """First line.

    Second line.
    """
    return Score(value=0.0, null=None, causal=None)


def undeclared(model):
    """Not a detector."""


@pytest.fixture
def others(monkeypatch):
    """Entry points of another package."""

    def install(**places):
        found = [EntryPoint(name, value, registry.MOTIFS) for name, value in places.items()]
        monkeypatch.setattr(
            registry, "entry_points", lambda group: EntryPoints(found if group == registry.MOTIFS else [])
        )
        registry._plugins_of.cache_clear()

    yield install
    registry._plugins_of.cache_clear()


def test_the_decorator_records_and_returns_the_function_itself():
    spec = spec_of(quiet)
    assert quiet(None).value == 0.0
    assert (spec.name, spec.summary, spec.version, spec.news, spec.order) == ("quiet", "First line.", 2, "bad", 7)
    assert (spec.subject, spec.causal, spec.axis, spec.chose, spec.carrier, spec.clause) == (
        "operands",
        True,
        "",
        "",
        "",
        None,
    )
    assert detector is Spec
    with pytest.raises(TypeError, match="is not a detector: decorate it"):
        spec_of(undeclared)


def test_ours_come_first_in_their_declared_order_then_others_by_name(others):
    others(zebra="x:y", ant="x:y", trig_logits="x:stolen")
    assert names() == (*builtin(), "ant", "zebra")
    orders = [spec_of(load(name)).order for name in builtin()]
    assert orders == sorted(orders)
    assert load("trig_logits").__module__ == "detectors.motifs.trig_logits"


def test_what_an_entry_point_leads_to(others):
    here = "tests.core.test_registry" if __name__.startswith("tests") else __name__
    others(quiet=f"{here}:quiet", loud=f"{here}:quiet", plain=f"{here}:undeclared", broken="no_such_module:f")
    registry_of = {name: known(name) for name in ("quiet", "loud", "plain", "broken", "nothing")}
    assert {name for name, function in registry_of.items() if function is not None} == {"quiet"}
    with pytest.raises(TypeError, match="leads to the detector 'quiet'"):
        load("loud")
    with pytest.raises(TypeError, match="is not a detector"):
        load("plain")
    with pytest.raises(ModuleNotFoundError):
        load("broken")
    with pytest.raises(KeyError, match="nothing"):
        load("nothing")


def test_results_and_pictures_are_found_beside_the_function():
    assert result_of(quiet) is Score
    for name in builtin():
        of_heads = spec_of(load(name)).subject == "sequences"
        assert result_of(load(name)).__name__ == ("Heads" if of_heads else "".join(p.title() for p in name.split("_")))
    assert picture_of(quiet) is None
    assert picture_of(load("trig_logits")).__module__ == "detectors.motifs.trig_logits_picture"


def test_a_package_that_is_installed_later_is_seen(tmp_path, monkeypatch):
    """A notebook that goes on after `pip install`."""
    monkeypatch.syspath_prepend(tmp_path)
    assert "later" not in registry.names()
    info = tmp_path / "later-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{registry.MOTIFS}]\nlater = later:later\n")
    assert "later" in registry.names()
