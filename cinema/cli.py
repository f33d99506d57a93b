"""The command line: what there is to run, and how its errors read.

A new command is one entry of COMMANDS: what it calls and says of itself, then its options. The function takes them by
name; a whole number that it returns is the exit code.
"""

import argparse
import errno
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from cinema.files import ROOT, need_clone


def option(words, help=None, **settings):
    """(flag, argparse's settings) of an option, "--out DIR", or of a word of the command, "raw RAW"."""
    flag, _, metavar = words.partition(" ")
    return flag, settings | {"help": help} | ({"metavar": metavar} if metavar else {})


def names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


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
CLONE_ONLY = {"reproduce", "test", "train", "experiment", "expected", "notebooks"}
COMMANDS = {  # name -> ("module:function", imported only when run; help), then its options
    "reproduce": [
        ("cinema.runner.run:reproduce", "run the notebooks: figures, numbers, report/index.html"),
        option("--profile", "ci, laptop or paper: size of the experiments (default laptop)", default="laptop"),
        option("--data NAME", "virtual, or the dataset to use instead", default="virtual"),
        option("--data-root DIR", "folder that holds the datasets (default data/)"),
        option("--only 02,03", "these notebooks, and what they need", type=names),
        option("--from 02", "this notebook and all later ones", dest="first"),
        option("--force", "run the chosen notebooks even where nothing has changed", action="store_true"),
        option("--jobs N", "notebooks at once (default: half the cores)", type=int),
        option("--seed", "default 0", type=int, default=0),
        option("--out DIR", "where figures and results.json go (default figures/; not laptop or seed not 0: report/)"),
    ],
    "test": [
        ("cinema.cli:run_tests", "run the tests; further options go to pytest"),
        option("--golden DIR", "folder of reference cases for the models"),
    ],
    "prepare": [
        ("cinema.data.public.prepare:command", "a public dataset's raw folder -> studies"),
        option("name NAME", "acdc, mnms, mnms2, kaggle, rescan, landmark, emidec, myops or ukb"),
        option("raw RAW", "the folder as the source delivers it; nothing is written there"),
        option("--out DIR", "where the studies go (default data/NAME)"),
        option("--jobs N", "subjects at once (default 1)", type=int, default=1),
        option("--like-release", "has left; finetune --like-release remains", action="store_true"),
    ],
    "info": [
        ("cinema.data.public.prepare:info", "what is known of a public dataset: source, terms, expected tree"),
        option("name NAME", "without it, the list of datasets", nargs="?"),
    ],
    "segment": [
        ("cinema.inference.segment:command", "masks, volumes and a report from a DICOM folder or NIfTI file"),
        option("input INPUT"),
        option("--out DIR", required=True),
        option("--weights W", WEIGHTS),
        option("--view V", "the view of a NIfTI input"),
        option("--device D", "cpu, cuda, cuda:1, mps (default cpu)", default="cpu"),
    ],
    "train": [
        ("experiments.own_weights.readers:command", "make the project's own small weights from virtual hearts"),
        option("name NAME", "reader_sax, reader_lax or cinema_small"),
        option("--profile", "ci or laptop: size of the run (default laptop)", default="laptop"),
        option(
            "--out DIR", "where the weights go (default cinema/shipped/weights/; not laptop or seed not 0: data/work/)"
        ),
        option("--seed", "default 0", type=int, default=0),
        option("--jobs N", "processes that render hearts (default 1)", type=int, default=1),
    ],
    "finetune": [
        ("cinema.training.finetune:command", "train a published model on a prepared dataset and score it"),
        option("task TASK", TASKS),
        option("name NAME", "dataset, or published name such as mnms2_lax_4c"),
        option("--profile", "ci (a few steps of small models) or paper (default)", default="paper"),
        option("--data-root DIR", "folder that holds the prepared datasets (default data/)"),
        option("--like-release", "to the letter of the release, oddities included", action="store_true"),
        option("--from WEIGHTS", SOURCE, dest="source"),
        option("--model", "cinema, scratch, unet or resnet (default cinema)", default="cinema"),
        option("--seed", "default 0", type=int, default=0),
        option("--proportion P", "share of the training studies (default 1)", type=float, default=1.0),
        option("--max-samples N", "at most this many studies of each split", type=int, default=0),
        option("--device D", "cpu, cuda, cuda:1, mps (default: cuda where there is one)"),
        option("--dry-run", "say how long a run would take; needs no data", action="store_true"),
        option("--out DIR", "where the run goes (default data/work/finetuned/..)"),
    ],
    "nnunet": [
        ("cinema.training.nnunet:command", "nnU-Net on a prepared dataset (train and predict: extra nnunet)"),
        option("action ACTION", "export, train, predict, scores, or all"),
        option("name NAME", "acdc, mnms, mnms2, rescan, emidec or myops"),
        option("--profile", "ci (two epochs of ten steps, small images) or paper (default)", default="paper"),
        option("--data-root DIR", "folder that holds the prepared datasets (default data/)"),
        option("--view V", "default sax", default="sax"),
        option("--configuration", "nnU-Net's: 2d or 3d_fullres (default 2d)", default="2d"),
        option("--device D", "cpu, cuda or mps (default: cuda where there is one)"),
        option("--out DIR", "folder of raw, preprocessed, results .. (default data/work/nnunet/..)"),
    ],
    "experiment": [
        ("experiments:command", "repeat an experiment that the notebooks only read"),
        option("name NAME", "ingredients, fine_tuning, labels, measures, real_reader, conventions, rules, confidence"),
        option("raw RAW", "for the last four: the raw folder of ACDC", nargs="?"),
        option("--profile", "ci or laptop: size of the experiment (default laptop)", default="laptop"),
        option("--jobs N", "trainings at once (default 1)", type=int, default=1),
        option("--seed", "default 0", type=int, default=0),
        option("--out DIR", "where NAME.csv goes (default data/experiments/; not laptop or seed not 0: data/work/)"),
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


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line instead of argparse's usage and message."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse(arguments):
    """(command, options by name) of the words after `python3 -m cinema`."""
    about = "Every figure of the CineMA companion, and your own studies."
    parser = Parser("cinema", description=about, epilog="cinema COMMAND --help lists what a command takes.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for name, ((_, about), *known) in COMMANDS.items():
        sub = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        for flag, settings in known:
            sub.add_argument(flag, **settings)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options, unknown = parser.parse_known_args(arguments)
    options = vars(options)
    command = options.pop("command")
    if command == "test":
        options["pytest_arguments"] = unknown
    elif unknown:
        parser.error(f"{command} does not know {' '.join(unknown)}")
    return command, options


def main(arguments=None):
    """Exit code of one command. What a user can get wrong gives one line on stderr and code 2."""
    command, options = parse(arguments)
    debug = options.pop("debug")
    module, function = COMMANDS[command][0][0].split(":")
    try:
        if command in CLONE_ONLY:
            need_clone(f"python3 -m cinema {command}")
            sys.path.insert(0, str(ROOT))  # the installed script does not find experiments/ by itself
        code = getattr(import_module(module), function)(**options)
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        print("\ncinema: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if debug:
            raise
        print(f"cinema: {one_line(error)}", file=sys.stderr)
        return 2


def one_line(error):
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        text += f" in {sys.prefix}; install requirements.txt there, or unset CINEMA_NO_VENV"
    elif getattr(error, "errno", None) == errno.ENOSPC:
        text += "; free some space and give the same command again"
    return text


def run_tests(golden, pytest_arguments):
    """pytest's exit code for tests/; `golden` and further arguments are handed on."""
    if golden and not Path(golden).is_dir():
        raise FileNotFoundError(f"{golden} is not a folder; --golden takes the folder of reference cases")
    chosen = [f"--golden={Path(golden).resolve()}"] if golden else []
    command = [sys.executable, "-m", "pytest", *chosen, *pytest_arguments]
    return subprocess.call(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
