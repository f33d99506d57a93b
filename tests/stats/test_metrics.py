"""Metrics against closed forms, SimpleITK and scikit-learn."""

import numpy as np
import pytest
import SimpleITK as sitk
from sklearn import metrics as sk

from cinema.stats import metrics


def ball(size, centre, radius, spacing=(1.0, 1.0, 1.0)):
    grid = np.meshgrid(*(np.arange(n) * s for n, s in zip(size, spacing, strict=True)), indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def test_volume_of_a_ball_matches_its_formula():
    mask = ball((60, 60, 60), (29.3, 30.1, 30.6), 25)
    assert metrics.volume_ml(mask, (1, 1, 1)) == pytest.approx(4 / 3 * np.pi * 25**3 / 1000, rel=3e-3)
    assert metrics.volumes_ml(mask.astype(int) * 3, (1, 1, 2), 4)[[1, 3]] == pytest.approx([0, 2 * mask.sum() / 1000])


def test_ejection_fraction():
    assert metrics.ejection_fraction_percent(150, 60) == pytest.approx(60)
    assert np.isnan(metrics.ejection_fraction_percent(0, 0))
    np.testing.assert_allclose(metrics.ejection_fraction_percent([100, 0], [120, 5]), [-20, np.nan])
    np.testing.assert_allclose(metrics.published_ef_percent([100, 0, 100], [120, 5, 40]), [0, 0, 60])
    assert [metrics.ef_band(ef) for ef in (40, 40.1, 55, 55.1)] == [0, 1, 1, 2]


def test_coefficient_of_variation_recovers_a_planted_one():
    rng = np.random.default_rng(0)
    true = rng.uniform(40, 70, 20000)
    first, second = (true * (1 + rng.normal(0, 0.08, true.size)) for _ in range(2))
    assert metrics.coefficient_of_variation_percent(first, second) == pytest.approx(8, abs=0.15)
    assert metrics.coefficient_of_variation_percent([50, 60], [50, 60]) == 0


def test_overlap_agrees_with_simpleitk():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 9, 8, 7)) < 0.4
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.GetImageFromArray(b.astype(np.uint8)), sitk.GetImageFromArray(a.astype(np.uint8)))
    assert metrics.dice(a, b) == pytest.approx(overlap.GetDiceCoefficient())
    assert metrics.iou(a, b) == pytest.approx(overlap.GetJaccardCoefficient())


def test_empty_masks():
    none, some = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert np.isnan(metrics.dice(some, none)) and np.isnan(metrics.iou(none, none))
    assert metrics.dice(none, some) == 0 and metrics.iou(none, some) == 0
    assert [metrics.dice_counting_empty(a, none) for a in (none, some)] == [1, 0]
    assert metrics.dice_counting_empty(some, some) == 1
    assert np.isnan(metrics.hd95_mm(some, none, (1, 1))) and np.isnan(metrics.hd95_mm(none, some, (1, 1)))


def surface_distances_by_simpleitk(a, b, spacing):
    """Distances from the surface of a to that of b, by SimpleITK's contours and distance map."""

    def image(mask):  # a border of background, because SimpleITK's contour stops at the image's edge
        out = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        out.SetSpacing(spacing[::-1])
        return out

    contour_b = sitk.LabelContour(image(b), False)
    distance = sitk.SignedMaurerDistanceMap(contour_b, squaredDistance=False, useImageSpacing=True)
    contour = sitk.GetArrayFromImage(sitk.LabelContour(image(a), False)).astype(bool)
    return np.maximum(sitk.GetArrayFromImage(distance), 0)[contour]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 1.2, 8.0)])
def test_hd95_agrees_with_simpleitk(spacing):
    extent = np.array(spacing) * (24, 22, 9)
    a = ball((24, 22, 9), extent * 0.5, 0.3 * extent[0], spacing)
    b = ball((24, 22, 9), extent * (0.45, 0.6, 0.5), 7.5, spacing)
    expected = max(np.percentile(surface_distances_by_simpleitk(x, y, spacing), 95) for x, y in ((a, b), (b, a)))
    assert metrics.hd95_mm(a, b, spacing) == pytest.approx(expected, rel=1e-4)


def test_hd95_of_shifted_boxes_is_the_shift():
    a, b = np.zeros((2, 20, 10), bool)
    a[2:6, 2:8], b[9:13, 2:8] = True, True
    assert metrics.hd95_mm(a, b, (2.0, 1.0)) == pytest.approx(14.0)
    assert metrics.hd95_mm(a, a, (2.0, 1.0)) == 0


def test_segmentation_rows():
    true = np.zeros((6, 6, 2), np.uint8)
    true[:3], true[3:5] = 3, 2
    rows = {row["structure"]: row for row in metrics.segmentation_rows(true, true, (1.0, 1.0, 5.0))}
    assert list(rows) == ["RV", "MYO", "LV"]
    assert rows["LV"]["dice"] == 1 and rows["LV"]["hd95_mm"] == 0 and np.isnan(rows["RV"]["dice"])
    assert rows["LV"]["volume_ml"] == rows["LV"]["true_volume_ml"] == pytest.approx(0.18)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_classification_agrees_with_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    true = rng.integers(n_classes, size=80)
    p = rng.dirichlet(np.ones(n_classes), 80) + 0.5 * np.eye(n_classes)[true]
    p /= p.sum(1, keepdims=True)
    ours, predicted = metrics.classification_metrics(p, true), p.argmax(1)
    assert ours["accuracy"] == pytest.approx(np.mean(predicted == true))
    assert ours["mcc"] == pytest.approx(sk.matthews_corrcoef(true, predicted))
    if n_classes == 2:
        (tn, fp), (fn, tp) = sk.confusion_matrix(true, predicted)
        assert ours["sensitivity"] == pytest.approx(tp / (tp + fn))
        assert ours["specificity"] == pytest.approx(tn / (tn + fp))
        assert ours["roc_auc"] == pytest.approx(sk.roc_auc_score(true, p[:, 1]))
    else:
        assert ours["roc_auc"] == pytest.approx(sk.roc_auc_score(true, p, average="macro", multi_class="ovo"))
        assert "sensitivity" not in ours


def test_a_class_nobody_has_does_not_spoil_the_auc():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    assert metrics.classification_metrics(p, [0, 1, 0, 1])["roc_auc"] == 1


def test_regression():
    ours = metrics.regression_metrics([1.0, 4.0, 0.0], [[2.0], [2.0], [0.0]])
    assert ours["mae"] == pytest.approx(1) and ours["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert (ours["max_error"], ours["min_error"], ours["max_label"], ours["min_pred"]) == (2, 0, 2, 0)


def test_long_axis_function_of_a_shortening_ventricle():
    hinges = np.array([[10.0, 10.0], [10.0, 30.0]])
    points = np.array([[*(hinges + [shift, 0]), [60.0, 20.0]] for shift in (0.0, 4.0, 8.0, 3.0)])
    lengths = metrics.lv_lengths_mm(points, (2.0, 2.0))
    np.testing.assert_allclose(lengths, [100, 92, 84, 94])
    assert metrics.shortening_percent(lengths) == pytest.approx(16)
    assert metrics.mapse_mm(points, (2.0, 2.0)) == pytest.approx(16)
    assert metrics.landmark_distances_mm([3, 4], [0, 0], (1, 2)) == pytest.approx(np.sqrt(9 + 64))
