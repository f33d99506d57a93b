"""The ledger: verdicts follow intervals, and nothing in README is typed."""

import base64

import pandas as pd
import pytest
from places import ROOT

from cinema.results import read_json
from cinema.runner import ledger

ROWS = read_json(ROOT / "figures" / "results.json")


def row(key, value, lower, upper, **changes):
    about = {"n": 20, "unit": "", "cohort": "virtual", "claim": "", "notebook": "x", "profile": "laptop"}
    return {"key": key, "value": value, "lower": lower, "upper": upper, "data": "virtual", "seed": 0} | about | changes


def line(needs, margin=""):
    decides, because = ("k", "") if needs else ("", "patients only")
    about = {"decides": decides, "needs": needs, "margin": margin, "because": because}
    return about | {"ours": {"CineMA": "c"}, "floor": "x_f"}


VERDICTS = {  # by what is needed: intervals of each verdict
    "above": {ledger.AGREES: [(0.1, 0.3)], ledger.DIFFERS: [(-0.3, -0.1)], ledger.OPEN: [(-0.1, 0.3), (0.0, 0.3)]},
    "below": {ledger.AGREES: [(-0.3, -0.1)], ledger.DIFFERS: [(0.1, 0.3)], ledger.OPEN: [(-0.1, 0.1)]},
    "within": {ledger.AGREES: [(-0.01, 0.015)], ledger.DIFFERS: [(0.03, 0.05), (-0.05, -0.03)]},
}
VERDICTS["within"][ledger.OPEN] = [(0.01, 0.03), (-0.1, 0.1)]


@pytest.mark.parametrize("needs", VERDICTS)
def test_a_verdict_follows_the_whole_interval(needs):
    for word, intervals in VERDICTS[needs].items():
        for lower, upper in intervals:
            found = row("k", (lower + upper) / 2, lower, upper)
            got, _ = ledger.verdict(line(needs, "0.02" if needs == "within" else ""), {"k": found})
            assert got == word, (lower, upper)


@pytest.mark.parametrize("found", [None, row("k", 0.2, None, None), row("k", 0.2, 0.1, 0.3, profile="ci")])
def test_without_an_interval_of_a_real_training_nothing_is_settled(found):
    assert ledger.verdict(line("above"), {"k": found} if found else {})[0] == ledger.OPEN


LEARNT = [("above", 0.6, ledger.AGREES), ("above", 0.5, ledger.OPEN)]
LEARNT += [("below", 0.4, ledger.AGREES), ("below", 0.6, ledger.OPEN)]


@pytest.mark.parametrize(("needs", "score", "word"), LEARNT)
def test_who_is_no_better_than_learning_nothing_settles_nothing(needs, score, word):
    ends = (0.1, 0.3) if needs == "above" else (-0.3, -0.1)
    found = {"k": row("k", sum(ends) / 2, *ends), "c": row("c", score, None, None), "x_f": row("x_f", 0.5, None, None)}
    assert ledger.verdict(line(needs), found)[0] == word
    assert ledger.verdict(line(needs) | {"floor": "0.5"}, found)[0] == word
    rival = line(needs) | {"ours": {"CineMA": "better", "sex, CNN": "c"}}  # beating who learnt nothing proves nothing
    found["better"] = row("better", 0.9 if needs == "above" else 0.1, None, None)
    assert ledger.verdict(rival, found)[0] == word


def test_claims_about_patients_alone_stay_open_whatever_is_found():
    assert ledger.verdict(line(""), {"k": row("k", 0.2, 0.1, 0.3)}) == (ledger.OPEN, "patients only")


def test_claims_that_only_count_are_counted():
    assert ledger.verdict(line("") | {"needs": "count"}, {"k": row("k", 0.2, 0.1, 0.3)})[0] == ledger.COUNTED
    assert [entry["claim"] for entry in ledger.read_ledger() if entry["needs"] == "count"] == ["C1", "C2"]


def test_every_claim_has_one_line_and_published_rows():
    paper, entries = ledger.read_paper(), ledger.read_ledger()
    claims = [entry["claim"] for entry in entries]
    assert claims == ["C1", "C2", "C3", "C3b", *(f"C{k}" for k in range(4, 19))]
    assert set(paper["claim"]) >= set(claims) - {"C3b"}
    assert all(entry["would_settle"] for entry in entries)
    assert all(entry["decides"] in ("", *entry["ours"].values()) for entry in entries)  # the deciding number is shown
    assert set(paper["trust"]) <= {"seen", "code", "secondary", "not found"}


BROKEN = {"C1,t,s,a=k,,above,,,x,y": "give both or none", "C1,t,s,a=k,k,within,,,,y": "margin"}
BROKEN |= {"C1,t,s,a=k,k,above,,,because,y": "margin", "C1,t,s,a=k,,,,,,y": "margin"}


@pytest.mark.parametrize(("broken", "words"), BROKEN.items())
def test_a_line_that_breaks_the_rules_is_refused(tmp_path, broken, words):
    (tmp_path / "data").mkdir()
    head = (ROOT / "data" / "ledger.csv").read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "data" / "ledger.csv").write_text(f"{head}\n{broken}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        ledger.read_ledger(tmp_path)


ENTRIES = {entry["claim"]: entry for entry in ledger.read_ledger()}


def test_numbers_of_patients_are_shown_apart_and_decide_nothing():
    key = ENTRIES["C3"]["decides"]
    virtual, real = row(key, -0.1, -0.2, -0.05), row(key, 0.3, 0.25, 0.4, data="acdc", cohort="acdc")
    seen = ledger.table([real, virtual]).set_index("claim").loc["C3"]
    assert seen["verdict"] == ledger.DIFFERS and "acdc" in seen["real"] and "0.300" not in seen["virtual"]
    assert ledger.table([real]).set_index("claim").loc["C3", "verdict"] == ledger.OPEN


def test_laptop_goes_before_ci():
    key = ENTRIES["C3"]["decides"]
    rows = [row(key, 0.1, 0.05, 0.2), row(key, -0.1, -0.2, -0.05, profile="ci")]
    for order in (rows, rows[::-1]):
        assert ledger.table(order).set_index("claim").loc["C3", "verdict"] == ledger.AGREES


def test_differences_are_turned_towards_the_claim():
    turned = ledger.deciding([row(ENTRIES["C4"]["decides"], -1.0, -2.0, -0.5)]).iloc[0]
    assert (turned["value"], turned["lower"], turned["upper"]) == (1.0, 0.5, 2.0)


def test_shares_are_held_against_percent():
    found = ledger.comparison([row(ENTRIES["C3"]["ours"]["CineMA"], 0.8, 0.7, 0.9)])
    both = found[found["claim"] == "C3"].set_index("who")
    assert both.loc["ours, CineMA", "value"] == pytest.approx(80) and both.loc["published CineMA", "value"] > 80


def test_errors_are_relative_to_the_published_cnn():
    ends = {"C3": (0.8, 0.7, 0.9), "C4": (3.0, 2.0, 4.0)}
    rows = [row(ENTRIES[claim]["ours"]["CineMA"], *values) for claim, values in ends.items()]
    found = ledger.relative(ledger.comparison(rows)).set_index(["claim", "who"])[["value", "lower", "upper"]]
    assert found.loc[("C3", "ours, CineMA")].tolist() == pytest.approx([20 / 10.76, 10 / 10.76, 30 / 10.76])
    assert found.loc[("C4", "ours, CineMA")].tolist() == pytest.approx([3 / 3.63, 2 / 3.63, 4 / 3.63])
    assert found.loc[("C9", "published CineMA"), "value"] == pytest.approx((100 - 60.06) / (100 - 31.55))
    references = found["value"][found.index.get_level_values("who").isin(ledger.PUBLISHED_CNNS)]
    assert len(references) == found.index.get_level_values("claim").nunique() and (references == 1).all()


def test_numbers_are_written_as_people_do():
    assert ledger.number(row("k", -0.0104, -0.0213, 0.0015)) == "−0.010 (−0.021 to 0.002, n = 20)"
    assert ledger.number(row("k", -0.0004, -0.00213, 0.0)) == "−0.0004 (−0.002 to 0, n = 20)"  # never "0.000"
    assert ledger.number(row("k", 15_000_000, None, None, n=None, unit="images")) == "15,000,000 images"
    assert ledger.number(row("k", True, None, None, n=None)) == "yes"


def test_keys_that_nothing_records_are_named_in_one_line():
    wanted = ledger.ledger_keys()
    assert ledger.unknown([row(key, 1, 0, 2) for key in wanted], wanted) == ""
    assert ledger.unknown([], ["a", "b"]) == "2 numbers are not recorded: a, b."


def test_every_key_asked_for_is_recorded():
    done = {entry["notebook"][:2] for entry in ROWS if entry["profile"] == "laptop"}
    wanted = [*ledger.ledger_keys(), *ledger.oddity_keys()]
    lacking = {key[:2] for key in wanted} - done
    if lacking:
        pytest.skip(f"notebooks {', '.join(sorted(lacking))} have no numbers in figures/results.json yet")
    assert not ledger.unknown([entry for entry in ROWS if entry["profile"] == "laptop"], wanted)


def test_readme_holds_the_short_ledger():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = (*ledger.FOUND, ledger.found(ROWS)), (ledger.BEGIN, ledger.END, ledger.markdown(ROWS))
    held = all(f"{begin}\n{block}\n{end}" in text for begin, end, block in blocks)
    assert held, "cinema.runner.ledger.write_readme() brings it up to date"
    assert "not run" not in text


def test_readme_shows_the_film_of_notebook_00():
    film = base64.b64encode((ROOT / "figures" / "00_moving_heart.webp").read_bytes()).decode()
    assert film in (ROOT / "notebooks" / "00_start_here.ipynb").read_text(encoding="utf-8")


def test_write_readme_replaces_the_block_and_nothing_else(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.csv").write_bytes((ROOT / "data" / "ledger.csv").read_bytes())
    readme = tmp_path / "README.md"
    readme.write_text(
        "before\n{}\n{}\n{}\nold\n{}\nafter\n".format(*ledger.FOUND, ledger.BEGIN, ledger.END), encoding="utf-8"
    )
    ledger.write_readme(tmp_path)
    block = "\n".join([ledger.FOUND[0], ledger.found([]), ledger.FOUND[1], ledger.BEGIN, ledger.markdown([], tmp_path)])
    assert readme.read_text(encoding="utf-8") == f"before\n{block}\n{ledger.END}\nafter\n"
    assert len(ledger.markdown(ROWS).splitlines()) == 2 + len(ledger.read_ledger()) + 2
    readme.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="add them"):
        ledger.write_readme(tmp_path)


def test_oddities_say_what_was_measured_or_why_not():
    listed = pd.read_csv(ROOT / "data" / "oddities.csv").fillna("")
    assert listed["id"].is_unique and set(listed["here"]) == {"kept", "option", "fixed"}
    assert all(bool(entry.key) != entry.measured.startswith("not measured: ") for entry in listed.itertuples())
    shown = ledger.oddities([row("12_x_only_as_is", 0.1, 0.0, 0.2)]).set_index("id")["effect"]
    assert shown["x_only_scaling"].startswith("0.100") and shown["rotary_heads"] == ""
