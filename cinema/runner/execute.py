"""Executes one notebook: papermill in a process of its own, the page made from it, and what to say when it fails."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import nbformat

from cinema.files import ROOT, alone, write_text
from cinema.parallel import end_family
from cinema.results import read_json, write_json
from cinema.runner.for_data import VIRTUAL, for_data
from cinema.runner.pages import notebook_page

# The first two are torch's (of MKL it takes the number of threads). numpy's matrices are small here: a second thread
# costs more than it gives (three times as long, measured on the probes of notebook 08), and the last digit would depend
# on the cores.
THREADS, ALONE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS"), ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# Papermill, whose kernel and workers end with it, that ends with us: also where we are killed.
PAPERMILL = """import sys
from cinema.parallel import end_with
end_with(int(sys.argv.pop(1)))
from papermill.__main__ import papermill
papermill()"""
WAIT_S = 60  # for a record that another run is writing


class Executor:
    """Runs notebooks into `folder` with the given parameters; leaving the `with` block ends all it has started.
    threads: computing threads of each notebook. titles: name -> heading of all notebooks."""

    def __init__(self, folder, parameters, threads, titles):
        self.folder, self.parameters, self.threads, self.titles = folder, parameters, threads, titles
        self.processes, self.lock = set(), threading.Lock()

    def __enter__(self):
        (self.folder / "figures" / "results").mkdir(parents=True, exist_ok=True)
        self.held = ExitStack()
        self.held.enter_context(alone(self.folder))
        self.environment = environment(self.folder / ".jupyter", self.threads)
        # Signals that ask to end, beside Ctrl-C; none outside the main thread, where Python takes no handlers.
        asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        asked = asked if threading.current_thread() is threading.main_thread() else []
        self.handlers = {number: signal.signal(number, signal.default_int_handler) for number in asked}
        return self

    def __exit__(self, *_):
        for process in list(self.processes):
            end_family(process.pid)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.held.close()

    def execute(self, name, path):
        """Run one notebook; True if it succeeded. Prints the failing cell otherwise and keeps the partial notebook."""
        try:
            return self.run(name, path)
        except (OSError, ValueError) as error:  # a full disk, most likely; or a page not to be made for the dataset
            print(f"{name} failed: {error}", flush=True)
            return False

    def run(self, name, path):
        start, figures = time.monotonic(), self.folder / "figures"
        partial, finished = (self.folder / f"{name}{end}.ipynb" for end in (".partial", ""))
        earlier = [*figures.glob(f"{name[:2]}_*"), figures / "results" / f"{name}.json", partial]
        for left in earlier:
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        source, data = path, self.parameters.get("data", VIRTUAL)
        if data != VIRTUAL:
            source = self.folder / f".{name}.source.ipynb"
            nbformat.write(for_data(nbformat.read(path, 4), data, name[:2]), source)
        code, log = self.papermill(source, partial, path.parent)
        if code != 0:
            print(describe_failure(name, partial, log), flush=True)
            return False
        write_text(finished.with_suffix(".html"), notebook_page(nbformat.read(partial, 4), name, self.titles))
        os.replace(partial, finished)
        with self.lock, alone(self.folder.parent, WAIT_S):  # report/times.json: run -> notebook -> seconds
            kept = self.folder.parent / "times.json"
            times = read_json(kept, {})
            times.setdefault(self.folder.name, {})[name] = round(time.monotonic() - start, 1)
            write_json(kept, times)
        return True

    def papermill(self, path, partial, folder):
        """(exit code, lines it printed) of papermill run in `folder`; on a terminal its cell count is shown."""
        # Saved every half minute and at the end, also of a failure, but not around each cell: with dozens of figures
        # that takes two seconds.
        options = "--kernel python3 --language python --progress-bar --no-request-save-on-cell-execute".split()
        begin = [sys.executable, "-c", PAPERMILL, str(os.getpid())]
        command = [*begin, str(path), str(partial), "--cwd", str(folder), *options]
        command += ["--parameters_yaml", json.dumps(self.parameters)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        text = {"encoding": "utf-8", "errors": "replace"}
        # Its own session: Ctrl-C is ours to deal with.
        process = subprocess.Popen(command, env=self.environment, start_new_session=True, **pipes, **text)
        self.processes.add(process)
        log = []
        for line in process.stdout:  # the progress bar's carriage returns end lines too
            if match := re.search(r"Executing:.* (\d+)/(\d+) \[", line):
                if sys.stdout.isatty():
                    print(f"\033[K  {partial.name.split('.')[0]}: cell {match[1]} of {match[2]}", end="\r", flush=True)
            else:
                log.append(line.rstrip())
        code = process.wait()
        print("\033[K" * sys.stdout.isatty(), end="")
        self.processes.discard(process)
        return code, log


def environment(jupyter, threads):
    """Environment of a notebook: this Python as kernel, this package, this many threads; nothing of the user's own."""
    kernel = jupyter / "kernels" / "python3"
    kernel.mkdir(parents=True, exist_ok=True)
    start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    write_json(kernel / "kernel.json", {"argv": start, "display_name": "Python 3", "language": "python"})
    ours = {"JUPYTER_PATH": str(jupyter), "IPYTHONDIR": str(jupyter / "ipython"), "PYTHONPATH": str(ROOT)}
    ours |= {"PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    ours |= {"OMP_WAIT_POLICY": "PASSIVE"}  # spinning threads starve each other on a busy machine
    ours |= dict.fromkeys(THREADS, str(threads)) | dict.fromkeys(ALONE, "1")
    return {name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | ours


def describe_failure(name, partial, log):
    """The failing cell and its traceback; the end of papermill's log where no cell failed."""
    cells = nbformat.read(partial, 4).cells if partial.exists() else []
    for cell in cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
                return f"{name} failed in this cell:\n\n{cell.source}\n\n{trace}\n\nPartial notebook: {partial}"
    if any("DeadKernelError" in line for line in log):
        return f"{name} failed: its kernel died, most often for want of memory. Partial notebook: {partial}"
    return f"{name} failed outside its cells:\n" + "\n".join(log[-12:])
