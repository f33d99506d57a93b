"""Disease classes by their published rules, sampled so that every patient keeps them.

A pattern changes a healthy draw (how dilated, how weak, how thick ..) and is deliberately wide; draws that break the
rule of the class, or that no heart could have, are thrown away. Near a threshold the classes touch, so that measurement
noise costs accuracy as it does in patients.

Sources of the rules: paper_facts 4d. ACDC's own for NOR, MINF, DCM, HCM, ARV (RV ejection fractions of 40 to 45 % are
excluded as borderline); M&Ms-2's thresholds for a dilated LV or RV and a wall above 15 mm. No rule is published for
M&Ms (ACDC's serve, HCM by wall and HHD by the rule below), for ARR (ACDC's ARV), FALL, CIA and TRI. The patterns
themselves are assumptions, except the mean EF of MINF (30.8 +- 8.1) and HCM (63.1 +- 9.4).
"""

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

from cinema.phantom import people
from cinema.phantom.heart import Heart, Infarct

MAX_TRIES = 20_000
WALL_MARGIN_MM = 1.0  # people.wall_mm is that exact; with it the rules hold for the true surfaces as well
# Where the arteries' territories lie: angle about the long axis (Infarct), level, both as mean and half range.
TERRITORIES = {"LAD": ((65, 30), (0.6, 0.25)), "RCA": ((285, 30), (0.35, 0.25)), "LCX": ((190, 35), (0.45, 0.25))}
AS_IS = (1.0, 1.0)  # a factor
# Failing hearts come near a public table of 300 patients with an infarct: long-axis shortening 3.9 % at EF 20 to 30 %,
# 7.3 % at 30 to 40 %, with the power 1.12 of EF; correlation of EDV and EF -0.58; width over length with the power 0.27
# of the EDV index.
WEAK, SHORTENING_BY_EF, LENGTH_WHEN_DILATED = (0.5, 0.9), 1.12, 0.16


@dataclass(frozen=True)
class Pattern:
    """How a disease changes a healthy heart. Pairs are (mean, SD) of a normal draw, or (low, high)
    of an even one where the field says so; None leaves the healthy draw."""

    lv_edvi: tuple | None = None  # ml/m2, mean and SD
    lv_ef: tuple | None = None  # percent, mean and SD
    mass_index: tuple | None = None  # g/m2, mean and SD
    rv_ef: tuple | None = None  # percent, mean and SD
    rv_overflow: tuple = AS_IS  # RV over LV stroke volume: shunts and leaks; low, high
    la: tuple = AS_IS  # factors of size; low, high
    ra: tuple = AS_IS
    shortening: tuple = AS_IS  # beyond what the lower EF explains; low, high
    bulge: tuple | None = None  # septal; low, high
    apical: tuple | None = None  # apical instead of septal in one of six; low, high
    flattening: tuple = (0.0, 0.05)  # low, high
    infarcts: tuple = (0, 0)  # low, high count
    ef_with_size: float = 0.0  # correlation of LV EF and LV EDV index: the larger, the weaker


PATTERNS = {
    "NOR": Pattern(),
    "DCM": Pattern((108, 30), (31, 9), (68, 15), (44, 11), AS_IS, (1.0, 1.9), (0.9, 1.7), WEAK, (0.0, 0.3)),
    "MINF": Pattern((104, 30), (34, 9), (58, 12), (50, 9), AS_IS, (0.9, 1.7), (0.8, 1.4), WEAK, infarcts=(1, 2)),
    "HCM": Pattern(
        (74, 14), (60, 9), (112, 24), (60, 7), AS_IS, (1.0, 1.9), AS_IS, (0.6, 0.95), (0.2, 1.3), (0.4, 1.2)
    ),
    "HHD": Pattern((80, 15), (60, 8), (84, 14), (56, 7), la=(1.0, 1.7), shortening=(0.7, 1.0), bulge=(0.05, 0.4)),
    "ARV": Pattern((72, 14), (57, 6), None, (47, 9), (0.98, 1.2), ra=(1.0, 1.8), flattening=(0.0, 0.45)),
    "LV": Pattern((122, 24), (40, 12), (70, 14), (48, 10), la=(1.0, 1.8), shortening=WEAK, bulge=(0.0, 0.3)),
    "FALL": Pattern((76, 14), (55, 6), None, (47, 7), (1.1, 1.8), ra=(1.0, 1.6), flattening=(0.15, 0.8)),
    "CIA": Pattern((68, 13), (59, 6), None, (56, 7), (1.3, 2.3), la=(1.0, 1.4), ra=(1.2, 2.2), flattening=(0.1, 0.6)),
    "TRI": Pattern((72, 15), (56, 7), None, (50, 9), (1.2, 2.0), la=(1.0, 1.8), ra=(1.6, 3.0), flattening=(0.0, 0.5)),
    "RV": Pattern((74, 15), (54, 8), None, (38, 9), (1.0, 1.2), ra=(1.1, 2.0), flattening=(0.2, 1.0)),
}
# Everything at once, without a rule: for training what should meet nothing new later.
_ANY = Pattern((95, 32), (50, 17), (75, 30), (50, 13), (0.95, 1.6), (0.7, 2.0), (0.7, 2.2), (0.45, 1.1))
PATTERNS["ANY"] = replace(_ANY, bulge=(0.0, 1.0), apical=(0.0, 1.0), flattening=(0.0, 0.7), infarcts=(0, 2))
PATTERNS |= {name: replace(PATTERNS[name], ef_with_size=-0.7) for name in ("DCM", "MINF", "LV")}
PATTERNS["ARR"] = PATTERNS["ARV"]
# Outside ACDC, hypertrophy is defined by its wall alone, so lighter hearts belong to it.
PATTERNS_BY_WALL = {"HCM": replace(PATTERNS["HCM"], mass_index=(86, 24))}


def numbers(heart, person):
    """What the rules are about: sizes per body surface, ejection fractions, walls of one heart.

    Their order is that of the columns which the oracle of analysis.disease draws from.
    """
    bsa, (mean_wall, max_wall) = person["bsa_m2"], people.wall_mm(heart)
    found = {"sex": person["sex"], "lv_edv_ml": heart.lv_edv_ml, "rv_edv_ml": heart.rv_edv_ml}
    found |= {"lv_edvi": heart.lv_edv_ml / bsa, "rv_edvi": heart.rv_edv_ml / bsa, "mass_index": heart.lv_mass_g / bsa}
    found["lv_ef"] = 100 * (1 - heart.lv_esv_ml / heart.lv_edv_ml)
    found["rv_ef"] = 100 * (1 - heart.rv_esv_ml / heart.rv_edv_ml)
    return found | {"mean_wall_mm": mean_wall, "max_wall_mm": max_wall, "n_infarcts": len(heart.infarcts)}


# The rules, of `numbers` as attributes.
by_sex = lambda n, women, men: women if n.sex == "F" else men
thin = lambda n: n.max_wall_mm < 12 - WALL_MARGIN_MM
thick = lambda n: n.max_wall_mm > 15 + WALL_MARGIN_MM
lv_dilated = lambda n: n.lv_edv_ml > by_sex(n, 179, 214) and n.lv_edvi > by_sex(n, 96, 105)
rv_dilated = lambda n: n.rv_edv_ml > by_sex(n, 201, 250) and n.rv_edvi > by_sex(n, 112, 121)
normal = lambda n: n.lv_ef > 50 and n.lv_edvi < by_sex(n, 80, 90) and thin(n) and n.rv_edvi < 100 and n.rv_ef > 45
rv_ill = lambda n: (n.rv_edvi > by_sex(n, 100, 110) or n.rv_ef < 40) and not 40 <= n.rv_ef <= 45  # borderline
ACDC = {
    "NOR": normal,
    "MINF": lambda n: n.lv_ef < 40 and n.n_infarcts > 0,
    "DCM": lambda n: n.lv_edvi > 100 and n.lv_ef < 40 and thin(n),
    "HCM": lambda n: n.lv_ef > 55 and thick(n) and n.mass_index > 110,
    "ARV": lambda n: rv_ill(n) and n.lv_ef > 45 and thin(n),
}
MNMS = ACDC | {
    "HCM": lambda n: n.lv_ef > 50 and thick(n),
    # Assumption: concentric and heavy (above the healthy mean + 2 SD), not as thick as HCM in one place.
    "HHD": lambda n: n.mass_index > by_sex(n, 56, 71) and 9 < n.max_wall_mm < 16 and n.lv_ef > 45 and not lv_dilated(n),
}
MNMS2 = {
    "NOR": lambda n: normal(n) and not lv_dilated(n) and not rv_dilated(n),
    "LV": lv_dilated,
    "HCM": MNMS["HCM"],
    "ARR": ACDC["ARV"],
    "RV": rv_dilated,
    "TRI": rv_dilated,
    "FALL": lambda n: n.rv_edvi > 108,  # published limit of a dilated RV; the class's own rule is not
    "CIA": lambda n: n.rv_edvi > 108,
}
RULES = {"acdc": ACDC, "mnms": MNMS, "mnms2": MNMS2, "every": MNMS | MNMS2}


def satisfies(disease, heart, person, rules="acdc"):
    """Whether a heart fulfils the rule of a class, and perhaps others' too; ValueError names the classes of `rules`."""
    table = RULES[rules]
    if disease not in table:
        raise ValueError(f"no rule for {disease!r} in {rules}; it has {', '.join(table)}")
    return bool(table[disease](SimpleNamespace(**numbers(heart, person))))


def feasible(heart):
    """Whether a body could have this heart: ventricles between child-like and huge, walls that can thicken, a valve
    plane that does not do all the pumping, a cavity neither a tube nor a ball."""
    kept_volume, kept_length = heart.lv_esv_ml / heart.lv_edv_ml, 1 - 1.12 * heart.mapse_mm / heart.lv_length_mm
    diameter = 2 * math.sqrt(heart.lv_edv_ml * 1000 / (2 / 3 * math.pi * heart.lv_length_mm))
    sizes = 35 <= heart.lv_edv_ml <= 480 and heart.lv_esv_ml >= 8 and 45 <= heart.rv_edv_ml <= 480
    emptying = 0.12 <= kept_volume <= 0.92 and 0.15 <= heart.rv_esv_ml / heart.rv_edv_ml <= 0.9
    walls = 0.3 < math.sqrt(kept_volume / kept_length) < 0.985 and 3.2 < people.wall_mm(heart)[0] < 22
    form = 65 <= heart.lv_length_mm <= 128 and 0.4 < diameter / heart.lv_length_mm < 0.85
    return sizes and emptying and walls and form


def patient(rng, disease, rules, person, shift=0.0):
    """A feasible heart of the class `disease`, by rejection. `disease` "none" is a person as they come,
    "ANY" the widest draw; neither has a rule. RuntimeError if the class is out of this person's reach."""
    pattern = PATTERNS.get(disease) if rules == "acdc" else (PATTERNS | PATTERNS_BY_WALL).get(disease)
    for _ in range(MAX_TRIES):
        fields, detail = people.natural(people.draw(rng, person, shift), person), people.detail(rng, person)
        heart = _apply(rng, pattern, fields, detail, person["bsa_m2"]) if pattern else Heart(**fields, **detail)
        if heart is None or not feasible(heart):
            continue
        if disease in ("none", "ANY") or satisfies(disease, heart, person, rules):
            return heart
    raise RuntimeError(f"no {disease} heart found for {person} in {MAX_TRIES} draws; widen its pattern")


def _apply(rng, p, fields, detail, bsa):
    """One draw of a pattern on top of healthy `fields`; None where a volume would not be positive."""
    edv, healthy_ef = fields["lv_edv_ml"], 1 - fields["lv_esv_ml"] / fields["lv_edv_ml"]
    new_edv = edv if p.lv_edvi is None else bsa * rng.normal(*p.lv_edvi)
    ef = healthy_ef if p.lv_ef is None else rng.normal(*p.lv_ef) / 100
    if p.ef_with_size:
        (size, size_sd), (mean, sd), r = p.lv_edvi, p.lv_ef, p.ef_with_size
        apart = 100 * ef - mean
        ef = (mean + r * sd * (new_edv / bsa - size) / size_sd + math.sqrt(1 - r**2) * apart) / 100
    rv_ef = 1 - fields["rv_esv_ml"] / fields["rv_edv_ml"] if p.rv_ef is None else rng.normal(*p.rv_ef) / 100
    mass = fields["lv_mass_g"] if p.mass_index is None else bsa * rng.normal(*p.mass_index)
    if min(new_edv, ef, rv_ef, mass) <= 0 or max(ef, rv_ef) >= 1:
        return None
    length = fields["lv_length_mm"] * (new_edv / edv) ** LENGTH_WHEN_DILATED
    shortening = fields["mapse_mm"] / fields["lv_length_mm"] * min(ef / healthy_ef, 1.2) ** SHORTENING_BY_EF
    rv_edv = new_edv * ef * rng.uniform(*p.rv_overflow) / rv_ef
    apical = p.apical is not None and rng.random() < 1 / 6
    bulge = p.apical if apical else p.bulge
    if bulge is not None:
        detail = detail | {"apical_bulge" if apical else "septal_bulge": rng.uniform(*bulge)}
        detail |= {"bulge_angle_deg": rng.normal(20, 25), "bulge_half_width_deg": rng.uniform(35, 80)}
    mapse_mm = length * shortening * rng.uniform(*p.shortening)
    atria_ml = [fields[f"{side}_volume_ml"] * rng.uniform(*factors) for side, factors in (("la", p.la), ("ra", p.ra))]
    sizes = (new_edv, new_edv * (1 - ef), rv_edv, rv_edv * (1 - rv_ef), mass, length, mapse_mm, *atria_ml)
    flattening = rng.uniform(*p.flattening)
    infarcts = tuple(_infarct(rng) for _ in range(rng.integers(p.infarcts[0], p.infarcts[1] + 1)))
    return Heart(*sizes, **detail, septal_flattening=flattening, infarcts=infarcts)


def _infarct(rng):
    """One scar in the territory of a coronary artery, from small and still moving to large and bulging."""
    (angle, angle_range), (level, level_range) = TERRITORIES[("LAD", "RCA", "LCX")[rng.choice(3, p=(0.5, 0.3, 0.2))]]
    place = angle + rng.uniform(-angle_range, angle_range), level + rng.uniform(-level_range, level_range)
    return Infarct(*place, *(rng.uniform(*pair) for pair in ((20, 60), (0.15, 0.4), (0.3, 1.05), (0.0, 0.5))))
