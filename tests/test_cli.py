"""The command line: every error a user can make is one line and code 2; Ctrl-C is one line and 130."""

import errno
import io
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from unittest.mock import Mock

import pytest

from cinema import cli


@pytest.fixture
def called(monkeypatch):
    """A mock in the place of what every command calls."""
    mock = Mock(return_value=None)
    monkeypatch.setitem(sys.modules, "replaced_module", Mock(function=mock))
    for command, (_, *options) in cli.COMMANDS.items():
        monkeypatch.setitem(cli.COMMANDS, command, [("replaced_module:function", "replaced"), *options])
    return mock


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_its_function_and_help(command, capsys):
    (call, about), *options = cli.COMMANDS[command]
    module, function = call.split(":")
    taken = signature(getattr(import_module(module), function))
    names = [settings.get("dest") or flag.lstrip("-").replace("-", "_") for flag, settings in options]
    taken.bind(**dict.fromkeys(["pytest_arguments"] * (command == "test") + names))
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0 and about.split(",")[0] in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "required: COMMAND"),
        (["reproduse"], "did you mean reproduce?"),
        (["reproduce", "--sed", "3"], "option '--sed' is unknown; did you mean --seed?"),
        (["segment", ".", "--ot", "masks"], "did you mean --out?"),
        (["segment", ".", "more", "--out", "masks"], "more does not exist"),
        (["reproduce", "--jobs", "many"], "invalid int value: 'many'"),
        (["segment", "."], "required: --out"),
        (["reproduce", "--profile", "lap"], "'lap' is unknown; did you mean laptop? choose from ci, laptop, paper"),
        (["train", "reader_sax", "--profile", "paper"], "'paper' is unknown; choose from ci, laptop"),
        (["reproduce", "--data", "acddc"], "did you mean acdc? choose from virtual"),
        (["reproduce", "--only", "02,33"], "notebook '33' is unknown; choose from 00_start_here"),
        (["reproduce", "--only", ","], "no notebook is named"),
        (["reproduce", "--from", "01,02"], "notebook '01 02' is unknown"),
        (["reproduce", "--seed", "-1"], "-1 is not from 0 to 4294967295"),
        (["reproduce", "--seed", "1", "--seed=2"], "--seed is given 2 times"),
        (["test", "-k", "a", "-k", "b", "--golden", ".", "--golden", "."], "--golden is given 2 times"),
        (["prepare", "acdc", "nowhere"], "nowhere does not exist"),
        (["prepare", "acdc", ".", "--jobs", "0"], "0 is not from 1 to 512"),
        (["segment", ".", "--out", __file__], "is no folder"),
        (["segment", ".", "--out", ""], "is no folder"),
        (["segment", ".", "--out", "m", "--device", "gpu"], "'gpu' is not cpu, cuda, cuda:1 .. or mps"),
        (["segment", ".", "--out", "m", "--view", "lax4c"], "did you mean lax_4c?"),
        (
            ["segment", ".", "--out", "m", "--weights", "no.safetensors"],
            "no.safetensors does not exist; give a weights",
        ),
        (["segment", ".", "--out", "m", "--weights", "no where:segmentation/acdc_sax"], "does not exist"),
        (["finetune", "segmentatoin", "acdc"], "task 'segmentatoin' is unknown; did you mean segmentation?"),
        (["finetune", "segmentation", "acddc"], "name 'acddc' is unknown; did you mean acdc?"),
        (["finetune", "regression", "acdc", "--model", "unet"], "choose from cinema, scratch, resnet"),
        (["finetune", "segmentation", "acdc", "--proportion", "nan"], "nan is not from 1e-06 to 1"),
        (["nnunet", "trian", "acdc"], "did you mean train?"),
        (["experiment", "lables"], "did you mean labels?"),
        (["notebooks"], "give --sync, --update or --table"),
    ],
)
def test_a_mistyped_command_is_one_line_and_code_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as end:
        sys.exit(cli.main(arguments))
    errors = capsys.readouterr().err
    assert end.value.code == 2 and len(errors.splitlines()) == 1 and words in errors


@pytest.mark.parametrize(
    "error, words",
    [
        (ValueError("view 'diagonal' is unknown;\n choose from sax"), "view 'diagonal' is unknown; choose from sax"),
        (FileNotFoundError("no DICOM in folder"), "no DICOM in folder"),
        (OSError(errno.ENOSPC, "No space left", "m.nii.gz"), "free some space and give the same command again"),
        (OSError(errno.EROFS, "Read-only file system", "report"), "work in a clone of your own"),
        (ModuleNotFoundError("No module named 'h5py'"), "install requirements.txt there"),
        (MemoryError(), "MemoryError; close other programs"),
        (MemoryError("a.pt does not fit; take another machine"), "cinema: a.pt does not fit; take another machine\n"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory; close other"),
        (KeyError("sax"), "KeyError: 'sax'; nobody expected that: --debug shows where"),
    ],
)
def test_an_error_is_one_line_and_code_2(error, words, called, capsys):
    called.side_effect = error
    assert cli.main(["reproduce"]) == 2
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1 and errors.startswith("cinema: ") and words in errors


def test_debug_shows_the_error_itself_and_an_interrupt_is_one_line_and_code_130(called, capsys):
    called.side_effect = ValueError("wrong")
    with pytest.raises(ValueError, match="wrong"):
        cli.main(["reproduce", "--debug"])
    called.side_effect = KeyboardInterrupt
    assert cli.main(["reproduce"]) == 130
    assert capsys.readouterr().err.strip() == "cinema: interrupted; what was finished is kept"


@pytest.mark.parametrize("returned, code", [(None, 0), (0, 0), (1, 1), (Path("masks"), 0)])
def test_only_a_whole_number_is_an_exit_code(returned, code, called):
    called.return_value = returned
    assert cli.main(["reproduce"]) == code


def test_options_arrive_by_name(called):
    words = ["--only", "02", "--only", "03", "--from", "02", "--jobs", "2", "--seed", "7"]
    assert cli.main(["reproduce", *words]) == 0
    chosen = dict(only=["02", "03"], first="02", jobs=2, seed=7)
    called.assert_called_with(profile="laptop", data="virtual", data_root=None, force=False, out=None, **chosen)
    assert (
        cli.main(["segment", __file__, "--out", "masks", "--view", "sax", "--weights", "a/b@main:segmentation/c:1"])
        == 0
    )
    one_model = "a/b@main:segmentation/c:1"
    chosen = dict(view="sax", device="cpu", weights=one_model, dicom_seg=False)
    called.assert_called_with(input=[__file__], out="masks", jobs=1, **chosen)
    assert cli.main(["segment", __file__, ".", "--out", "masks", "--jobs", "2"]) == 0
    assert called.call_args.kwargs["input"] == [__file__, "."] and called.call_args.kwargs["jobs"] == 2


def test_tests_take_pytest_arguments_and_a_golden_folder(monkeypatch, tmp_path, capsys):
    calls = []
    monkeypatch.setattr(cli.subprocess, "call", lambda command, **_: calls.append(command) or 5)
    assert cli.main(["test", "--golden", str(tmp_path), "-k", "layout", "-x"]) == 5
    assert calls[0][1:] == ["-m", "pytest", f"--golden={tmp_path.resolve()}", "-k", "layout", "-x"]
    with pytest.raises(SystemExit):
        cli.main(["test", "--golden", str(tmp_path / "nowhere")])
    assert "nowhere does not exist" in capsys.readouterr().err


def test_the_words_that_options_take_are_those_of_the_parts(capsys):
    from cinema.data.inputs import DATASETS
    from cinema.training import nnunet
    from experiments import NAMES
    from experiments.own_weights import readers

    known = {
        "prepare {} .": DATASETS,
        "reproduce --data {}": ("virtual", *DATASETS),
        "experiment {}": NAMES,
        "train {}": readers.NAMES,
        "nnunet all {}": nnunet.NUMBERS,
        "nnunet all acdc --profile {}": nnunet.PROFILES,
    }
    for command, names in known.items():
        for name in names:
            cli.parse(command.format(name).split())
        with pytest.raises(SystemExit):
            cli.parse(command.format("another").split())
        listed = capsys.readouterr().err.split("choose from ")[1].split(";")[0]
        assert sorted(listed.split(", ")) == sorted(names)


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_device_that_is_not_there_is_said_before_anything_is_read(device, called, capsys):
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has such a device")
    assert cli.main(["finetune", "segmentation", "acdc", "--device", device]) == 2
    assert f"device {device} cannot be used here" in capsys.readouterr().err and not called.called


def test_a_path_outside_the_terminals_encoding_is_printed_all_the_same(called, capsys, monkeypatch, tmp_path):
    for encoding in ("cp1252", "ascii"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        called.side_effect = lambda **options: print(options["out"])
        out = str(tmp_path / "\U0001d4b3\udcff")
        assert cli.main(["segment", ".", "--out", out]) == 0
        stream.flush()
        assert stream.buffer.getvalue().decode(encoding).strip().endswith("\\U0001d4b3\\udcff")


def test_the_installed_script_is_this_command_line():
    project = (Path(cli.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'cinema = "cinema.cli:main"' in project
