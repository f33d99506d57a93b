"""The command line: what there is to run, and how its errors read.

A new command is one entry of COMMANDS. Its function takes the options by name;
a whole number it returns is the exit code.
"""

import argparse
import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from cinema.files import ROOT, need_clone


@dataclass(frozen=True)
class Command:
    """call: "module:function", imported only when run. options: (flags, argparse's settings) pairs.

    in_clone: it works on notebooks, tests or experiments, which an installed package does not have.
    """

    call: str
    help: str
    options: tuple = ()
    in_clone: bool = False


def option(*flags, **settings):
    return flags, settings


def names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


COMMANDS = {
    "reproduce": Command(
        "cinema.runner.run:reproduce",
        "run the notebooks: figures/, results.json, report/index.html",
        (
            option("--profile", default="laptop", help="ci, laptop or paper: size of the experiments (default laptop)"),
            option("--data", default="virtual", metavar="NAME", help="virtual, or the dataset to use instead"),
            option("--data-root", metavar="DIR", help="folder that holds the datasets (default data/)"),
            option("--only", type=names, metavar="02,03", help="these notebooks, and what they need"),
            option("--from", dest="first", metavar="02", help="this notebook and all later ones"),
            option("--force", action="store_true", help="run the chosen notebooks even where nothing has changed"),
            option("--jobs", type=int, metavar="N", help="notebooks at once (default: half the cores)"),
            option("--seed", type=int, default=0, help="default 0"),
            option("--out", metavar="DIR", help="where figures and results.json go (default figures/)"),
        ),
        in_clone=True,
    ),
    "test": Command(
        "cinema.cli:run_tests",
        "run the tests; further options go to pytest",
        (option("--golden", metavar="DIR", help="folder of reference cases for the models"),),
        in_clone=True,
    ),
    "prepare": Command(
        "cinema.data.public.prepare:command",
        "a public dataset's raw folder -> studies",
        (
            option("name", metavar="NAME", help="acdc, mnms, mnms2, kaggle, rescan, landmark, emidec, myops or ukb"),
            option("raw", metavar="RAW", help="the folder as the source delivers it; nothing is written there"),
            option("--out", metavar="DIR", help="where the studies go (default data/NAME)"),
            option("--jobs", type=int, default=1, metavar="N", help="subjects at once (default 1)"),
            option("--like-release", action="store_true", help="has left; finetune --like-release remains"),
        ),
    ),
    "info": Command(
        "cinema.data.public.prepare:info",
        "what is known of a public dataset: source, terms, expected tree",
        (option("name", metavar="NAME", nargs="?", help="without it, the list of datasets"),),
    ),
    "segment": Command(
        "cinema.inference.segment:command",
        "masks, volumes and a report from a DICOM folder or NIfTI file",
        (
            option("input", metavar="INPUT"),
            option("--out", required=True, metavar="DIR"),
            option(
                "--weights",
                metavar="W",
                help="file, folder or repository, or one model of them as in "
                "mathpluscode/CineMA:segmentation/acdc_sax (default: the project's own small weights)",
            ),
            option("--view", metavar="V", help="the view of a NIfTI input"),
            option("--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1, mps (default cpu)"),
        ),
    ),
    "train": Command(
        "experiments.own_weights.readers:command",
        "make the project's own small weights from virtual hearts",
        (
            option("name", metavar="NAME", help="reader_sax, reader_lax or cinema_small"),
            option("--profile", default="laptop", help="ci or laptop: size of the run (default laptop)"),
            option("--out", metavar="DIR", help="where the weights go (default cinema/shipped/weights/)"),
            option("--seed", type=int, default=0, help="default 0"),
            option("--jobs", type=int, default=1, metavar="N", help="processes that render hearts (default 1)"),
        ),
        in_clone=True,
    ),
    "finetune": Command(
        "cinema.training.finetune:command",
        "train a published model on a prepared dataset and score it",
        (
            option(
                "task",
                metavar="TASK",
                help="segmentation, classification, regression, landmark_heatmap, "
                "landmark_coordinate, pretraining, or a full name such as classification_sex",
            ),
            option("name", metavar="NAME", help="dataset, or published name such as mnms2_lax_4c"),
            option("--profile", default="paper", help="ci (a few steps of small models) or paper (default)"),
            option("--data-root", metavar="DIR", help="folder that holds the prepared datasets (default data/)"),
            option("--like-release", action="store_true", help="to the letter of the release, oddities included"),
            option(
                "--from",
                dest="source",
                metavar="WEIGHTS",
                help="pretrained file, folder or repository to start from; for evaluation, a fine-tuned one",
            ),
            option("--model", default="cinema", help="cinema, scratch, unet or resnet (default cinema)"),
            option("--seed", type=int, default=0, help="default 0"),
            option(
                "--proportion", type=float, default=1.0, metavar="P", help="share of the training studies (default 1)"
            ),
            option("--max-samples", type=int, default=0, metavar="N", help="at most this many studies of each split"),
            option("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)"),
            option("--dry-run", action="store_true", help="say how long a run would take; needs no data"),
            option("--out", metavar="DIR", help="where the run goes (default data/work/finetuned/..)"),
        ),
    ),
    "nnunet": Command(
        "cinema.training.nnunet:command",
        "nnU-Net on a prepared dataset (train and predict: extra nnunet)",
        (
            option("action", metavar="ACTION", help="export, train, predict, scores, or all"),
            option("name", metavar="NAME", help="acdc, mnms, mnms2, rescan, emidec or myops"),
            option("--profile", default="paper", help="ci (two epochs of ten steps, small images) or paper (default)"),
            option("--data-root", metavar="DIR", help="folder that holds the prepared datasets (default data/)"),
            option("--view", default="sax", metavar="V", help="default sax"),
            option("--configuration", default="2d", help="nnU-Net's: 2d or 3d_fullres (default 2d)"),
            option("--device", metavar="D", help="cpu, cuda or mps (default: cuda where there is one)"),
            option(
                "--out", metavar="DIR", help="folder of raw, preprocessed, results .. (default data/work/nnunet/..)"
            ),
        ),
    ),
    "experiment": Command(
        "experiments:command",
        "repeat an experiment that the notebooks only read",
        (
            option("name", metavar="NAME", help="ingredients, fine_tuning, labels or measures"),
            option("--profile", default="laptop", help="ci or laptop: size of the experiment (default laptop)"),
            option("--jobs", type=int, default=1, metavar="N", help="trainings at once (default 1)"),
            option("--seed", type=int, default=0, help="default 0"),
            option("--out", metavar="DIR", help="where NAME.csv goes (default data/experiments/; ci: data/work/ci/)"),
        ),
        in_clone=True,
    ),
    "expected": Command(
        "cinema.results:main",
        "compare figures/results.json with figures/expected.csv",
        (option("--update", action="store_true", help="take over the present values; tolerances stay as they are"),),
        in_clone=True,
    ),
    "notebooks": Command(
        "cinema.runner.notebooks:main",
        "maintainers: bring notebooks/*.ipynb up to date",
        (
            option("--sync", action="store_true", help="take the cells from notebooks/py/*.py"),
            option("--update", action="store_true", help="take the outputs from report/laptop/"),
            option("--table", action="store_true", help="print README's table of notebooks and seconds"),
        ),
        in_clone=True,
    ),
}


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line instead of argparse's usage and message."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse(arguments):
    """(command, options by name) of the words after `python3 -m cinema`."""
    parser = Parser(prog="cinema", description="Every figure of the CineMA companion, and your own studies.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help, allow_abbrev=False)
        for flags, settings in command.options:
            sub.add_argument(*flags, **settings)
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
    module, function = COMMANDS[command].call.split(":")
    try:
        if COMMANDS[command].in_clone:
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
