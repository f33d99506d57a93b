"""The field's words and numbers, written once: views, structures, label values, colours, grids."""

import difflib

VIEWS = ("sax", "lax_2c", "lax_3c", "lax_4c")
LAX_VIEWS = VIEWS[1:]
VIEW_NAMES = {"sax": "SAX", "lax_2c": "2C", "lax_3c": "3C", "lax_4c": "4C"}

# Label values of every mask in the project; each dataset adapter translates at the door.
LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
STRUCTURES = ("RV", "MYO", "LV")
# Beyond these, late-enhancement datasets label tissue: parts of the myocardium that are ill.
TISSUE_LABELS = {"scar": 4, "no-reflow": 5, "oedema": 6}

# One colour and one line style per structure, everywhere (Okabe-Ito: safe for colour-blind readers).
COLOURS = {"RV": "#E69F00", "MYO": "#009E73", "LV": "#0072B2"}
LINE_STYLES = {"RV": "-", "MYO": "--", "LV": "-."}
ALL_COLOURS = COLOURS | {"scar": "#D55E00", "no-reflow": "#000000", "oedema": "#CC79A7"}  # of tissue as well
ALL_LINE_STYLES = LINE_STYLES | {"scar": ":", "no-reflow": (0, (3, 1, 1, 1, 1, 1)), "oedema": (0, (5, 1))}

# Grids: size in voxels and spacing in mm per view. Long-axis views are planes, so two numbers.
PUBLISHED_GRID = {"sax": ((192, 192, 16), (1.0, 1.0, 10.0))} | dict.fromkeys(LAX_VIEWS, ((256, 256), (1.0, 1.0)))
SMALL_GRID = {"sax": ((64, 64, 8), (2.5, 2.5, 12.0))} | dict.fromkeys(LAX_VIEWS, ((64, 64), (2.5, 2.5)))

MYOCARDIUM_DENSITY_G_PER_ML = 1.05  # paper_facts: JCMR reference values use 1.05 g/ml
EF_BANDS_PERCENT = (40.0, 55.0)  # <= 40, <= 55, above: the release's three EF classes


def unknown(text, words):
    """What to say of a word that is not among `words`: the one that was probably meant, and all."""
    meant = "".join(f"did you mean {word}? " for word in difflib.get_close_matches(text, words, 1))
    return f"{text!r} is unknown; {meant}choose from {', '.join(words)}"


def check_view(view):
    """Return `view` if it is one of VIEWS; otherwise raise ValueError naming the choices."""
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}; choose one of {', '.join(VIEWS)}")
    return view
