"""The cine of all slices as part of a page: scrolled through by keyboard, outlines on or off, nothing fetched.

Pictures are WebP sheets, one a slice with all its frames; outlines are SVG paths in half pixels.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cinema.data.geometry import to_world
from cinema.data.study import View
from cinema.inference.measures import Arrays
from cinema.plots.cine import window
from cinema.terms import COLOURS, LABELS, VIEW_NAMES

LIMIT_BYTES = 3_600_000  # of all sheets together, before base64 makes them a third larger
QUALITIES = (85, 70, 50, 30, 15)
SIDES = ((0, -1, (0, 0), (1, 0)), (1, 0, (1, 0), (1, 1)), (0, 1, (1, 1), (0, 1)), (-1, 0, (0, 1), (0, 0)))
MARK = 3  # half pixels from the middle of a landmark's cross to its ends
STYLE = (
    "#cine{outline:none}#cine:focus{box-shadow:0 0 0 2px #0072b2}#planes{display:grid;gap:4px;"
    "grid-template-columns:repeat(auto-fill,minmax(190px,1fr))}#planes figure{margin:0;cursor:pointer}"
    "#planes.one{display:block}#planes.one figure{display:none}#planes.one figure.on{display:block;max-width:46em}"
    ".pic{position:relative;background:#000}.pic canvas,.pic svg{position:absolute;width:100%;height:100%}"
    ".pic path{fill:none;stroke-width:2px;vector-effect:non-scaling-stroke}.one .pic path{stroke-width:3px}"
    + "".join(f".pic .{name}{{stroke:{colour}}}" for name, colour in COLOURS.items())
    + ".pic .MYO{stroke-dasharray:6 2}.pic .LV{stroke-dasharray:9 2 2 2}.pic .mark{stroke:#d55e00}"
    ".plain .pic path{display:none}#planes figcaption{font-size:12px;padding:1px 3px}"
    "#cine input[type=range]{width:100%}#cine button{font:inherit;margin-right:.4em}"
)
SCRIPT = """
const planes = JSON.parse(document.getElementById('data').textContent), box = document.getElementById('cine');
const grid = document.getElementById('planes'), slider = document.getElementById('frame');
const steps = Math.max(...planes.map(p => p.n)), names = ['MYO', 'LV', 'RV', 'mark'];
let step = 0, chosen = 0, timer = null;
planes.forEach((p, k) => {
  const figure = document.createElement('figure'), shape = `${p.w * p.mm[0]} / ${p.h * p.mm[1]}`;
  figure.innerHTML = `<div class=pic style="aspect-ratio:${shape}"><canvas width=${p.w} height=${p.h}></canvas>` +
    `<svg viewBox="0 0 ${2 * p.w} ${2 * p.h}" preserveAspectRatio=none>` +
    names.map(name => `<path class=${name} />`).join('') + '</svg></div><figcaption></figcaption>';
  figure.onclick = () => { choose(k); grid.classList.toggle('one'); };
  grid.append(figure);
  p.figure = figure;
  p.image = new Image();
  p.image.onload = draw;
  p.image.src = p.sheet;
});
function draw() {
  planes.forEach(p => {
    const t = Math.floor(step * p.n / steps), context = p.figure.querySelector('canvas').getContext('2d');
    context.drawImage(p.image, t % p.columns * p.w, Math.floor(t / p.columns) * p.h, p.w, p.h, 0, 0, p.w, p.h);
    names.forEach(name => p.figure.querySelector('.' + name).setAttribute('d', (p.paths[name] || [])[t] || ''));
    const phase = t === p.ED ? ', ED' : t === p.ES ? ', ES' : '', time = p.ms ? `, ${p.ms[t]} ms` : '';
    p.figure.querySelector('figcaption').textContent = `${p.name}: frame ${t}${time}${phase}`;
  });
  slider.value = step;
}
function go(to) { step = (to + steps) % steps; draw(); }
function choose(k) {
  chosen = (k + planes.length) % planes.length;
  planes.forEach((p, j) => p.figure.classList.toggle('on', j === chosen));
}
function stop() { clearInterval(timer); timer = null; }
function play() { timer ? stop() : timer = setInterval(() => go(step + 1), Number(box.dataset.ms) / steps); }
function phase(name) {
  const p = planes[chosen];
  if (p[name] != null) { stop(); go(Math.ceil(p[name] * steps / p.n)); }
}
const keys = {
  ArrowRight: () => { stop(); go(step + 1); }, ArrowLeft: () => { stop(); go(step - 1); },
  ArrowDown: () => { choose(chosen + 1); grid.classList.add('one'); },
  ArrowUp: () => { choose(chosen - 1); grid.classList.add('one'); },
  ' ': play, o: () => box.classList.toggle('plain'), Enter: () => grid.classList.toggle('one'),
  Escape: () => grid.classList.remove('one'), d: () => phase('ED'), s: () => phase('ES'),
};
box.onkeydown = event => {
  if (keys[event.key] && !event.ctrlKey && !event.metaKey) { event.preventDefault(); keys[event.key](); }
};
box.querySelectorAll('button').forEach(button => button.onclick = () => { keys[button.value](); box.focus(); });
slider.max = steps - 1;
slider.oninput = () => { stop(); go(Number(slider.value)); };
choose(0);
draw();
if (steps > 1 && !matchMedia('(prefers-reduced-motion: reduce)').matches) play();
"""
BUTTONS = ((" ", "play or stop"), ("o", "outlines"), ("d", "ED"), ("s", "ES"), ("Enter", "one or all"))
LEGEND = (
    "Outlines: LV cavity blue, myocardium's outer border green, RV cavity orange; valve hinges and apex red crosses."
)
HELP = (
    "<p>Click into the pictures first, then: left and right arrows change the frame, up and down the slice, space "
    "plays and stops, <kbd>o</kbd> hides the outlines, <kbd>d</kbd> and <kbd>s</kbd> go to ED and ES, enter shows one "
    f"picture or all. {LEGEND}</p>"
)


def base_first(view: View, mask: NDArray, landmarks: Arrays, views: Mapping[str, View]) -> list[int]:
    """Indices of the short-axis slices from base to apex: away from the mitral hinges that a long axis shows, else from
    where the cavities are large to where they are small. mask: (x, y, z, t) labels."""
    count, toward_apex = mask.shape[2], 0.0
    for name, marks in landmarks.items():
        if np.isfinite(marks).all():
            points = to_world(views[name].affine, np.c_[np.median(marks, axis=0), np.zeros(3)])
            toward_apex += float((points[2] - points[:2].mean(axis=0)) @ view.affine[:3, 2])
    if toward_apex == 0.0:
        area = np.isin(mask, (LABELS["LV"], LABELS["RV"])).sum(axis=(0, 1, 3))
        toward_apex = float((area.mean() - area) @ (np.arange(count) - (count - 1) / 2))
    return list(range(count))[:: 1 if toward_apex >= 0 else -1]


def outline(mask: NDArray) -> str:
    """SVG path around an (x, y) mask, in half pixels, through the middles of the pixels' edges where it ends."""
    padded, following = np.pad(mask, 1), {}  # type: ignore[var-annotated]
    for dx, dy, begin, end in SIDES:
        beyond = np.roll(padded, (-dx, -dy), axis=(0, 1))
        for x, y in np.argwhere(padded & ~beyond).tolist():
            start = (x - 1 + begin[0], y - 1 + begin[1])
            following.setdefault(start, []).append((x - 1 + end[0], y - 1 + end[1]))
    paths = []
    while following:
        corners = [next(iter(following))]
        while ends := following.get(corners[-1]):
            corners.append(ends.pop())
            if not ends:
                del following[corners[-2]]
        middles = np.add(corners[:-1], corners[1:])
        steps = " ".join(f"{x} {y}" for x, y in np.diff(middles, axis=0).tolist())
        paths.append(f"M{middles[0][0]} {middles[0][1]}l{steps}z")
    return "".join(paths)


def _cross(points: NDArray) -> str:
    middles = np.round(2 * points + 1).astype(int).tolist()
    m, d = MARK, 2 * MARK
    return "".join(f"M{x - m} {y - m}l{d} {d}M{x - m} {y + m}l{d} {-d}" for x, y in middles)


def _planes(
    views: Mapping[str, View], labels: Arrays, landmarks: Arrays, phases: Mapping[str, Mapping[str, int]]
) -> list[tuple[dict[str, Any], NDArray]]:
    """(what the script is told, (x, y, t) uint8 picture) of every slice with an image, the short axis from its base."""
    found = []
    for name in views:
        if name not in labels and name not in landmarks:
            continue
        view = views[name]
        mask = labels.get(name, np.zeros(view.image.shape, np.uint8))
        order = base_first(view, mask, landmarks, views) if name == "sax" else list(range(mask.shape[2]))
        order = [z for z in order if np.ptp(view.image[:, :, z]) > 0]
        cut = window(mask, view.spacing_mm)
        image, mask = view.image[cut], mask[cut]
        low, high = np.percentile(image, (0.5, 99))
        grey = (255 * np.clip((image - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)
        times = None if view.frame_times_ms is None else [round(float(time)) for time in view.frame_times_ms]
        for number, z in enumerate(order, start=1):
            place = f" {number} of {len(order)}{' (base)' * (number == 1)}" if len(order) > 1 else ""
            frames = np.moveaxis(mask[:, :, z], -1, 0)
            paths = {
                "LV": [outline(frame == LABELS["LV"]) for frame in frames],
                "MYO": [outline(np.isin(frame, (LABELS["LV"], LABELS["MYO"]))) for frame in frames],
                "RV": [outline(frame == LABELS["RV"]) for frame in frames],
            }
            if name in landmarks:
                paths["mark"] = [_cross(points - [cut[0].start, cut[1].start]) for points in landmarks[name]]
            about = {
                "name": VIEW_NAMES[name] + place,
                "w": image.shape[0],
                "h": image.shape[1],
                "n": image.shape[3],
                "ms": times,
            }
            about |= {"mm": view.spacing_mm[:2], "paths": paths, **phases.get(name, {})}
            found.append((about, grey[:, :, z]))
    return found


def _sheet(picture: NDArray, quality: int) -> tuple[bytes, int]:
    """((x, y, t) frames as one WebP picture row by row, columns)."""
    x, y, t = picture.shape
    columns = int(np.ceil(np.sqrt(t)))
    rows = -(-t // columns)
    tiles = np.pad(picture, [(0, 0), (0, 0), (0, columns * rows - t)]).reshape(x, y, rows, columns)
    data = io.BytesIO()
    Image.fromarray(tiles.transpose(2, 1, 3, 0).reshape(rows * y, columns * x)).save(
        data, "WEBP", quality=quality, method=4
    )
    return data.getvalue(), columns


def viewer_html(
    views: Mapping[str, View],
    labels: Arrays,
    landmarks: Arrays,
    phases: Mapping[str, Mapping[str, int]],
    cycle_ms: float,
    qualities: Sequence[int] = QUALITIES,
) -> str:
    """The viewer, with its script. phases: view -> {"ED": frame, "ES": frame}; cycle_ms: duration of a loop."""
    planes = _planes(views, labels, landmarks, phases)
    for quality in qualities:
        sheets = [_sheet(picture, quality) for _, picture in planes]
        if sum(len(data) for data, _ in sheets) <= LIMIT_BYTES:
            break
    told = [
        about | {"columns": columns, "sheet": f"data:image/webp;base64,{base64.b64encode(data).decode()}"}
        for (about, _), (data, columns) in zip(planes, sheets, strict=True)
    ]
    text = json.dumps(told, separators=(",", ":")).replace("<", "\\u003c")
    buttons = "".join(f'<button value="{key}">{words}</button>' for key, words in BUTTONS)
    controls = f'{buttons}<input type=range id=frame min=0 value=0 aria-label="frame">'
    box = f'<div id=cine tabindex=0 data-ms="{cycle_ms:.0f}">{controls}<div id=planes></div></div>'
    return (
        f"<div class=screen>{HELP}{box}"
        f"<script type=application/json id=data>{text}</script><script>{SCRIPT}</script></div>"
    )
