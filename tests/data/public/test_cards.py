"""Cards of the public datasets: complete, consistent with what reads them, and what data/README.md says."""

import pytest

from cinema.data.inputs import DATASETS
from cinema.data.labels import label_map
from cinema.data.public import cards
from cinema.files import ROOT
from cinema.terms import LABELS, TISSUE_LABELS


def test_every_dataset_has_a_card():
    assert set(cards.names()) == set(DATASETS)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_info_prints_the_card(name, capsys):
    cards.info(name)
    text, card = capsys.readouterr().out, cards.card(name)
    for part in (card.name, card.source, card.licence, *card.tree.splitlines(), *map(str, card.counts.values())):
        assert part.strip() in text
    assert all(pair["here"].strip() in text for pair in card.differences) and card.differences


def test_label_maps_lead_to_our_labels():
    assert label_map(cards.card("mnms")) == {1: LABELS["LV"], 2: LABELS["MYO"], 3: LABELS["RV"]}
    assert label_map(cards.card("acdc")) == {1: LABELS["RV"], 2: LABELS["MYO"], 3: LABELS["LV"]}
    assert set(label_map(cards.card("myops"))) == {200, 500, 600, 1220, 2221}
    assert label_map(cards.card("myops"))[2221] == TISSUE_LABELS["scar"]


def test_data_readme_is_written_from_the_cards(tmp_path):
    before = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(before, encoding="utf-8")
    cards.write_readme(copy)
    assert copy.read_text(encoding="utf-8") == before, "run python3 -m cinema notebooks --table"
    copy.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines"):
        cards.write_readme(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("labels: {1: heart}", "labels holds or lacks .*heart"),
        ("views: [sagittal]", "views holds or lacks .*sagittal"),
        ("colour: red", "unknown entries"),
        ("differences: [{release: a}]", "differences holds or lacks .*here"),
        ("notebook: [", "no readable YAML"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(tmp_path, change, words):
    good = "name: X\nrole: r\nnotebook: '03'\nsource: s\nlicence: l\naccess: a\ntree: t\nsplit: s\n"
    (tmp_path / "x.yaml").write_text(good, encoding="utf-8")
    assert cards.card("x", tmp_path).notebooks == ("03",)
    (tmp_path / "y.yaml").write_text(good + change, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        cards.card("y", tmp_path)
    with pytest.raises(ValueError, match="choose one of x, y"):
        cards.card("z", tmp_path)
