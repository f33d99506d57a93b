"""Studies of four views for pretraining: stored tissue maps (maps), dressed anew at every visit.

Dressing is written for speed: all planes of a study at once, linear interpolation of the signal instead of a warp of
the tissues (as domain_randomisation does for the readers, which need labels). A tissue shines alike in all views.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from cinema.data.transforms import min_max
from cinema.phantom.image import BLOOD, tissue_signals
from cinema.phantom.roles import ROLES, SCANNERS, acquisition
from cinema.terms import SMALL_GRID, VIEWS
from experiments.own_weights.domain_randomisation import random_signals
from experiments.own_weights.library import library_path
from experiments.own_weights.maps import DEPTH, MAPS_VERSION, N_PHASES, read_maps

N = SMALL_GRID["sax"][0][0]  # pixels of every view in plane
VIEW_OF_PLANE = np.repeat(np.arange(len(VIEWS)), [DEPTH[view] for view in VIEWS])
SATURATED = 0.005  # share of pixels, the brightest, that scanners cut off (as cohort.study does)


@dataclass(frozen=True)
class Visit:
    """Ranges of what changes between visits. Shift: standard deviation, in pixels; blur: Gaussian width in pixels."""

    random_tissues: float = 0.67  # share of visits with freely drawn signals; the others are those of some scanner
    turn_deg: float = 15.0
    shift: float = 1.2
    scale: tuple = (0.9, 1.1)
    flow: float = 0.25
    texture: float = 0.10
    blur: tuple = (0.25, 0.75)
    shading: float = 0.6
    noise: tuple = (0.012, 0.10)
    gamma: tuple = (0.8, 1.25)


def signals_of_visit(rng, random_tissues):
    """(tissues,) signal relative to LV blood: drawn at random, or those of a random scanner."""
    if rng.random() < random_tissues:
        return random_signals(rng)
    scan = acquisition(rng, ROLES["training"], list(SCANNERS)[rng.integers(len(SCANNERS))], {})
    return tissue_signals(scan, rng)


def dressed(planes, signals, rng, visit=Visit()):
    """Images of one study: view -> (1, x, y[, z]) float32 in [0, 1].

    planes: (planes, x, y, samples) tissue codes of maps.write_maps; signals: (tissues,), the same for all planes.
    """
    depth, image = len(planes), sampled(signals, planes)
    if rng.random() < 0.5:  # blood that moves is uneven
        blood = np.zeros_like(signals)
        blood[BLOOD] = signals[BLOOD]
        flow = rng.uniform(0, visit.flow) * _field(rng, depth, rng.integers(5, 14), image.shape[1])
        image += sampled(blood, planes) * np.clip(flow, -0.7, 0.3)
    image = _posed(torch.from_numpy(image)[:, None], rng, visit)[:, 0].numpy()
    rows, columns = (_blur(width) for width in rng.uniform(*visit.blur, 2))
    image = rows @ image @ columns.T
    image *= 1 + rng.uniform(0, visit.texture) * _field(rng, depth, rng.integers(16, 33), N)
    image *= np.exp(rng.uniform(0, visit.shading) * _slopes(rng))
    sigma = np.float32(np.exp(rng.uniform(*np.log(visit.noise))))
    noise = rng.standard_normal((2, *image.shape), np.float32) * sigma
    image = np.hypot(image + noise[0], noise[1])
    gamma = np.float32(rng.uniform(*visit.gamma))
    slices = {view: image[VIEW_OF_PLANE == i] for i, view in enumerate(VIEWS)}
    return {view: torch.from_numpy(_stored(stack, gamma, len(SMALL_GRID[view][0]))) for view, stack in slices.items()}


def sampled(signals, planes):
    """Mean signal over the samples, an even number, of each voxel: (planes, x, y) float32."""
    pairs = planes.view(np.uint16)  # looked up two at a time
    table = np.zeros((len(signals), 256), np.float32)
    table[:, : len(signals)] = (signals[:, None] + signals[None]) / planes.shape[-1]
    return sum(np.moveaxis(np.take(table.ravel(), pairs), -1, 0))


def _field(rng, depth, cells, size):
    """(depth, size, size) smooth random fields of about unit deviation, `cells` grains along an axis."""
    small = torch.from_numpy(rng.standard_normal((1, depth, cells, cells), np.float32))
    return F.interpolate(small, (size, size), mode="bilinear", align_corners=False)[0].numpy() * np.float32(1.5)


def _posed(image, rng, visit):
    """(planes, 1, N, N): each view turned, scaled and shifted about its middle; beyond the map its border goes on."""
    n = len(VIEWS)
    turn = np.deg2rad(rng.uniform(-visit.turn_deg, visit.turn_deg, n))
    scale = np.exp(rng.uniform(*np.log(visit.scale), n)) * (N / image.shape[-1])
    matrix = np.empty((n, 2, 3), np.float32)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale * np.cos(turn)
    matrix[:, 0, 1], matrix[:, 1, 0] = -scale * np.sin(turn), scale * np.sin(turn)
    matrix[:, :, 2] = rng.normal(0, visit.shift, (n, 2)) * 2 / image.shape[-1]
    grid = F.affine_grid(torch.from_numpy(matrix), (n, 1, N, N), align_corners=False)
    return F.grid_sample(image, grid[VIEW_OF_PLANE], padding_mode="border", align_corners=False)


def _blur(width):
    """(N, N) matrix that blurs lines of N pixels by a Gaussian of this width."""
    away = np.subtract.outer(np.arange(N, dtype=np.float32), np.arange(N, dtype=np.float32)) / np.float32(width)
    kernel = np.exp(-0.5 * away * away)
    return kernel / kernel.sum(axis=1, keepdims=True)


def _slopes(rng):
    """(planes, N, N) sensitivity of the coils, about -1 to 1: a slope and a bowl per view, through its slices too."""
    n, line = len(VIEWS), np.linspace(-1, 1, N, dtype=np.float32)
    turn, bowl = rng.uniform(0, 2 * np.pi, n), rng.uniform(-0.6, 0.6, n)
    through = rng.uniform(-0.5, 0.5)
    height = np.concatenate([np.linspace(-through, through, DEPTH[view]) * (DEPTH[view] > 1) for view in VIEWS])
    bent = bowl[:, None] * (line**2 - 0.35)
    x, y = ((part(turn)[:, None] * line + bent).astype(np.float32) for part in (np.cos, np.sin))
    return (x[:, :, None] + y[:, None])[VIEW_OF_PLANE] + height.astype(np.float32)[:, None, None]


def _stored(image, gamma, n_dims):
    """(1, x, y[, z]) in [0, 1] from the slices (z, x, y) of a view, the brightest pixels cut off."""
    keep = image.size - 1 - int(image.size * SATURATED)
    top = np.partition(image, keep, axis=None)[keep]
    image = min_max(np.minimum(image, top)) ** gamma
    return np.ascontiguousarray(image if n_dims == 2 else image.transpose(1, 2, 0)[None])


class DressedStudies(Dataset):
    """Stored people as items, one per person and phase, dressed anew in every epoch by (seed, epoch, index) alone.

    folder: of maps.make; n_people: people used, from `first`. FileNotFoundError if one is missing.
    An item is that of loaders.StudyFrames without a label: id, frame, phase, image, size, spacing_mm.
    """

    def __init__(self, folder, n_people, first=0, seed=0, visit=Visit()):
        self.paths = [library_path(folder, index) for index in range(first, first + n_people)]
        missing = [path for path in self.paths if not path.exists()]
        if missing:
            raise FileNotFoundError(f"{missing[0]} does not exist; render it first (maps.make)")
        self.seed, self.visit, self.grid = seed, visit, {view: SMALL_GRID[view] for view in VIEWS}
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch):
        self._epoch[0] = epoch

    def describe(self):
        """What tells this data set from another, for run.json."""
        ranges = ", ".join(f"{name} {value}" for name, value in asdict(self.visit).items())
        people = f"{self.paths[0].stem} to {self.paths[-1].stem}"
        return f"people {people} of maps {MAPS_VERSION}, {N_PHASES} phases, seed {self.seed}, {ranges}"

    def __len__(self):
        return len(self.paths) * N_PHASES

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, int(self._epoch[0]), index))
        path, phase = self.paths[index // N_PHASES], index % N_PHASES
        images = dressed(read_maps(path, phase), signals_of_visit(rng, self.visit.random_tissues), rng, self.visit)
        size, spacing = ({view: torch.tensor(both[k]) for view, both in self.grid.items()} for k in (0, 1))
        about = {"id": path.stem, "frame": phase, "phase": ("ED", "ES", "", "")[phase]}
        return about | {"image": images, "size": size, "spacing_mm": spacing}
