"""Dressing and the library: labels follow the warp, looks differ, hearts repeat."""

import h5py
import numpy as np

from cinema.phantom.body import CODE, TISSUES
from cinema.phantom.image import FAT, majority_label
from cinema.phantom.shape import volumes_ml
from cinema.terms import LAX_VIEWS
from experiments.own_weights.domain_randomisation import SIGNAL_RANGE, TISSUE, Look, dress, random_signals, warp
from experiments.own_weights.library import library_heart, write_entry

QUIET = Look(shift_mm=0, elastic_mm=0, noise=(1e-6, 2e-6), blur_mm=(0, 1e-6), shading=0)


def target(n=60):
    """A disc of blood in a ring of muscle in lung."""
    x, y = np.indices((n, n)) - (n - 1) / 2
    r = np.hypot(x, y)
    codes = np.full((n, n), CODE["lung"], np.uint8)
    codes[r < 16], codes[r < 10] = CODE["myocardium"], CODE["lv_blood"]
    return np.repeat(codes[None], 4, axis=0)


def test_every_tissue_gets_a_signal_in_its_range():
    for seed in range(30):
        signal = random_signals(np.random.default_rng(seed))
        assert np.isfinite(signal).all() and signal[CODE["lv_blood"]] == 1 and (signal[~FAT] >= 0).all()
        assert all(low <= abs(signal[CODE[name]]) <= high for name, (low, high) in SIGNAL_RANGE.items())


def test_label_is_the_map_seen_through_the_warp():
    rng = np.random.default_rng(0)
    index = warp(rng, 1.5, 60, 1.5, QUIET, (29.5, 29.5))
    _, label = dress(target(), index, random_signals(rng), rng, 1.5, QUIET)
    i, j = np.rint(index).astype(int)
    inside = (i >= 0) & (j >= 0) & (i < 60) & (j < 60)
    expected = majority_label(target()[..., None])[..., 0][np.clip(i, 0, 59), np.clip(j, 0, 59)] * inside
    np.testing.assert_array_equal(label, expected)


def test_scale_of_the_warp_is_what_changes_the_area():
    areas = []
    for scale in (0.8, 1.25):
        rng = np.random.default_rng(1)
        look = Look(shift_mm=0, elastic_mm=0, scale=(scale, scale * 1.0001))
        index = warp(rng, 1.5, 60, 1.5, look, (29.5, 29.5))
        areas.append((dress(target(), index, random_signals(rng), rng, 1.5, look)[1] == 3).sum())
    assert abs(areas[0] / areas[1] / (1.25 / 0.8) ** 2 - 1) < 0.1


def test_two_visits_look_different_and_one_repeats():
    def visit(seed):
        rng = np.random.default_rng(seed)
        return dress(target(), warp(rng, 1.5, 60, 1.5, Look(), (29.5, 29.5)), random_signals(rng), rng, 1.5)[0]

    np.testing.assert_array_equal(visit(1), visit(1))
    assert np.corrcoef(visit(1).ravel(), visit(2).ravel())[0, 1] < 0.99


def test_library_entry_repeats_and_holds_every_view(tmp_path):
    (tmp_path / "again").mkdir()
    first, again = write_entry(tmp_path, 3, 0), write_entry(tmp_path / "again", 3, 0, LAX_VIEWS)
    with h5py.File(first) as a, h5py.File(again) as b:  # a view is the same with others or alone
        assert set(a) == {"sax", *(f"{v}{s}" for v in ("lax_2c", "lax_3c", "lax_4c") for s in ("", "_landmarks"))}
        assert set(a) - set(b) == {"sax"} and all(np.array_equal(a[name], b[name]) for name in b)
        assert (a["sax"][()] & TISSUE).max() < len(TISSUES)
    assert not list(tmp_path.glob("*.part"))


def test_library_hearts_vary_widely_and_meet_their_volumes():
    hearts = [library_heart(i, 0)[0] for i in range(60)]
    edv, esv = np.array([(h.lv_edv_ml, h.lv_esv_ml) for h in hearts]).T
    ef = 1 - esv / edv
    assert edv.max() / edv.min() > 3 and ef.min() < 0.25 < 0.65 < ef.max()
    for heart in hearts[:10]:
        np.testing.assert_allclose(volumes_ml(heart, heart.es_fraction)[0], heart.lv_esv_ml, rtol=1e-4)
