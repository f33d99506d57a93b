"""`python3 -m cinema COMMAND`: makes the environment where needed, then runs the command inside it.

Standard library only, and readable by older Pythons, so that they fail with a sentence. In a clone it keeps `.venv`:
requirements.txt under constraints.txt, and the package itself. `.venv/cinema-key` says for which files and folder that
was done; it reads "unfinished" while `.venv` is being made, so that a half-made one is made anew. A `.venv` that is a
link to another clone's stays that clone's: the link is taken away, and this clone makes its own.
An active environment that already holds every requirement is used as it is, and so is any with CINEMA_NO_VENV=1.
"""

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
KEY = VENV / "cinema-key"
PINS = ("requirements.txt", "constraints.txt")
UNFINISHED = "unfinished"
SAY_S = 10.0
VERSION = "%d.%d" % sys.version_info[:2]
# Of glibc: memory of arrays is kept for the next ones instead of being given back, which costs a reading a fifth of its
# time in page faults. By the number that mallopt knows each by; bytes.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": (-3, 32 << 20), "MALLOC_TRIM_THRESHOLD_": (-1, 512 << 20)}
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "Network is unreachable")


def main():
    """Run the command line in the right environment; never returns."""
    try:
        if sys.version_info < (3, 11):
            fail("this is Python %d.%d; cinema needs 3.11 or newer: python3.11 -m cinema ..." % sys.version_info[:2])
        from cinema import cli

        name, _ = cli.parse(sys.argv[1:])  # what is wrong with the command is said first: it needs no packages
        if name == "doctor" and not (is_usable() and read_key() == wanted_key()):
            sys.exit(cli.main())  # it looks at what is there, and changes nothing
        keep_memory()
        if not is_ready():
            set_up()
            if not is_inside():
                command = [str(PYTHON), "-m", "cinema", *sys.argv[1:]]
                if os.name == "nt":  # Windows' exec returns to the shell before the command has ended
                    sys.exit(subprocess.call(command))
                os.execv(command[0], command)
        sys.exit(cli.main())
    except ModuleNotFoundError as error:
        fail(f"package {error.name} is not in {sys.prefix}; install requirements.txt there, or unset CINEMA_NO_VENV")
    except (OSError, UnicodeError) as error:  # a checkout that is another's, read-only or not whole
        reason = f"cannot set up {VENV} ({error})"
        fail(f"{reason}; work in a clone of your own, or use an environment that has all with CINEMA_NO_VENV=1")
    except KeyboardInterrupt:
        print("\ncinema: interrupted; the same command takes it up again", file=sys.stderr)
        sys.exit(130)


def keep_memory():
    """Apply MALLOC to this process and those it starts, where the C library knows it and the caller has not chosen."""
    for name, (number, size) in MALLOC.items():
        if name not in os.environ:
            os.environ[name] = str(size)
            with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
                ctypes.CDLL(None).mallopt(number, size)


def is_ready():
    """True if this interpreter has all it needs, or is to be used as it is."""
    if os.environ.get("CINEMA_NO_VENV") == "1" or not (ROOT / "requirements.txt").exists():
        return True  # without requirements.txt this is an installed package, not a clone
    return read_key() == wanted_key() if is_inside() else not missing_packages(metadata.version)


def is_inside():
    return VENV.exists() and os.path.samefile(sys.prefix, str(VENV))


def missing_packages(version_of):
    """Names in requirements.txt that are not installed in a version that constraints.txt names. version_of: name ->
    version, raising importlib.metadata.PackageNotFoundError."""
    wanted, pins = ((ROOT / name).read_text(encoding="utf-8") for name in PINS)
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", pins, re.MULTILINE)
    pinned = {(name.replace("_", "-").lower(), version) for name, version in pinned}
    missing = []
    # A line with a marker (;) is for some machines only, and nothing but a test needs it.
    for name in re.findall(r"^([\w.-]+)[^;#\n]*(?:#.*)?$", wanted, re.MULTILINE):
        try:
            version = version_of(name).split("+")[0]  # 2.13.0+cpu is a build of 2.13.0
        except metadata.PackageNotFoundError:
            version = None
        if (name.replace("_", "-").lower(), version) not in pinned:
            missing.append(name)
    return missing


def wanted_key():
    """Hash of everything .venv depends on."""
    parts = [(ROOT / name).read_text(encoding="utf-8") for name in (*PINS, "pyproject.toml")]
    return hashlib.sha256(os.fsencode("\0".join([str(ROOT), VERSION, *parts]))).hexdigest()


def read_key(line=0):
    """What .venv was made from; line 1: the folder that it was set up for. None if that is not written down."""
    lines = KEY.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if KEY.exists() else []
    return lines[line] if line < len(lines) else None


def is_usable():
    """True if .venv was made completely, with the running version of Python."""
    made_with = VENV / "pyvenv.cfg"
    text = made_with.read_text(encoding="utf-8") if made_with.exists() else ""
    version = re.search(r"^version\w* *= *(\d+\.\d+)", text, re.MULTILINE)
    return PYTHON.exists() and read_key() != UNFINISHED and version and version[1] == VERSION


def set_up():
    """Bring .venv up to date with this version of Python; nothing to do where its key is right."""
    if is_usable() and read_key() == wanted_key():
        return
    start = time.monotonic()
    if VENV.is_symlink() and KEY.exists() and read_key() != wanted_key() and read_key(1) != str(ROOT):
        say(f".venv is a link to {os.path.realpath(str(VENV))}, which another clone uses; leaving that one as it is")
        VENV.unlink()
    whole = is_usable()
    if whole:
        KEY.touch()  # a folder that cannot be written is said before anything else
    else:
        if is_inside():
            fail(".venv is half made; run the same command with the Python outside it")
        shutil.rmtree(str(VENV), ignore_errors=True)
        VENV.mkdir(exist_ok=True)
        KEY.write_text(UNFINISHED, encoding="utf-8")
    say("setting up .venv; the first time takes a few minutes and about 2 GB")
    if not whole:
        run([sys.executable, "-m", "venv", str(VENV)], "no .venv (on Debian or Ubuntu, install python3-venv)")
    pip = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    run([*pip, "-r", "requirements.txt", "-c", "constraints.txt"], "packages not installed")
    run([*pip, "--no-deps", "--no-build-isolation", "-e", "."], "cinema itself not installed")
    KEY.write_text(f"{wanted_key()}\n{ROOT}\n", encoding="utf-8", errors="surrogateescape")
    say(f"environment ready after {time.monotonic() - start:.0f} s")


def run(command, trouble):
    """Run a command; its latest line is shown, on a terminal in place, elsewhere every SAY_S seconds. If it fails, say
    `trouble` and its first error."""
    lines, said = [], time.monotonic()
    place = {"cwd": str(ROOT), "env": dict(os.environ, PYTHONUNBUFFERED="1")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    with subprocess.Popen(command, **place, **pipes) as process:
        try:
            for line in process.stdout:
                lines.append(line.strip())
                if sys.stderr.isatty():
                    print("\r\033[K  " + lines[-1][:76], end="", file=sys.stderr, flush=True)
                elif time.monotonic() - said > SAY_S:
                    say(lines[-1][:100])
                    said = time.monotonic()
        except BaseException:
            process.kill()
            raise
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if process.returncode:
        if any(sign in line for line in lines for sign in NO_NETWORK):
            trouble += "; no network: connect once, or use an environment that has them with CINEMA_NO_VENV=1"
        errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
        fail(trouble + "".join(f" ({line})" for line in errors[:1]))


def say(text):
    print(f"cinema: {text}", file=sys.stderr, flush=True)


def fail(text):
    """One line on stderr, exit code 2."""
    say(text)
    sys.exit(2)


if __name__ == "__main__":
    main()
