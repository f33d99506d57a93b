"""Which view is it? Told from where the planes lie in the body, never from what a series is called.

The long axis of the left ventricle points from base to apex: to the left, forward, mostly downward. Short-axis
slices are a stack of parallel planes across it. Long-axis views contain it and differ by their angle about it,
counted in a short-axis picture with the RV on the left, from the lateral wall over the anterior wall:
4C runs from the acute margin of the RV to the lateral wall (about 10 degrees), 2C from the inferior to the anterior
wall (70), 3C from the inferolateral to the anteroseptal wall (130). Planes beside the axis belong to the RV.
Sources: plane definitions of paper_facts.md 4b; angles from the 60 degrees between neighbouring views given there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from cinema.data.geometry import normal
from cinema.terms import LAX_VIEWS, VIEW_NAMES

TYPICAL_AXIS = np.array([-0.65, 0.66, -0.38])  # RAS, base to apex; real hearts lie up to 50 degrees off
MAX_OFF_TYPICAL_DEG = 60.0
OFF_TYPICAL_DEG = 20.0  # of most hearts
BODY_PLANE_DEG = 3.0  # nobody lays short-axis slices exactly along the body
RIGHT = np.array([1.0, 0.0, 0.0])
ANGLES_DEG = {"lax_4c": 10.0, "lax_2c": 70.0, "lax_3c": 130.0}

# Standard deviations that weigh the evidence; a hypothesis costs the sum of squared standardised deviations.
HEART_ROTATION_DEG = 15.0  # of all views together about the axis, between people
VIEW_ANGLE_DEG = 12.0  # of one view beyond that, between operators
TILT_DEG = 8.0  # between a plane and the axis it should contain
OFF_AXIS_MM = 8.0  # between planes that should share one line
SEPTUM_TO_LV_MM = 15.0  # both ventricles move: the centre of motion lies near the septum, the LV to its left
OFF_HEART_MM = 20.0  # between the line and the point so found
ABSENT_COST = 7.0  # of leaving a view out: about what a plane 20 degrees or 20 mm amiss costs
AMBIGUOUS_COST = 3.0  # runner-up closer than this: named in a note
MOST_LINES = 12  # that are tried as the long axis
MOST_PLANES = 4  # that are tried as each view, where there are many


@dataclass(frozen=True)
class Assignment:
    """lax: view -> index of the plane taken. reasons: index -> why a plane was not. notes: what stayed open."""

    lax: dict
    reasons: dict
    notes: tuple


def parallel(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two unit normals span less than 3 degrees, whichever way they point."""
    return abs(float(first @ second)) > np.cos(np.radians(3.0))


def axis_of_stack(affine: np.ndarray) -> np.ndarray | None:
    """Base-to-apex unit vector of a short-axis stack, or None if it lies across no plausible heart axis."""
    return _toward_apex(normal(affine))


def _toward_apex(line: np.ndarray) -> np.ndarray | None:
    """A unit vector or its opposite, whichever points from base to apex; None if no heart lies so."""
    line = line * np.sign(line @ TYPICAL_AXIS or 1.0)
    plain = np.abs(line).max() > np.cos(np.radians(BODY_PLANE_DEG))
    return line if off_typical_deg(line) < MAX_OFF_TYPICAL_DEG and not plain else None


def off_typical_deg(line: np.ndarray) -> float:
    """Angle between a unit vector, from base to apex, and the typical long axis."""
    return float(np.degrees(np.arccos(np.clip(line @ TYPICAL_AXIS / np.linalg.norm(TYPICAL_AXIS), -1, 1))))


def rank_stacks(stacks: list[tuple[np.ndarray, int]], others: list[np.ndarray]) -> list[int]:
    """Indices of the groups of parallel planes that may be a short-axis stack, the likeliest first.

    stacks: list of (affine, number of slices). others: affines of the planes in no group.
    The one that most other planes stand across wins, then the one with more slices, each counting the less the
    further the stack's axis lies from the typical one, then the later one.
    """

    def rank(index: int) -> tuple:
        across = normal(stacks[index][0])
        rest = [affine for i, (affine, _) in enumerate(stacks) if i != index] + list(others)
        square = sum(abs(across @ normal(affine)) < np.sin(np.radians(20)) for affine in rest)
        usual = np.exp(-((off_typical_deg(axes[index]) / OFF_TYPICAL_DEG) ** 2) / 2)
        return square, stacks[index][1] * usual, index

    found = {index: axis_of_stack(affine) for index, (affine, _) in enumerate(stacks)}
    axes = {index: axis for index, axis in found.items() if axis is not None}
    return sorted(axes, key=rank, reverse=True)


def assign(affines: list[np.ndarray], axis: np.ndarray | None = None, heart: np.ndarray | None = None) -> Assignment:
    """Tell 2C, 3C and 4C apart among single planes.

    affines: list of (4, 4), one per plane. axis: base-to-apex unit vector from the short-axis stack;
    None finds the line that two of the planes share. heart: the centre of what moves, in mm, or None.
    Every way of naming the planes is weighed; the cheapest wins.
    """
    axes = [axis] if axis is not None else _shared_lines(affines)
    hypotheses = [(*hypothesis, axis) for axis in axes for hypothesis in _hypotheses(affines, axis, heart)]
    if not hypotheses:
        return Assignment({}, dict.fromkeys(range(len(affines)), "no second plane to tell the long axis from"), ())
    cost, lax, point, axis = min(hypotheses, key=lambda hypothesis: hypothesis[0])
    notes = []
    for view, index in lax.items():
        rivals = [other for other in hypotheses if other[0] < cost + AMBIGUOUS_COST and other[1].get(view) != index]
        called = {VIEW_NAMES[name] for _, names, *_ in rivals for name, i in names.items() if i == index}
        if called:
            suits = " or ".join(sorted(called))
            notes.append((index, f"taken for {VIEW_NAMES[view]}; its angle would nearly as well suit {suits}"))
    reasons = {index: _reason(affine, axis, point) for index, affine in enumerate(affines) if index not in lax.values()}
    return Assignment(lax, reasons, tuple(notes))


def _shared_lines(affines: list[np.ndarray]) -> list[np.ndarray]:
    """Lines in which two planes meet and the heart may lie; of many, those that most planes contain."""
    across = np.array([normal(affine) for affine in affines])
    lines = []
    for first, second in combinations(across, 2):
        line = np.cross(first, second)
        length = np.linalg.norm(line)
        axis = _toward_apex(line / length) if length > np.sin(np.radians(30)) else None
        lines += [] if axis is None else [axis]
    return sorted(lines, key=lambda line: np.minimum(np.abs(across @ line), 0.5).sum())[:MOST_LINES]


def _frame(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors across the axis: towards the lateral wall (away from the right) and towards the anterior."""
    lateral = -(RIGHT - axis * (RIGHT @ axis))
    lateral /= np.linalg.norm(lateral)
    return lateral, np.cross(axis, lateral)  # RAS: (forward, down) x left points forward and up


def angle_about(axis: np.ndarray, affine: np.ndarray) -> float:
    """Angle of a plane about the axis in degrees, 0 <= angle < 180; see the module's head."""
    lateral, anterior = _frame(axis)
    line = np.cross(normal(affine), axis)
    return float(np.degrees(np.arctan2(line @ anterior, line @ lateral)) % 180)


def _hypotheses(affines: list[np.ndarray], axis: np.ndarray, heart: np.ndarray | None) -> Iterator[tuple]:
    """(cost, view -> index, point) for every way of naming up to three planes; point lies on the common line.

    Of many planes those are tried that suit a view best by themselves.
    """
    basis = np.stack(_frame(axis))
    middles = np.stack([np.asarray(affine, float)[:3, 3] for affine in affines])
    origin = middles.mean(axis=0) if heart is None else np.asarray(heart, float) + SEPTUM_TO_LV_MM * basis[0]
    # The lines in which the planes cut the plane across the axis: unit normals (n, 2), offsets (n,), tilts in degrees.
    # A tilted plane's line wanders along the axis; it is judged at the depth of the origin.
    across = np.stack([normal(affine) for affine in affines])
    normals = across @ basis.T
    length = np.linalg.norm(normals, axis=1)
    length = np.where(length > 1e-6, length, 1e-6)  # a plane square to the axis: its tilt rules it out
    normals, offsets = normals / length[:, None], np.sum(across * (middles - origin), axis=1) / length
    tilts = np.degrees(np.arcsin(np.clip(np.abs(across @ axis), 0, 1)))
    angles = np.array([angle_about(axis, affine) for affine in affines])
    alone = {view: ((angles - typical + 90) % 180 - 90) / VIEW_ANGLE_DEG for view, typical in ANGLES_DEG.items()}
    other = (tilts / TILT_DEG) ** 2 + (0 if heart is None else (offsets / OFF_HEART_MM) ** 2)
    cheapest = [np.argsort(off**2 + other)[:MOST_PLANES] for off in alone.values()]
    tried = np.unique(cheapest) if len(affines) > 3 * MOST_PLANES else range(len(affines))
    for count in range(min(3, len(affines)), -1, -1):
        for views in combinations(LAX_VIEWS, count):
            for chosen in map(list, permutations(tried, count)):
                off_angle = (angles[chosen] - [ANGLES_DEG[view] for view in views] + 90) % 180 - 90
                rotation = off_angle.sum() / (count + (VIEW_ANGLE_DEG / HEART_ROTATION_DEG) ** 2)
                point, off_line = _common_line(normals[chosen], offsets[chosen], heart is not None)
                cost = (
                    np.sum((off_angle - rotation) ** 2) / VIEW_ANGLE_DEG**2
                    + rotation**2 / HEART_ROTATION_DEG**2
                    + np.sum(tilts[chosen] ** 2) / TILT_DEG**2
                    + off_line
                    + ABSENT_COST * (3 - count)
                )
                yield cost, dict(zip(views, chosen, strict=True)), origin + point @ basis


def _common_line(normals: np.ndarray, offsets: np.ndarray, near_heart: bool) -> tuple[np.ndarray, float]:
    """Point (2,) closest to all lines, and what its distances cost; `near_heart` draws it to the origin."""
    pull = (OFF_AXIS_MM / OFF_HEART_MM) ** 2 if near_heart else 1e-9
    point = np.linalg.solve(normals.T @ normals + pull * np.eye(2), normals.T @ offsets)
    cost = np.sum((normals @ point - offsets) ** 2) + (pull * point @ point if near_heart else 0.0)
    return point, cost / OFF_AXIS_MM**2


def _reason(affine: np.ndarray, axis: np.ndarray, point: np.ndarray) -> str:
    across = normal(affine)
    tilt = np.degrees(np.arcsin(min(1.0, abs(across @ axis))))
    distance = abs(across @ (affine[:3, 3] - point))
    if tilt > 60:
        return f"lies across the long axis but outside the short-axis stack ({90 - tilt:.0f} degrees off)"
    if distance < 2 * OFF_AXIS_MM and tilt < 2 * TILT_DEG:
        return f"along the LV axis at {angle_about(axis, affine):.0f} degrees; other planes suit 2C, 3C and 4C better"
    sagittal = "a sagittal plane, of the RV's outflow tract or a survey"
    kind = sagittal if abs(across @ RIGHT) > 0.9 else "long axis of the RV or another oblique plane"
    return f"passes {distance:.0f} mm beside the LV axis, {tilt:.0f} degrees tilted to it: {kind}"
