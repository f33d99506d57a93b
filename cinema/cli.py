"""The command line: what there is to run, what each option may be, and how errors read.

A new command is one entry of COMMANDS: what it calls and says of itself, then its options. The function takes them by
name; a whole number that it returns is the exit code. Standard library only: what is wrong with a command line is said
before an environment is made or torch imported.
"""

import argparse
import errno
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from cinema import __version__
from cinema.files import CARDS, FULL, ROOT, need_clone
from cinema.models import published
from cinema.terms import VIEWS, unknown


def option(words, help=None, **settings):
    """(flag, argparse's settings) of an option, "--out DIR", or of a word of the command, "raw RAW"."""
    flag, _, metavar = words.partition(" ")
    return flag, settings | {"help": help} | ({"metavar": metavar} if metavar else {})


def checked(doubt, kind=str):
    """The argparse type of a value of `kind`: refused with what `doubt` says of it, if anything."""

    def check(text):
        value = kind(text)
        if said := doubt(value):
            raise argparse.ArgumentTypeError(said)
        return value

    check.__name__ = kind.__name__  # argparse names it: invalid int value
    return check


def choice(words, *known, about="", **settings):
    """An option that takes one of the words `known`, which its help lists."""
    default = f" (default {settings['default']})" if "default" in settings else ""
    doubt = checked(lambda text: None if text in known else unknown(text, known))
    return option(words, about + ", ".join(known) + default, type=doubt, **settings)


def number(kind, least, most):
    """The argparse type of a number of `kind`, int or float, in least .. most."""
    return checked(lambda value: None if least <= value <= most else f"{value} is not from {least} to {most}", kind)


def notebooks(text):
    """Names or numbers of notebooks, separated by commas, as a list."""
    names = [file.stem for file in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    known = [word for name in names for word in (name.split("_")[0], name)]
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if known and word not in known:
            raise argparse.ArgumentTypeError(f"notebook {unknown(word, names)}")
    if not words:
        raise argparse.ArgumentTypeError("no notebook is named")
    return words


def one_notebook(text):
    return notebooks(text.replace(",", " "))[0]


DEVICE = re.compile("cpu|mps|cuda(:[0-9]{1,3})?")
device = checked(lambda text: None if DEVICE.fullmatch(text) else f"{text!r} is not cpu, cuda, cuda:1 .. or mps")
path = checked(lambda text: None if os.path.exists(text) else f"{text} does not exist")
made = os.path.isdir, lambda text: text and not os.path.lexists(text)  # what --out may be
folder = checked(lambda text: None if any(of(text) for of in made) else f"{text!r} is no folder; name one, new or not")
weights = checked(published.doubt_of_source)
DATASETS = sorted(card.stem for card in CARDS.glob("*.yaml"))
SEED = dict(type=number(int, 0, 2**32 - 1), default=0)  # as far as numpy's goes
JOBS = number(int, 1, 512)
SIZE = "size of the run: "
OF_PATIENTS = ("real_reader", "conventions", "rules", "confidence")  # experiments that read labelled patients
EXPERIMENTS = ("ingredients", "fine_tuning", "labels", "measures", "long_axis", *OF_PATIENTS)
TASKS = (
    "segmentation, classification, regression, landmark_heatmap, landmark_coordinate, pretraining, or a full name such "
    "as classification_sex"
)
SOURCE = "pretrained file, folder or repository to start from; for evaluation, a fine-tuned one"
WEIGHTS = (
    "file, folder or repository, or one model of them as in mathpluscode/CineMA:segmentation/acdc_sax (default: the "
    "project's own small weights)"
)
# Work on notebooks, tests or experiments, which an installed package does not have.
CLONE_ONLY = {"reproduce", "lab", "report", "test", "train", "experiment", "expected", "notebooks"}
COMMANDS = {  # name -> ("module:function", imported only when run; help), then its options
    "reproduce": [
        ("cinema.runner.run:reproduce", "run the notebooks: figures, numbers, report/index.html"),
        choice("--profile", "ci", "laptop", "paper", about=SIZE, default="laptop"),
        choice("--data NAME", "virtual", *DATASETS, default="virtual"),
        option("--data-root DIR", "folder that holds the datasets (default data/)", type=folder),
        option("--only 02,03", "these notebooks, and what they need", type=notebooks, action="extend"),
        option("--from 02", "this notebook and all later ones", type=one_notebook, dest="first"),
        option("--force", "run the chosen notebooks even where nothing has changed", action="store_true"),
        option("--jobs N", "notebooks at once (default: half the cores)", type=JOBS),
        option("--seed", "default 0", **SEED),
        option(
            "--out DIR",
            "where figures and results.json go (default figures/; not laptop or seed not 0: report/)",
            type=folder,
        ),
    ],
    "test": [
        ("cinema.cli:run_tests", "run the tests; further options go to pytest"),
        option("--golden DIR", "folder of reference cases for the models", type=path),
    ],
    "lab": [
        ("cinema.runner.lab:lab", "open the notebooks in JupyterLab, with the right kernel"),
        option("notebook 03", "this one (default: the list)", type=one_notebook, nargs="?"),
    ],
    "report": [
        ("cinema.runner.lab:report", "where the pages of the last runs are"),
        option("--open", "show them in a browser", action="store_true", dest="show"),
    ],
    "doctor": [("cinema.doctor:command", "what this machine has and lacks, and what to do about it")],
    "prepare": [
        ("cinema.data.public.prepare:command", "a public dataset's raw folder -> studies"),
        choice("name NAME", *DATASETS),
        option("raw RAW", "the folder as the source delivers it; nothing is written there", type=path),
        option("--out DIR", "where the studies go (default data/NAME)", type=folder),
        option("--jobs N", "subjects at once (default 1)", type=JOBS, default=1),
        option("--like-release", "has left; finetune --like-release remains", action="store_true"),
    ],
    "info": [
        ("cinema.data.public.cards:info", "what is known of a public dataset: source, terms, expected tree"),
        choice("name NAME", *DATASETS, about="without it, the list; ", nargs="?"),
    ],
    "segment": [
        ("cinema.inference.studies:command", "masks, volumes and a report from a DICOM folder or NIfTI file"),
        option(
            "input INPUT", "one examination, or several: DIR/study_001 .. and DIR/studies.csv", type=path, nargs="+"
        ),
        option("--out DIR", type=folder, required=True),
        option("--jobs N", "examinations at once (default 1)", type=JOBS, default=1),
        option("--weights W", WEIGHTS, type=weights),
        choice("--view V", *VIEWS, about="what a NIfTI input shows: "),
        option("--device D", "cpu, cuda, cuda:1, mps (default cpu)", type=device, default="cpu"),
        option(
            "--dicom-seg",
            "the short axis's masks at ED and ES as anonymous DICOM-SEG too: sax_ed.seg.dcm, sax_es.seg.dcm (needs "
            "highdicom: extra dicom)",
            action="store_true",
        ),
    ],
    "train": [
        ("experiments.own_weights.readers:command", "make the project's own small weights from virtual hearts"),
        choice("name NAME", "reader_sax", "reader_lax", "cinema_small"),
        choice("--profile", "ci", "laptop", about=SIZE, default="laptop"),
        option(
            "--out DIR",
            "where weights go (default cinema/shipped/weights/; not laptop or seed not 0: data/work/)",
            type=folder,
        ),
        option("--seed", "default 0", **SEED),
        option("--jobs N", "processes that render hearts (default 1)", type=JOBS, default=1),
    ],
    "finetune": [
        ("cinema.training.finetune:command", "train a published model on a prepared dataset and score it"),
        option("task TASK", TASKS),
        option("name NAME", "dataset, or published name such as mnms2_lax_4c"),
        choice("--profile", "ci", "paper", about=SIZE, default="paper"),
        option("--data-root DIR", "folder that holds the prepared datasets (default data/)", type=folder),
        option("--like-release", "to the letter of the release, oddities included", action="store_true"),
        option("--from WEIGHTS", SOURCE, type=weights, dest="source"),
        option("--model", f"{', '.join(published.MODELS)} (default cinema)", default="cinema"),
        option("--seed", "default 0", **SEED),
        option(
            "--proportion P",
            "share of the training studies (default 1)",
            type=number(float, 1e-6, 1),
            default=1.0,
        ),
        option("--max-samples N", "at most this many studies of each split", type=number(int, 0, 2**31), default=0),
        option("--device D", "cpu, cuda, cuda:1, mps (default: cuda where there is one)", type=device),
        option("--dry-run", "say how long a run would take; needs no data", action="store_true"),
        option("--out DIR", "where the run goes (default data/work/finetuned/..)", type=folder),
    ],
    "nnunet": [
        ("cinema.training.nnunet:command", "nnU-Net on a prepared dataset (train and predict: extra nnunet)"),
        choice("action ACTION", "export", "train", "predict", "scores", "all"),
        choice("name NAME", "acdc", "mnms", "mnms2", "rescan", "emidec", "myops"),
        choice("--profile", "ci", "paper", about=SIZE, default="paper"),
        option("--data-root DIR", "folder that holds the prepared datasets (default data/)", type=folder),
        choice("--view V", *VIEWS, default="sax"),
        choice("--configuration", "2d", "3d_fullres", about="nnU-Net's: ", default="2d"),
        choice("--device D", "cpu", "cuda", "mps", about="default: cuda where there is one; "),
        option("--out DIR", "folder of raw, preprocessed, results .. (default data/work/nnunet/..)", type=folder),
    ],
    "experiment": [
        ("experiments:command", "repeat an experiment that the notebooks only read"),
        choice("name NAME", *EXPERIMENTS),
        option("raw RAW", "for the last four: the raw folder of ACDC", type=path, nargs="?"),
        choice("--profile", "ci", "laptop", about=SIZE, default="laptop"),
        option("--jobs N", "trainings at once (default 1)", type=JOBS, default=1),
        option("--seed", "default 0", **SEED),
        option(
            "--out DIR",
            "where NAME.csv goes (default data/experiments/; not laptop or seed not 0: data/work/)",
            type=folder,
        ),
    ],
    "expected": [
        ("cinema.results:main", "compare recorded numbers with figures/expected.csv"),
        option("--update", "take over the present values; tolerances stay as they are", action="store_true"),
    ],
    "notebooks": [
        ("cinema.runner.notebooks:main", "maintainers: bring notebooks/*.ipynb up to date"),
        option("--sync", "take the cells from notebooks/py/*.py", action="store_true"),
        option("--update", "take the outputs from report/laptop/", action="store_true"),
        option("--table", "print README's table of notebooks and seconds", action="store_true"),
    ],
}


REMEDIES = dict.fromkeys(FULL, "; free some space and give the same command again")
REMEDIES |= dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS), "; work in a clone of your own, or name folders that you may write to"
)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line instead of argparse's usage and message."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def parse(arguments):
    """(command, options by name) of the words after `python3 -m cinema`; ends the program with one line where they are
    wrong, whatever they are."""
    about = "Every figure of the CineMA companion, and your own studies."
    parser = Parser("cinema", description=about, epilog="cinema COMMAND --help lists what a command takes.")
    parser.add_argument("--version", action="version", version=f"cinema {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for name, ((_, about), *known) in COMMANDS.items():
        sub = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        for flag, settings in known:
            sub.add_argument(flag, **settings)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command = next(iter(arguments), "-")
    if not command.startswith("-"):
        if command not in COMMANDS:
            parser.error(unknown(command, COMMANDS))
        _check_flags(commands.choices[command], command, arguments[1:])
    options, further = parser.parse_known_args(arguments)
    options = vars(options)
    command = options.pop("command")
    if command == "test":
        options["pytest_arguments"] = further
    elif further:
        parser.error(f"{command} does not know {' '.join(further)}")
    if command == "finetune":
        try:
            published.resolve(options["task"], options["name"], options["model"])
        except ValueError as error:
            parser.error(f"finetune: {error}")
    return command, options


def _check_flags(parser, command, arguments):
    """Refuse flags that the command does not know, which go to pytest for `test`, and those that are given twice."""
    known = ["--help", "--debug", *(flag for flag, settings in COMMANDS[command][1:] if flag.startswith("--"))]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = [word.partition("=")[0] for word in arguments[:end] if word.startswith("--")]
    for flag in given:
        if flag not in known and command != "test":
            parser.error(f"option {unknown(flag, known)}")
        if flag in known and flag != "--only" and given.count(flag) > 1:
            parser.error(f"{flag} is given {given.count(flag)} times; give it once")


def main(arguments=None):
    """Exit code of one command. What a user can get wrong gives one line on stderr and code 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path may hold what the terminal's encoding has not
            stream.reconfigure(errors="backslashreplace")
    command, options = parse(sys.argv[1:] if arguments is None else arguments)
    debug = options.pop("debug")
    module, function = COMMANDS[command][0][0].split(":")
    try:
        if command in CLONE_ONLY:
            need_clone(f"python3 -m cinema {command}")
            sys.path.insert(0, str(ROOT))  # the installed script does not find experiments/ by itself
        if options.get("device") not in (None, "cpu"):
            import_module("cinema.models.weights").check_device(options["device"])
        code = getattr(import_module(module), function)(**options)
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        print("\ncinema: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads what we print has seen enough, `head` for one
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        if debug:
            raise
        print(f"cinema: {one_line(error)}", file=sys.stderr)
        return 2


def one_line(error):
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return text + f" in {sys.prefix}; install requirements.txt there, or unset CINEMA_NO_VENV"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and re.search("alloc|out of memory", text)):
        return text if "; " in text else f"{text}; close other programs, give fewer --jobs, or take another machine"
    if not isinstance(error, (ValueError, OSError)):
        return f"{type(error).__name__}: {text}; nobody expected that: --debug shows where it comes from"
    return text + REMEDIES.get(getattr(error, "errno", None), "")


def run_tests(golden, pytest_arguments):
    """pytest's exit code for tests/; `golden` and further arguments are handed on."""
    chosen = [f"--golden={Path(golden).resolve()}"] if golden else []
    command = [sys.executable, "-m", "pytest", *chosen, *pytest_arguments]
    return subprocess.call(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
