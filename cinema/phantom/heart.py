"""What defines one virtual heart: volumes, lengths, disease, detail."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Infarct:
    """A scarred patch of the left ventricular wall."""

    angle_deg: float  # direction about the long axis; 0 = mid septum, 90 = anterior, 180 = lateral, 270 = inferior
    level: float  # 0 = base, 1 = apex
    half_width_deg: float = 40.0  # both half widths are Gaussian
    half_width_level: float = 0.25
    akinesia: float = 0.9  # share of inward motion lost at the centre (0..1; above 1 bulges outward)
    thinning: float = 0.2  # share of ED wall thickness lost at the centre (0..0.6)


@dataclass(frozen=True)
class Heart:
    """Everything that defines one heart. Volumes are exact: the geometry is solved to meet them."""

    lv_edv_ml: float
    lv_esv_ml: float
    rv_edv_ml: float
    rv_esv_ml: float
    lv_mass_g: float
    lv_length_mm: float  # mitral plane centre to endocardial apex, ED
    mapse_mm: float  # travel of the mitral plane toward the apex, ED to ES
    la_volume_ml: float = 75.0  # at ES, its largest
    ra_volume_ml: float = 75.0
    septal_bulge: float = 0.0  # hypertrophy: extra thickness at its centre, as a share of the mean wall
    bulge_angle_deg: float = 20.0
    bulge_half_width_deg: float = 50.0
    apical_bulge: float = 0.0  # extra thickness toward the apex, as a share of the mean wall
    infarcts: tuple = ()
    septal_flattening: float = 0.0  # 0 = round LV, 1 = flat septum (RV pressure or volume load), 2 = bowed in
    trabeculation: float = 0.5  # 0..1, of both ventricles
    papillary_size: float = 1.0
    torsion_deg: float = 8.0
    epicardial_fat_mm: float = 4.0
    chest_fat_mm: float = 15.0  # subcutaneous
    body_scale: float = 1.0
    heart_rate_bpm: float = 65.0
    es_fraction: float = 0.35  # end systole as a share of the cycle
    detail_seed: int = 0  # trabeculae, vessels, organs: the detail that differs between two people

    def __post_init__(self):
        for side in ("lv", "rv"):
            edv, esv = getattr(self, f"{side}_edv_ml"), getattr(self, f"{side}_esv_ml")
            if not 0 < esv < edv:
                raise ValueError(f"{side} volumes are {edv} ml (ED) and {esv} ml (ES); they must satisfy 0 < ES < ED")
        if not 0 <= self.mapse_mm < 0.5 * self.lv_length_mm:
            raise ValueError(f"MAPSE is {self.mapse_mm} mm; it must lie between 0 and half of {self.lv_length_mm} mm")
        if self.lv_mass_g <= 0:
            raise ValueError(f"LV mass is {self.lv_mass_g} g; it must be positive")
