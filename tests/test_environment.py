"""Set-up: what `python3 -m cinema` does before any package is there, and the files it relies on."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata

import nibabel as nib
import numpy as np
import pytest
import yaml
from places import ROOT

from cinema import __main__

FILES = ("requirements.txt", "constraints.txt", "pyproject.toml")


REQUIRED, PINNED, _ = ((ROOT / name).read_text(encoding="utf-8") for name in FILES)


def packages(text):
    """Names at the head of the lines of a requirements file."""
    return {word.lower().replace("_", "-") for word in re.findall(r"^[\w.-]+", text, re.MULTILINE)}


def made_venv(folder):
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / "pyvenv.cfg").write_text(f"version = {__main__.VERSION}.7\n", encoding="utf-8")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone whose set-up commands are recorded in `ran` instead of run; `venv` is made as a folder."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    venv, ran = tmp_path / ".venv", []

    def run(command, trouble):
        ran.append([str(word) for word in command])
        if command[2] == "venv":
            made_venv(venv)

    names = {"ROOT": tmp_path, "VENV": venv, "KEY": venv / "cinema-key", "PYTHON": venv / "bin" / "python"}
    for name, value in {**names, "ran": ran, "run": run}.items():
        monkeypatch.setattr(__main__, name, value, raising=False)
    monkeypatch.delenv("CINEMA_NO_VENV", raising=False)
    return __main__


def test_a_fresh_clone_gets_an_environment_and_then_none_again(clone):
    clone.set_up()
    made, requirements, package = clone.ran
    assert made[1:3] == ["-m", "venv"]
    assert requirements[-4:] == ["-r", "requirements.txt", "-c", "constraints.txt"]
    assert package[-3:] == ["--no-build-isolation", "-e", "."]
    clone.set_up()
    assert len(clone.ran) == 3


@pytest.mark.parametrize(
    "file, text, steps",
    [
        ("requirements.txt", "numpy\n", ["pip", "pip"]),  # into the same environment
        (".venv/pyvenv.cfg", "version = 3.9.1\n", ["venv", "pip", "pip"]),  # of another Python: made anew
    ],
)
def test_what_has_changed_is_made_up_for(clone, file, text, steps):
    clone.set_up()
    (clone.ROOT / file).write_text(text, encoding="utf-8")
    clone.set_up()
    assert [command[2] for command in clone.ran[3:]] == steps


def test_a_half_made_environment_is_made_anew(clone, monkeypatch):
    works = clone.run

    def interrupted(command, trouble):
        works(command, trouble)
        if command[2] == "pip":
            raise KeyboardInterrupt

    monkeypatch.setattr(clone, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clone.set_up()
    (clone.VENV / "left over").touch()
    monkeypatch.setattr(clone, "run", works)
    clone.ran.clear()
    clone.set_up()
    assert [command[2] for command in clone.ran] == ["venv", "pip", "pip"]
    assert not (clone.VENV / "left over").exists() and clone.read_key() == clone.wanted_key()


def test_the_environment_of_another_clone_is_left_alone(clone, tmp_path_factory, capsys):
    other = tmp_path_factory.mktemp("other") / ".venv"
    made_venv(other)
    (other / "cinema-key").write_text("key\nfolder of the other\n", encoding="utf-8")
    clone.VENV.symlink_to(other, target_is_directory=True)
    clone.set_up()
    assert not clone.VENV.is_symlink() and [command[2] for command in clone.ran] == ["venv", "pip", "pip"]
    assert (other / "cinema-key").read_text(encoding="utf-8") == "key\nfolder of the other\n"
    assert "which another clone uses; leaving that one as it is" in capsys.readouterr().err
    assert clone.read_key(1) == str(clone.ROOT)


def test_an_environment_that_has_everything_is_used_as_it_is(clone, monkeypatch):
    versions = {"numpy": "2.1", "torch": "2.13.0+cpu"}
    required = "# why\nnumpy  # arrays; and more\ntorch>=2.6\nPyYAML\nsksurv; sys_platform == 'linux'  # a test's\n"
    pinned = "numpy==2.0 ; python_version < '3.12'\nnumpy==2.1\ntorch==2.13.0\npyyaml==6.0\n"
    for file, text in zip(FILES, (required, pinned)):
        (clone.ROOT / file).write_text(text, encoding="utf-8")

    def version_of(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    assert clone.missing_packages(version_of) == ["PyYAML"]
    versions["PyYAML"] = "6.0"
    assert clone.missing_packages(version_of) == []
    versions["numpy"] = "1.0"
    assert clone.missing_packages(version_of) == ["numpy"]
    monkeypatch.setattr(clone.metadata, "version", version_of)
    assert not clone.is_ready()
    monkeypatch.setenv("CINEMA_NO_VENV", "1")
    assert clone.is_ready()


def test_what_is_wrong_with_a_command_is_said_before_any_set_up(clone, monkeypatch, capsys):
    for words, code in ((["reproduse"], 2), (["segment", "nowhere", "--out", "x"], 2), (["--version"], 0), ([], 2)):
        monkeypatch.setattr(sys, "argv", ["cinema", *words])
        with pytest.raises(SystemExit) as end:
            clone.main()
        assert end.value.code == code and not clone.ran
    bare = [sys.executable, "-S", "-m", "cinema", "reproduce", "--seed", "-1"]  # an interpreter without packages
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 2 and "--seed: -1 is not" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_a_checkout_that_cannot_be_written_is_one_line(error, clone, monkeypatch, capsys):
    def refused(*_, **__):
        raise error

    monkeypatch.setattr(sys, "argv", ["cinema", "info"])
    monkeypatch.setattr(clone.metadata, "version", lambda name: "0")  # nothing here is what is required
    monkeypatch.setattr(clone.Path, "mkdir", refused)
    fails_in_one_line("work in a clone of your own", capsys, clone.main)


def test_a_checkout_that_lacks_files_is_one_line(clone, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cinema", "info"])
    (clone.ROOT / "constraints.txt").unlink()
    fails_in_one_line("constraints.txt", capsys, clone.main)


def test_a_folder_of_any_name_can_be_a_clone(clone, monkeypatch):
    monkeypatch.setattr(clone, "ROOT", clone.ROOT / "\U0001d4b3\udcff")
    shutil.copytree(clone.KEY.parent.parent, clone.ROOT)
    clone.set_up()
    assert clone.read_key() == clone.wanted_key() and clone.read_key(1) == str(clone.ROOT)


def fails_in_one_line(words, capsys, function, *arguments):
    with pytest.raises(SystemExit) as end:
        function(*arguments)
    errors = capsys.readouterr().err
    assert end.value.code == 2 and words in errors and len(errors.splitlines()) == 1


def test_an_old_python_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    fails_in_one_line("this is Python 3.10; cinema needs 3.11 or newer", capsys, __main__.main)


@pytest.mark.parametrize(
    "output, words",
    [
        ("ERROR: No space left on device", "no luck (ERROR: No space left on device)"),
        ("WARNING: Retrying: NewConnectionError\nERROR: No matching distribution", "no network: connect once"),
    ],
)
def test_a_failing_step_is_one_line_with_its_reason(output, words, capsys):
    command = [sys.executable, "-c", f"print({output!r}); raise SystemExit(1)"]
    fails_in_one_line(words, capsys, __main__.run, command, "no luck")


@pytest.mark.parametrize("name", ["__main__.py", "__init__.py"])
def test_set_up_needs_only_the_standard_library_and_parses_on_old_pythons(name):
    tree = ast.parse((ROOT / "cinema" / name).read_text(encoding="utf-8"), feature_version=(3, 8))
    top = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    top |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert top <= set(sys.stdlib_module_names) | {"cinema"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone knows these settings")
@pytest.mark.parametrize("chosen, kept", [({}, True), (dict.fromkeys(__main__.MALLOC, "65536"), False)])
def test_memory_of_arrays_is_kept_unless_the_caller_chose_otherwise(chosen, kept):
    code = (
        "import os, resource; from cinema import __main__; __main__.keep_memory(); import numpy as np\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults(); [np.ones(1 << 16).sum() for _ in range(1000)]\n"
        "print(faults() - before, *(os.environ[name] for name in __main__.MALLOC))"
    )
    env = {name: value for name, value in os.environ.items() if name not in __main__.MALLOC}
    told = subprocess.run(
        [sys.executable, "-c", code], env=env | chosen, cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    faults, *values = told.stdout.split()
    assert values == [chosen.get(name, str(size)) for name, (_, size) in __main__.MALLOC.items()], told.stderr
    assert (int(faults) < 10_000) == kept  # 1,000 arrays of 128 pages


def test_every_requirement_is_pinned_and_installed():
    assert packages(REQUIRED) <= packages(PINNED)
    assert not __main__.missing_packages(metadata.version)


def test_pins_keep_to_what_others_can_work_with():
    pins = dict(re.findall(r"^([\w.-]+)==([\d.]+)", PINNED, re.MULTILINE))
    numbers = {name: tuple(int(part) for part in version.split(".")[:3]) for name, version in pins.items()}
    assert (1, 0, 15) <= numbers["timm"] < (1, 0, 23)  # nnU-Net
    assert numbers["pandas"] < (3,)  # lifelines
    assert numbers["matplotlib"] < (3, 13)  # seaborn
    assert not re.search(r"https?:|--\w*index|find-links", PINNED)


def test_conda_environment_leads_to_the_same_files():
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    pip = next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict))
    assert {"-r requirements.txt", "-c constraints.txt"} <= set(pip)
    wanted = {"jupyterlab", "papermill", "torch", "timm", "matplotlib", "seaborn", "lifelines", "statsmodels"}
    assert wanted <= packages(REQUIRED)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder with the package as a wheel brings it, and nothing of the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "cinema", source / "cinema", ignore=shutil.ignore_patterns("__pycache__", "*.part"))
    for name in (*FILES, "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("cinema-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    wanted = {path.relative_to(source).as_posix() for path in (source / "cinema").rglob("*") if path.is_file()}
    assert wanted <= set(archive.namelist())
    return folder / "site-packages"


def outside(installed, folder, *arguments):
    """A finished Python process with the installed package, in a folder that has nothing to do with the clone."""
    settings = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "CINEMA_DATA": str(folder / "data")}
    place = {"cwd": folder, "env": os.environ | settings}
    return subprocess.run([sys.executable, *arguments], **place, capture_output=True, encoding="utf-8")


def listing(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.slow
def test_an_installed_package_knows_its_datasets_weights_and_models(installed, tmp_path):
    before = listing(installed)
    told = outside(installed, tmp_path, "-m", "cinema", "info")
    assert told.returncode == 0 and "acdc" in told.stdout, told.stderr
    nib.save(nib.Nifti1Image(disc(), np.diag([1.5, 1.5, 10.0, 1.0])), tmp_path / "sax.nii.gz")
    read = outside(installed, tmp_path, "-m", "cinema", "segment", "sax.nii.gz", "--view", "sax", "--out", "read")
    assert read.returncode == 0 and (tmp_path / "read" / "report.html").exists(), read.stderr
    code = "import cinema; from cinema.models import small; model, standard = small.shipped_cinema();"
    code += "print(cinema.__file__, isinstance(model, cinema.CineMA))"
    model = outside(installed, tmp_path, "-c", code)
    assert model.stdout.split() == [str(installed / "cinema" / "__init__.py"), "True"], model.stderr
    assert listing(installed) == before


@pytest.mark.parametrize(
    "command", ["reproduce", "test", "train reader_sax", "experiment labels", "expected", "notebooks --sync"]
)
def test_what_needs_a_clone_says_so_in_one_line(installed, tmp_path, command):
    done = outside(installed, tmp_path, "-m", "cinema", *command.split())
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"python3 -m cinema {command.split()[0]} needs" in done.stderr and "git clone" in done.stderr


def disc():
    """(x, y, z, t) of a bright heart that shrinks, as good as nothing of a picture."""
    x, y = np.mgrid[:96, :96] - 48
    radii = 16 - 5 * np.sin(np.linspace(0, np.pi, 4))
    frames = [np.where(np.hypot(x, y) < r, 200, np.where(np.hypot(x, y) < r + 7, 60, 110)) for r in radii]
    return np.stack([np.stack(frames, -1)] * 6, axis=2).astype(np.int16)


def test_a_long_command_says_where_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(__main__, "SAY_S", 0.0)
    __main__.run([sys.executable, "-c", "print('Collecting torch')"], "not installed")
    assert capsys.readouterr().err == "cinema: Collecting torch\n"
    with pytest.raises(SystemExit):
        __main__.run([sys.executable, "-c", "print('ERROR: no space'); raise SystemExit(1)"], "not installed")
    assert capsys.readouterr().err.endswith("cinema: not installed (ERROR: no space)\n")
