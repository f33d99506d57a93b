"""What is known of a public dataset beside its files: cinema/shipped/cards/NAME.yaml, one card each.

README, `python3 -m cinema info NAME`, prepare and the notebooks read the same card, so that a licence, a label map or a
count stands in one place.
"""

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

import yaml

from cinema.files import CARDS, ROOT, write_between
from cinema.terms import LABELS, TISSUE_LABELS, VIEWS

SPLITS = ("train", "val", "test")
BEGIN, END = "<!-- cards -->", "<!-- /cards -->"  # what stands between them in data/README.md is written from the cards


@dataclass(frozen=True)
class Card:
    """One dataset.

    key:         its name on the command line and of its folder, such as "acdc".
    name, role:  as the paper calls it; what it is used for.
    notebook:    number of the notebook that it is mainly for. notebooks: all that can run on it.
    has:         what it holds, in words (masks, volumes, classes, vendor, age ..). views: of terms.VIEWS.
    source, licence, access: address; terms as far as known; how to get it.
    tree:        the raw folder as delivered. split: the published rule in words.
    labels:      value in its mask files -> name in terms.LABELS or TISSUE_LABELS.
    classes:     attribute -> list of its classes, in the published order.
    counts:      split -> published number of studies.
    differences: what the authors' release does and what is done here instead: {"release": .., "here": ..}.
    fields:      UK Biobank: purpose -> fields to request.
    notes:       anything else a reader should know.
    """

    key: str
    name: str
    role: str
    notebook: str
    source: str
    licence: str
    access: str
    tree: str
    split: str
    notebooks: tuple = ()
    has: tuple = ()
    views: tuple = ()
    labels: dict = field(default_factory=dict)
    classes: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)
    differences: tuple = ()
    fields: dict = field(default_factory=dict)
    notes: tuple = ()


REQUIRED = {"name", "role", "notebook", "source", "licence", "access", "tree", "split"}


def names(folder: str | Path = CARDS) -> tuple[str, ...]:
    """Keys of all datasets that have a card, sorted."""
    return tuple(sorted(path.stem for path in Path(folder).glob("*.yaml")))


@cache
def card(name: str, folder: str | Path = CARDS) -> Card:
    """The Card of a dataset; ValueError for an unknown name, a missing, unknown or ill-formed entry."""
    path = Path(folder) / f"{name}.yaml"
    if name not in names(folder):
        raise ValueError(f"unknown dataset {name!r}; choose one of {', '.join(names(folder))}")
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is no readable YAML ({' '.join(str(error).split())})") from None
    unknown = set(entries) - {entry.name for entry in fields(Card)[1:]}  # all but the key
    lacking = REQUIRED - set(entries)
    if unknown or lacking:
        raise ValueError(f"{path.name}: unknown entries {sorted(unknown)}, missing entries {sorted(lacking)}")
    for key in ("notebooks", "has", "views", "differences", "notes"):
        value = entries.get(key) or ()
        entries[key] = (value,) if isinstance(value, (str, dict)) else tuple(value)
    for key in ("labels", "classes", "counts", "fields"):
        entries[key] = entries.get(key) or {}
    entries["notebook"] = str(entries["notebook"])
    entries["notebooks"] = tuple(map(str, entries["notebooks"])) or (entries["notebook"],)
    found = Card(key=name, **entries)
    strange = {
        "labels": set(found.labels.values()) - set(LABELS | TISSUE_LABELS),
        "views": set(found.views) - set(VIEWS),
        "counts": set(found.counts) - {*SPLITS, "all"},
        "notebook": {found.notebook} - set(found.notebooks),
        "differences": {key for pair in found.differences for key in set(pair) ^ {"release", "here"}},
    }
    for entry, values in strange.items():
        if values:
            raise ValueError(f"{path.name}: {entry} holds or lacks {sorted(values)}; see Card in cards.py")
    return found


def markdown(found: Card) -> str:
    """A card as a section of data/README.md."""
    counts = ", ".join(f"{split} {n}" for split, n in found.counts.items())
    labels = ", ".join(f"{raw} {name}" for raw, name in found.labels.items())
    lines = [
        f"### {found.name}\n",
        f"`{found.key}`: {found.role}. Notebooks {', '.join(found.notebooks)}.\n",
        f"- Source: {found.source}. Terms: {found.licence}.",
        f"- Access: {found.access.strip()}.",
        f"- Split: {found.split.strip()}" + f" ({counts})" * bool(counts) + ".",
        *[f"- Labels: {labels}."] * bool(labels),
        *[f"- Classes of {key}: {', '.join(map(str, values))}." for key, values in found.classes.items()],
        *[f"- Fields for {purpose}: {text.strip()}." for purpose, text in found.fields.items()],
        *[f"- The release: {pair['release'].strip()}. Here: {pair['here'].strip()}." for pair in found.differences],
        *[f"- {note.strip()}" for note in found.notes],
    ]
    return "\n".join([*lines, "", "```", found.tree.rstrip(), "```"])


def write_readme(path: Path = ROOT / "data" / "README.md") -> None:
    """Put all cards between the markers of data/README.md. ValueError if they are absent."""
    write_between(path, BEGIN, END, "\n\n".join(markdown(card(name)) for name in names()))


def info(name: str | None = None) -> None:
    """Print a dataset's card; without a name the nine datasets: `python3 -m cinema info`."""
    if name is not None:
        print(_text(card(name)))
        return
    for key in names():
        print(f"{key:9} {card(key).name}: {card(key).role}")


def _text(found: Card) -> str:
    """A card as text for the terminal."""
    lines = [
        f"{found.name}: {found.role}",
        f"source   {found.source}",
        f"licence  {found.licence}",
        f"access   {found.access}",
        f"views    {', '.join(found.views)}",
        f"holds    {', '.join(found.has)}",
        f"notebook {', '.join(found.notebooks)}",
    ]
    lines += ["raw folder:", *(f"  {line}" for line in found.tree.splitlines()), f"split    {found.split.strip()}"]
    for word, entries in (("counts", found.counts), ("labels", found.labels)):
        lines += [f"{word}   " + ", ".join(f"{key} {value}" for key, value in entries.items())] * bool(entries)
    lines += [f"classes  {key}: {', '.join(map(str, names))}" for key, names in found.classes.items()]
    lines += [f"fields   {purpose}: {text}" for purpose, text in found.fields.items()]
    for difference in found.differences:
        lines += [f"release: {difference['release'].strip()}", f"   here: {difference['here'].strip()}"]
    return "\n".join([*lines, *(f"note: {note.strip()}" for note in found.notes)])
