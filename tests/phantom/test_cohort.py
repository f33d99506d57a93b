"""Virtual cohorts: the same person whatever else is drawn, roles as described, writing that resumes."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cinema.data.study import study_paths, study_table
from cinema.phantom import ceilings, cohort, roles
from cinema.phantom.roles import ROLES, SCANNERS
from cinema.terms import LAX_VIEWS

TINY = {"sax": ((32, 32, 4), (5.0, 5.0, 24.0)), **{view: ((32, 32), (5.0, 5.0)) for view in LAX_VIEWS}}


def test_a_person_depends_on_role_index_and_seed_only():
    first = cohort.person("mnms", 17, 3)
    [cohort.person("mnms", i, 3) for i in (4, 99)]
    assert cohort.person("mnms", 17, 3) == first
    others = [cohort.person("mnms", 17, 4), cohort.person("mnms", 18, 3), cohort.person("mnms2", 17, 3)]
    assert all(other.heart != first.heart and other.acquisition != first.acquisition for other in others)


@pytest.mark.parametrize("role", ROLES)
def test_roles_are_as_described(role):
    spec, people_ = ROLES[role], [cohort.person(role, i, 1) for i in range(400)]
    seen = pd.DataFrame([p.attributes for p in people_])
    shares = seen.drop_duplicates("patient")["disease"].value_counts(normalize=True).to_dict()
    assert shares == pytest.approx(spec.classes, abs=0.01)
    assert {name for _, name, _ in spec.scanners} == set(seen["scanner"])
    assert abs(sum(share for *_, share in spec.scanners) - 1) < 1e-9
    low, high = spec.slice_thickness_mm
    assert all(low <= p.acquisition.slice_thickness_mm <= high for p in people_)
    assert len({p.acquisition.seed for p in people_}) == len(people_)
    assert ("death" in seen) == ("diabetes" in seen) == (spec.prevalence is not None)
    assert all(isinstance(v, (str, bool, int, float)) for p in people_[:5] for v in p.attributes.values())


def test_vendors_scan_differently_for_a_reason():
    for scanner, style in SCANNERS.items():
        scans = [roles.acquisition(np.random.default_rng(i), ROLES["mnms"], scanner, {}) for i in range(60)]
        assert {s.vendor for s in scans} == {style.vendor} and {s.field_t for s in scans} == {style.field_t}
        assert all(style.flip_deg[0] <= s.flip_deg <= style.flip_deg[1] and s.te_ms <= s.tr_ms / 2 for s in scans)
    scans = (roles.acquisition(np.random.default_rng(i), ROLES["mnms"], "GE 3 T", {}) for i in range(2000))
    shift = [scan.breath_shift_mm for scan in scans]
    assert abs(np.mean(np.array(shift) > 2.7) - 0.16) < 0.03  # published: 16 % with visible motion


def test_rescans_are_the_same_heart_on_another_day():
    pairs = [(cohort.person("rescan", i, 0), cohort.person("rescan", i + 1, 0)) for i in range(0, 800, 2)]
    for a, b in pairs[:20]:
        assert a.attributes["patient"] == b.attributes["patient"] and b.attributes["rescan_of"] == a.id
        assert a.heart.lv_mass_g == b.heart.lv_mass_g and a.heart.detail_seed == b.heart.detail_seed
        assert a.heart.lv_edv_ml != b.heart.lv_edv_ml and a.acquisition.seed != b.acquisition.seed
        assert a.attributes["scanner"] == b.attributes["scanner"]
    edv = np.log([[p.heart.lv_edv_ml for p in pair] for pair in pairs])
    found = np.sqrt(np.mean((edv[:, 0] - edv[:, 1]) ** 2 / 2))
    assert found == pytest.approx(roles.RESCAN_SD["lv_edv"], rel=0.12)
    variation = ceilings.rescan_variation([p for pair in pairs for p in pair])
    assert 2.0 < variation["lv_ef_percent"] < 4.2  # below the published scan-rescan figure of scan and reader together


def test_the_planted_quality_gap_touches_images_only():
    group = [cohort.person("fairness", i) for i in range(900)]
    snr = pd.DataFrame([p.attributes | {"snr": p.acquisition.snr} for p in group])
    means, by_sex = (snr.groupby(by)["snr"].mean() for by in ("ethnicity", "sex"))
    assert means["Black"] < 0.45 * means["White"] and abs(means["Asian"] / means["White"] - 1) < 0.08
    assert abs(by_sex["F"] / by_sex["M"] - 1) < 0.08
    spec, plain = ROLES["fairness"], replace(ROLES["fairness"], quality_gap=None)
    who = next(p for p in group if p.attributes["ethnicity"] == "Black")
    a, b = (roles.acquisition(np.random.default_rng(0), role, "GE 3 T", who.attributes) for role in (spec, plain))
    assert a == replace(b, snr=a.snr, blur_mm=a.blur_mm, breath_shift_mm=a.breath_shift_mm)


@pytest.mark.parametrize("role", ["acdc", "mnms2", "kaggle", "landmark", "population"])
def test_a_study_holds_what_its_role_promises(role):
    spec, p = ROLES[role], cohort.person(role, 2)
    study = cohort.study(p, grid=TINY)
    assert tuple(study.views) == spec.views and study.cohort == f"virtual {role}" and study.id == p.id
    for name, view in study.views.items():
        assert view.image.dtype == np.uint8 and view.n_frames == 2
        assert (view.labels is not None) == (name in spec.masks)
        assert (view.landmarks is not None) == (name in spec.landmarks)
    assert (study.ed_frame, study.es_frame) == (0, 1)
    assert study.truth["lv_volume_ml"] == pytest.approx([p.heart.lv_edv_ml, p.heart.lv_esv_ml], rel=0.01)
    assert ("log_hazard" in study.truth) == (spec.prevalence is not None)


def test_frames_of_a_cycle():
    p = cohort.person("acdc", 0)
    study = cohort.study(p, phases=12, grid=TINY)
    assert study.views["sax"].n_frames == 12 and study.ed_frame == 0
    assert study.es_frame == np.argmin(study.truth["lv_volume_ml"])


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(cohort, "N_CEILING", 60)


def content(folder):
    return {path.name: path.read_bytes() for path in study_paths(folder)}


def test_write_resumes_grows_and_shrinks(tmp_path, few):
    cohort.write("acdc", 3, 0, tmp_path, grid=TINY)
    before = content(tmp_path)
    stamp = {path: path.stat().st_mtime_ns for path in study_paths(tmp_path)}
    study_paths(tmp_path)[1].unlink()  # as if interrupted
    cohort.write("acdc", 4, 0, tmp_path, grid=TINY)
    after = content(tmp_path)
    assert len(before) == 3 and len(after) == 4 and before.items() < after.items()
    assert sum(path.stat().st_mtime_ns == stamp.get(path) for path in study_paths(tmp_path)) == 2
    cohort.write("acdc", 2, 0, tmp_path, grid=TINY)
    assert len(content(tmp_path)) == 2 and json.loads((tmp_path / cohort.MANIFEST).read_bytes())["n"] == 2


def test_write_is_the_same_in_parallel(tmp_path, few):
    cohort.write("acdc", 3, 0, tmp_path / "one", grid=TINY)
    cohort.write("acdc", 3, 0, tmp_path / "two", grid=TINY, jobs=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_stale_cohort_is_made_anew_and_says_so(tmp_path, few, capsys, monkeypatch):
    cohort.write("acdc", 2, 0, tmp_path, grid=TINY)
    first = study_table(tmp_path)
    cohort.write("acdc", 2, 0, tmp_path, grid=TINY)
    assert capsys.readouterr().out == ""
    cohort.write("acdc", 2, 5, tmp_path, grid=TINY)
    assert "seed changed since it was written; making it anew" in capsys.readouterr().out
    assert (study_table(tmp_path)["weight_kg"] != first["weight_kg"]).all()
    monkeypatch.setattr(cohort, "source_hash", lambda: "other")
    cohort.write("acdc", 2, 5, tmp_path, grid=TINY)
    assert "sources changed" in capsys.readouterr().out


def test_write_refuses_before_it_touches_anything(tmp_path, few):
    cohort.write("acdc", 1, 0, tmp_path / "acdc", grid=TINY)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.h5").write_bytes(b"precious")
    before = content(tmp_path / "acdc")
    for role, n, folder, options, message in (
        ("acdcx", 1, "acdc", {}, "unknown role 'acdcx'; choose one of pretraining"),
        ("acdc", 1, "acdc", {"phases": ("ES",)}, "phases are"),
        ("acdc", 0, "acdc", {}, "n is 0"),
        ("acdc", 1, "acdc", {"grid": {}}, "the grid lacks"),
        ("mnms", 1, "acdc", {}, "holds the role 'acdc', not 'mnms'"),
        ("acdc", 1, "mine", {}, "holds studies but no manifest.json"),
    ):
        with pytest.raises(ValueError, match=message):
            cohort.write(role, n, 0, tmp_path / folder, **options)
    assert content(tmp_path / "acdc") == before and content(tmp_path / "mine") == {"mine.h5": b"precious"}


def test_truth_file_states_what_was_planted(tmp_path, few):
    cohort.write("population", 1, 0, tmp_path, grid=TINY)
    truth = json.loads((tmp_path / cohort.TRUTH).read_bytes())
    assert truth["exposures"]["null_exposure"]["effect"] == {} and truth["hazard_ratios"]["lvgfi"] == 0.85
    assert truth["ceilings"]["exposures"]["null_exposure"]["heart_closed_form"] == 0.5
    age = truth["ceilings"]["regression"]["age_years"]
    assert age["mae"] < age["mae_of_mean"]


def test_split_is_stratified_by_patient_and_ignores_order():
    table = pd.DataFrame([cohort.person("rescan", i).attributes for i in range(200)])
    split = cohort.split(table)
    assert (table.assign(split=split).groupby("patient")["split"].nunique() == 1).all()
    counts = table.assign(split=split).drop_duplicates("patient").groupby(["disease", "split"]).size().unstack()
    assert (abs(counts["train"] / counts.sum(axis=1) - 0.6) < 0.05).all()
    shuffled = table.sample(frac=1, random_state=0)
    assert cohort.split(shuffled).sort_index().equals(split)
    assert not cohort.split(table, seed=1).equals(split)
    assert set(cohort.split(table, (("a", 1), ("b", 1)), by=None)) == {"a", "b"}
