"""The command line: every error a user can make is one line and code 2; Ctrl-C is one line and 130."""

import errno
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
        (["reproduse"], "choose from"),
        (["reproduce", "--sed", "3"], "reproduce does not know --sed 3"),
        (["reproduce", "--jobs", "many"], "invalid int value: 'many'"),
        (["segment", "study"], "required: --out"),
        (["reproduce", "--profile", "huge"], "profile 'huge' is unknown; choose from ci, laptop, paper"),
        (["reproduce", "--data", "acddc"], "data 'acddc' is unknown; choose from virtual"),
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
        (ModuleNotFoundError("No module named 'h5py'"), "install requirements.txt there"),
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
    assert cli.main(["reproduce", "--only", "02,03", "--from", "02", "--jobs", "2", "--seed", "7"]) == 0
    chosen = dict(only=["02", "03"], first="02", jobs=2, seed=7)
    called.assert_called_with(profile="laptop", data="virtual", data_root=None, force=False, out=None, **chosen)
    assert cli.main(["segment", "study", "--out", "masks", "--view", "sax"]) == 0
    called.assert_called_with(input="study", out="masks", view="sax", device="cpu", weights=None)


def test_tests_take_pytest_arguments_and_a_golden_folder(monkeypatch, tmp_path, capsys):
    calls = []
    monkeypatch.setattr(cli.subprocess, "call", lambda command, **_: calls.append(command) or 5)
    assert cli.main(["test", "--golden", str(tmp_path), "-k", "layout", "-x"]) == 5
    assert calls[0][1:] == ["-m", "pytest", f"--golden={tmp_path.resolve()}", "-k", "layout", "-x"]
    assert cli.main(["test", "--golden", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_the_installed_script_is_this_command_line():
    project = (Path(cli.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'cinema = "cinema.cli:main"' in project
