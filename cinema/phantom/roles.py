"""The sub-cohorts: which data set each imitates, who is in it, how it was scanned, what is labelled.

Vendor styles, artefact shares and class shares are this generator's assumptions; data sets, classes, vendors and what
is labelled are published (paper_facts, 1 and 4a). Late-enhancement sets (EMIDEC, MyoPS) are left out: the generator
makes cine contrast only.
"""

from dataclasses import dataclass, replace

import numpy as np

from cinema.phantom import people
from cinema.phantom.image import Acquisition
from cinema.phantom.people import CLINIC, UK_BIOBANK, Population
from cinema.terms import LAX_VIEWS, VIEWS

# Published for UK Biobank stacks: 16 % shift by more than 3.4 mm on average, 2.1 % have low contrast.
BREATH_SHIFT_MM = (0.262, 0.735)  # log-normal SD of the shift: 16 % above 2.7 mm, a mean shift of 3.4 mm
LOW_CONTRAST_SHARE, GHOSTING_SHARE, MISGATING_SHARE = 0.021, 0.08, 0.06
# Within-person SD of log measures between two scans a week apart (physiology only; planes, noise and
# reading add to it). Assumption, kept below the published 4.2 to 6.0 % for the EF of scan and reader together.
RESCAN_SD = {"lv_edv": 0.03, "lv_esv_share": 0.016, "rv_esv_share": 0.02, "shortening": 0.04}


@dataclass(frozen=True)
class Scanner:
    """A vendor's style at a field strength. Pairs are (low, high). At 3 T the flip angle is limited by heating,
    the signal is higher, and off-resonance bands are more frequent."""

    vendor: str
    field_t: float
    flip_deg: tuple
    tr_ms: tuple
    snr: tuple
    shading: tuple
    banding_share: float
    sharpness: float = 1.0  # factor of the blur: reconstruction filters differ


SCANNERS = {
    "Siemens 1.5 T": Scanner("Siemens", 1.5, (60, 80), (2.6, 3.0), (20, 32), (0.3, 0.7), 0.08),
    "Siemens 3 T": Scanner("Siemens", 3.0, (42, 55), (2.9, 3.3), (26, 42), (0.5, 1.0), 0.3),
    "Philips 1.5 T": Scanner("Philips", 1.5, (55, 65), (2.7, 3.1), (18, 28), (0.1, 0.4), 0.08, 1.15),
    "Philips 3 T": Scanner("Philips", 3.0, (40, 50), (2.8, 3.2), (24, 38), (0.3, 0.7), 0.3, 1.15),
    "GE 1.5 T": Scanner("GE", 1.5, (45, 60), (3.4, 4.0), (15, 24), (0.5, 0.9), 0.15, 0.85),
    "GE 3 T": Scanner("GE", 3.0, (38, 50), (3.4, 3.9), (20, 32), (0.6, 1.1), 0.35, 0.85),
    "Canon 1.5 T": Scanner("Canon", 1.5, (60, 70), (3.6, 4.4), (12, 20), (0.2, 0.6), 0.15, 1.3),
}


@dataclass(frozen=True)
class QualityGap:
    """Worse images for one group, and only that: the planted unfairness. Hearts do not differ."""

    attribute: str
    value: str
    snr_factor: float = 0.35
    breath_factor: float = 1.8
    extra_blur_mm: float = 1.2


@dataclass(frozen=True)
class Role:
    """One sub-cohort."""

    n: int  # default size
    imitates: str
    description: str
    classes: dict  # disease -> share; "none" are people as they come, "ANY" the widest variety
    scanners: tuple  # (site, scanner, share)
    views: tuple
    rules: str = "acdc"  # whose disease rules hold (diseases.RULES)
    population: Population = CLINIC
    pixel_mm: tuple = (1.3, 1.9)  # range acquired, which sets the blur; the grid sets the sampling
    slice_thickness_mm: tuple = (6.0, 10.0)  # range acquired
    masks: tuple = ()  # views in which they are given, as of the landmarks
    landmarks: tuple = ()
    prevalence: tuple | None = None  # (exposure, share) where enriched; None where exposures and survival are no part
    death_share: float = 0.02
    paired: bool = False
    quality_gap: QualityGap | None = None

    @property
    def vendors(self):
        return ", ".join(sorted({scanner.split()[0] for _, scanner, _ in self.scanners}))


SIEMENS, SIEMENS_3T, PHILIPS, PHILIPS_3T, GE, GE_3T, CANON = SCANNERS  # of 1.5 T unless they say so
SIX_HOSPITALS = (("H1", SIEMENS, 0.25), ("H2", PHILIPS, 0.2), ("H3", PHILIPS, 0.15))
SIX_HOSPITALS += (("H4", GE, 0.15), ("H5", CANON, 0.15), ("H6", SIEMENS_3T, 0.1))
THREE_VENDORS = (("H1", SIEMENS, 0.3), ("H1", SIEMENS_3T, 0.1), ("H2", PHILIPS, 0.2))
THREE_VENDORS += (("H2", PHILIPS_3T, 0.1), ("H3", GE, 0.2), ("H3", GE_3T, 0.1))
FIVE_UK_SITES = (("R1", SIEMENS, 0.25), ("R2", SIEMENS, 0.2), ("R3", SIEMENS_3T, 0.2))
FIVE_UK_SITES += (("R4", PHILIPS, 0.1), ("R4", PHILIPS_3T, 0.1), ("R5", SIEMENS, 0.15))
UKB_SCANNER = (("UKB", SIEMENS, 1.0),)
DIJON = (("Dijon-like", SIEMENS, 0.6), ("Dijon-like", SIEMENS_3T, 0.4))
KAGGLE = (("K1", SIEMENS, 0.8), ("K2", SIEMENS_3T, 0.2))
EVERY_SCANNER = tuple((f"T{i}", name, 1 / len(SCANNERS)) for i, name in enumerate(SCANNERS))

EVERYBODY = ("ANY", "none", "NOR", "MINF", "DCM", "HCM", "HHD", "ARV", "LV", "FALL", "CIA", "TRI", "RV")
SHARES = (0.4, 0.15, 0.05, 0.08, 0.08, 0.08, 0.04, 0.04, 0.02, 0.02, 0.02, 0.01, 0.01)  # of EVERYBODY in training
VARIED = Population(0.5, (50.0, 22.0), (12.0, 90.0), ((25.5, 5.5), (25.5, 5.0)))
MIXED = Population(ethnicity=(("White", 0.46), ("Asian", 0.18), ("Black", 0.18), ("Other", 0.18)))
UNFAIR = dict(population=MIXED, quality_gap=QualityGap("ethnicity", "Black"))
ENRICHED = dict(prevalence=(("diabetes", 0.30), ("cancer", 0.30)), death_share=0.25)
RESCANNED = dict(slice_thickness_mm=(8.0, 10.0), paired=True)
# What sub-cohorts share: UK Biobank's people in its one scanner; all views, with masks and landmarks.
UKB = dict(population=UK_BIOBANK, pixel_mm=(1.8, 1.8), slice_thickness_mm=(6.0, 8.0))
DRAWN = dict(masks=VIEWS, landmarks=LAX_VIEWS)
SAX, SAX_4C, SAX_2C_4C, LAX_2C_4C = ("sax",), ("sax", "lax_4c"), ("sax", "lax_2c", "lax_4c"), ("lax_2c", "lax_4c")

# Which data set each sub-cohort imitates, and what there is to know of it.
ABOUT = {
    "pretraining": ("UK Biobank", "unlabelled volunteers for masked pretraining, a tenth of them ill"),
    "acdc": ("ACDC", "one hospital, two scanners, five classes in equal parts"),
    "mnms": (
        "M&Ms",
        "four vendors, six hospitals; more normal hearts and fewer DCM than the original, so that "
        "specificity can be measured",
    ),
    "mnms2": ("M&Ms-2", "three vendors, right-heart diseases, four-chamber view"),
    "kaggle": ("Kaggle Data Science Bowl 2015", "volumes only: no masks, a clinic's mixture"),
    "rescan": ("Rescan (Bhuva 2019, Davies 2022)", "110 people scanned twice within a week at five sites"),
    "landmark": ("Landmark (Xue 2021)", "long-axis views with two mitral hinges and the apex"),
    "population": ("UK Biobank with follow-up", "exposures and deaths, enriched so that the analyses have power"),
    "fairness": (
        "UK Biobank, balanced",
        "ethnic groups of usable size; one of them (Black) gets worse images, the others and the sexes do not",
    ),
    "training": ("nothing: the widest variety", "what the project's own weights are trained on"),
}
# Who is in it: disease -> share.
CLASSES = {
    "pretraining": {"none": 0.9, "ANY": 0.1},
    "acdc": dict.fromkeys(("NOR", "MINF", "DCM", "HCM", "ARV"), 0.2),
    "mnms": {"NOR": 0.3, "DCM": 0.24, "HCM": 0.22, "ARV": 0.14, "HHD": 0.10},
    "mnms2": {"NOR": 0.25, "HCM": 0.19, "LV": 0.18, "ARR": 0.12, "CIA": 0.12, "FALL": 0.10, "RV": 0.02, "TRI": 0.02},
    "kaggle": {"none": 0.55, "DCM": 0.12, "MINF": 0.08, "HCM": 0.12, "ARV": 0.05, "ANY": 0.08},
    "rescan": {"none": 0.3, "MINF": 0.2, "DCM": 0.15, "HCM": 0.2, "HHD": 0.15},
    "landmark": {"none": 0.5, "DCM": 0.15, "MINF": 0.15, "HCM": 0.2},
    "population": {"none": 1.0},
    "fairness": {"NOR": 0.5, "MINF": 0.15, "DCM": 0.15, "HCM": 0.2},
    "training": dict(zip(EVERYBODY, SHARES, strict=True)),
}
_LIKE = {name: (*ABOUT[name], CLASSES[name]) for name in ABOUT}
# How it was scanned, and what is labelled.
ROLES = {
    "pretraining": Role(2000, *_LIKE["pretraining"], UKB_SCANNER, VIEWS, **UKB),
    "acdc": Role(150, *_LIKE["acdc"], DIJON, SAX, pixel_mm=(1.37, 1.68), masks=SAX),
    "mnms": Role(345, *_LIKE["mnms"], SIX_HOSPITALS, SAX, "mnms", masks=SAX),
    "mnms2": Role(360, *_LIKE["mnms2"], THREE_VENDORS, SAX_4C, "mnms2", masks=SAX_4C),
    "kaggle": Role(500, *_LIKE["kaggle"], KAGGLE, SAX_2C_4C, slice_thickness_mm=(5.0, 8.0)),
    "rescan": Role(220, *_LIKE["rescan"], FIVE_UK_SITES, SAX_2C_4C, "mnms", masks=SAX, **RESCANNED),
    "landmark": Role(300, *_LIKE["landmark"], THREE_VENDORS, LAX_2C_4C, landmarks=LAX_2C_4C),
    "population": Role(2000, *_LIKE["population"], UKB_SCANNER, VIEWS, **UKB | DRAWN | ENRICHED),
    "fairness": Role(1200, *_LIKE["fairness"], THREE_VENDORS, VIEWS, **DRAWN | UNFAIR),
    "training": Role(4000, *_LIKE["training"], EVERY_SCANNER, VIEWS, "every", VARIED, (1.0, 2.4), (5.0, 10.0), **DRAWN),
}


def acquisition(rng, role, scanner, attributes):
    """How one scan went: the scanner's style, the operator, the breath-holds, an artefact now and then."""
    style = SCANNERS[scanner]
    u = rng.random(5)
    snr = rng.uniform(*style.snr) * (0.45 if u[0] < LOW_CONTRAST_SHARE else 1.0)
    tr_ms = rng.uniform(*style.tr_ms)
    scan = Acquisition(
        vendor=style.vendor,
        field_t=style.field_t,
        flip_deg=rng.uniform(*style.flip_deg),
        tr_ms=tr_ms,
        te_ms=tr_ms * rng.uniform(0.42, 0.5),
        slice_thickness_mm=rng.uniform(*role.slice_thickness_mm),
        snr=snr,
        plane_error_deg=rng.uniform(2.0, 5.0),
        breath_shift_mm=min(rng.lognormal(*BREATH_SHIFT_MM), 6.0),
        coil_shading=rng.uniform(*style.shading),
        blur_mm=0.38 * rng.uniform(*role.pixel_mm) * style.sharpness,
        banding=rng.uniform(0.2, 0.8) if u[1] < style.banding_share else 0.0,
        misgating=rng.uniform(0.1, 0.5) if u[2] < MISGATING_SHARE else 0.0,
        ghosting=rng.uniform(0.05, 0.2) if u[3] < GHOSTING_SHARE else 0.0,
        seed=int(rng.integers(2**31)),
    )
    gap = role.quality_gap
    if gap is None or attributes[gap.attribute] != gap.value:
        return scan
    blur_mm, breath_mm = scan.blur_mm + gap.extra_blur_mm, scan.breath_shift_mm * gap.breath_factor
    return replace(scan, snr=scan.snr * gap.snr_factor, blur_mm=blur_mm, breath_shift_mm=breath_mm)


def rescanned(rng, heart, sex):
    """The same heart on another day: filling and contraction differ by RESCAN_SD, the muscle does not."""
    shift = people.vector({name: sd * rng.standard_normal() for name, sd in RESCAN_SD.items()})
    now = people.natural(people.log_measures(heart, sex) + shift, {"sex": sex})
    overflow = (heart.rv_edv_ml - heart.rv_esv_ml) / (heart.lv_edv_ml - heart.lv_esv_ml)
    now |= {name: now[name] * overflow for name in ("rv_edv_ml", "rv_esv_ml")}
    return replace(heart, **now, heart_rate_bpm=heart.heart_rate_bpm * float(np.exp(0.05 * rng.standard_normal())))
