"""The training loop: its arithmetic, its seeds, and what it leaves behind when things go wrong."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from cinema import files
from cinema.data.loaders import StudyFrames
from cinema.data.study import load_study, save_study
from cinema.data.transforms import SEGMENTATION
from cinema.models import weights
from cinema.models.standard import Standard, standardising
from cinema.terms import STRUCTURES
from cinema.training import checkpoint, recipe
from cinema.training.loop import PAPER, TrainConfig, fit, in_steps
from cinema.training.tasks import TASKS

CONFIG = TrainConfig(epochs=3, warmup_epochs=1, batch_size=4, micro_batch_size=2, learning_rate=1e-2)
TASK = TASKS["segmentation"]


@pytest.fixture
def sets(tmp_path):
    paths = tiny.write(tmp_path / "studies", n=4, views=("sax",), n_frames=3)
    return (
        StudyFrames(paths[:3], ("sax",), grid=tiny.GRID, augment=SEGMENTATION),
        StudyFrames(paths[3:], ("sax",), grid=tiny.GRID),
    )


def model(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return tiny.Pixelwise()


def run(sets, out, config=CONFIG, task=TASK, the_model=None):
    the_model = the_model or model()
    return fit(the_model, task, *sets, config, out), the_model


def bits(folder):
    """Everything a run leaves that must not depend on how it got there."""
    files = {name: weights.read(folder / f"{name}.safetensors") for name in ("last", "best")}
    tensors = {(name, key): value.numpy().tobytes() for name, state in files.items() for key, value in state.items()}
    history = (folder / "metrics.csv").read_text(encoding="utf-8")
    return tensors, weights.metadata_of(folder / "best.safetensors"), history


def at_call(n, act):
    """The segmentation task, whose loss calls `act` when it is called for the n-th time."""
    calls = count(1)

    def loss(the_model, batch):
        if next(calls) == n:
            act()
        return TASK.loss(the_model, batch)

    return replace(TASK, loss=loss)


def test_a_run_learns_and_says_what_it_was(sets, tmp_path):
    state = torch.get_rng_state()
    history, trained = run(sets, tmp_path / "out", replace(CONFIG, epochs=20))
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's random numbers were touched
    assert history.val_mean_dice.iloc[-1] > history.val_mean_dice.iloc[0] + 0.1
    assert list(history.epoch) == list(range(1, 21)) and history.loss.iloc[-1] < history.loss.iloc[0]
    facts = json.loads((tmp_path / "out" / "run.json").read_bytes())
    assert facts["finished"] and facts["what"]["seed"] == 0 and facts["seconds"] >= 0 and facts["versions"]["torch"]
    assert facts["threads"] == torch.get_num_threads() and facts["what"]["learning_rate"] == 1e-2
    assert sorted(os.listdir(tmp_path / "out")) == ["best.safetensors", "last.safetensors", "metrics.csv", "run.json"]
    best = weights.read(tmp_path / "out" / "best.safetensors")
    assert all(torch.equal(best[name], value) for name, value in trained.state_dict().items())
    assert weights.metadata_of(tmp_path / "out" / "best.safetensors")["mean_dice"] == history.val_mean_dice.max()


def test_runs_repeat_with_any_number_of_workers_and_seeds_differ(sets, tmp_path):
    for name, config in (("a", CONFIG), ("b", replace(CONFIG, num_workers=2)), ("c", replace(CONFIG, seed=1))):
        run(sets, tmp_path / name, config)
    assert bits(tmp_path / "a") == bits(tmp_path / "b") != bits(tmp_path / "c")


@pytest.mark.parametrize("calls", [1, 4, 9, 15])
def test_interrupted_and_resumed_equals_uninterrupted(sets, tmp_path, calls):
    run(sets, tmp_path / "whole")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="run the same again"):
        run(sets, tmp_path / "halves", task=at_call(calls, lambda: signal.raise_signal(signal.SIGINT)))
    assert signal.getsignal(signal.SIGINT) is handler and (tmp_path / "halves" / "resume.safetensors").exists()
    history, _ = run(sets, tmp_path / "halves")
    assert bits(tmp_path / "whole") == bits(tmp_path / "halves") and len(history) == 3


def test_a_killed_run_resumes_from_what_it_saved(sets, tmp_path):
    """Nothing is deferred off the main thread; save_seconds=0 saves after every step."""
    often, crash = replace(CONFIG, save_seconds=0), at_call(10, partial(pytest.fail, "killed"))
    run(sets, tmp_path / "whole")
    with ThreadPoolExecutor() as thread, pytest.raises(pytest.fail.Exception, match="killed"):
        thread.submit(run, sets, tmp_path / "halves", often, crash).result()
    assert not checkpoint.read_run(tmp_path / "halves")["finished"]
    run(sets, tmp_path / "halves", often)
    assert bits(tmp_path / "whole") == bits(tmp_path / "halves")


def test_a_finished_run_is_not_repeated(sets, tmp_path):
    first, trained = run(sets, tmp_path)
    again, loaded = run(sets, tmp_path, task=at_call(1, pytest.fail))
    assert again.equals(first)
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), loaded.parameters(), strict=True))


def other_data(paths):
    """Other numbers under the same name, of the same time."""
    stat, study = paths[0].stat(), load_study(paths[0])
    affine = study.views["sax"].affine.copy()
    affine[0, 3] += 1e-9
    save_study(replace(study, views={"sax": replace(study.views["sax"], affine=affine)}), paths[0].parent)
    os.utime(paths[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))


def frozen(net):
    net.layers[0].requires_grad_(False)
    return net


def less_dropout(net):
    net.layers[2].p = 0.2
    return net


def another_standard(net):
    return standardising(net, Standard({"sax": torch.zeros(1, 16, 16, 4)}, {"sax": torch.tensor(2.0)}))


SITUATIONS = {
    "learning_rate = 0.01, this one has 0.02": {"config": replace(CONFIG, learning_rate=0.02)},
    "initial_weights": {"the_model": lambda: model(seed=5)},
    "initial_weights = .* this one": {"the_model": lambda: frozen(model())},
    "initial_weights = .*": {"the_model": lambda: less_dropout(model())},
    "initial_weights = ": {"the_model": lambda: another_standard(model())},
    "code": {"code": "changed"},
    "task_settings": {"task": replace(TASK, summary=partial(TASK.summary, structures=STRUCTURES))},
    "training_data": {"touch": other_data},
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("message", SITUATIONS)
def test_another_run_in_the_same_folder_is_refused_whatever_differs(message, finished, sets, tmp_path, monkeypatch):
    run(sets, tmp_path)
    if not finished:
        facts = json.loads((tmp_path / "run.json").read_bytes()) | {"finished": False}
        (tmp_path / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    changes = dict(SITUATIONS[message])
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}
    if "code" in changes:
        monkeypatch.setattr(files, "code", partial(str, changes.pop("code")))
    if "touch" in changes:
        changes.pop("touch")([Path(sets[0].paths[0])])
        files._digest.cache_clear()  # as in the process of another day
    if "the_model" in changes:
        changes["the_model"] = changes["the_model"]()
    with pytest.raises(ValueError, match=f"holds a run with {message}.*choose another folder"):
        run(sets, tmp_path, **changes)
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}


def test_the_same_run_is_known_again_wherever_its_data_lie(sets, tmp_path):
    first, _ = run(sets, tmp_path / "run")
    shutil.move(tmp_path / "studies", tmp_path / "elsewhere")
    paths = sorted((tmp_path / "elsewhere").glob("*.h5"))
    moved = StudyFrames(paths[:3], ("sax",), grid=tiny.GRID, augment=SEGMENTATION)
    again = (moved, StudyFrames(paths[3:], ("sax",), grid=tiny.GRID))
    config = replace(CONFIG, save_seconds=1.0)  # settings that change no number may differ
    assert run(again, tmp_path / "run", config, at_call(1, pytest.fail))[0].equals(first)


def test_two_at_once_in_one_folder_are_refused(sets, tmp_path):
    meets = at_call(2, lambda: run(sets, tmp_path))
    with pytest.raises(BlockingIOError, match="another process is at work in"):
        run(sets, tmp_path, task=meets)
    assert len(run(sets, tmp_path)[0]) == 3


def test_micro_batches_sum_to_the_batch(sets, tmp_path):
    """Nine items in batches of four: the remainder of one counts, and splitting a batch changes rounding only."""

    def mean_over_items(the_model, batch):  # unlike Dice with its smoothing
        return torch.nn.functional.cross_entropy(the_model(batch["image"])["sax"], batch["label"]["sax"]), {}

    results = []
    for micro in (None, 3, 1):
        quiet = model()
        quiet.layers[2].p = 0.0  # dropout draws differ with the split
        config, task = replace(CONFIG, micro_batch_size=micro), replace(TASK, loss=mean_over_items)
        run(sets, tmp_path / str(micro), config, task, quiet)
        results.append(torch.cat([p.detach().flatten() for p in quiet.parameters()]))
    for result in results[1:]:
        torch.testing.assert_close(results[0], result, rtol=0, atol=2e-5)


def test_step_groups():
    config = TrainConfig(batch_size=64, micro_batch_size=4)
    kept, dropped = (recipe.step_groups(range(180), replace(config, drop_remainder=d)) for d in (False, True))
    assert [sum(map(len, step)) for step in kept] == [64, 64, 52] and len(kept[0]) == 16
    assert [sum(map(len, step)) for step in dropped] == [64, 64]  # the release's two steps of ACDC's 45 micro-batches
    halved = recipe.step_groups(range(20), replace(config, drop_remainder=True))
    assert [sum(map(len, step)) for step in halved] == [16]
    assert [index for step in kept for micro in step for index in micro] == list(range(180))


def test_length_in_steps(sets, tmp_path):
    config = in_steps(CONFIG, len(sets[0]), steps=7, warmup_steps=2, evaluate_every_steps=3)
    assert config.evaluate_every == 1 and config.epochs == pytest.approx(7 / 3)
    history, _ = run(sets, tmp_path / "7", replace(config, micro_batch_size=None), at_call(8, pytest.fail))
    assert len(history) == 3
    with pytest.raises(pytest.fail.Exception):
        run(sets, tmp_path / "6", replace(config, micro_batch_size=None), at_call(7, pytest.fail))


def test_late_linear_is_flat_and_then_straight_down():
    rates = [recipe.learning_rate(epoch, 0.1, 0.02, 4, 40, "late_linear") for epoch in (0, 2, 4, 20, 30, 35, 40)]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.1, 0.1, 0.06, 0.02])
    assert recipe.learning_rate(38, 0.1, 0.02, 36, 40, "late_linear") == pytest.approx(0.06)  # falls after warm-up


def test_a_run_follows_its_schedule(sets, tmp_path):
    history, _ = run(sets, tmp_path, replace(CONFIG, schedule="late_linear", epochs=4))
    first, *_, last = history.learning_rate
    assert first < 1e-2 and history.learning_rate[2] == 1e-2 and last < 1e-2
    with pytest.raises(ValueError, match="schedule"):
        run(sets, tmp_path, replace(CONFIG, epochs=4))


def test_everything_decays_where_asked_for_and_something_must_be_trainable():
    net = tiny.Pixelwise()
    (everything,) = recipe.parameter_groups(net, 0.01, decay_everything=True)
    assert len(everything["params"]) == 4 and everything["lr_scale"] == 1.0
    with pytest.raises(ValueError, match="no trainable parameter"):
        recipe.parameter_groups(net.requires_grad_(False), 0.05)


def test_patience():
    """Gains below min_delta do not move the reference but can add up to one that does."""
    reference, waited, seen = math.inf, 0, []
    for value in (1.0, 0.96, 0.92, 0.89, math.nan, 0.9):
        reference, waited = recipe.patience_left(value, reference, waited, 0.1)
        seen.append((reference, waited))
    assert seen == [(1.0, 0), (1.0, 1), (1.0, 2), (0.89, 0), (0.89, 1), (0.89, 2)]


def test_early_stopping_ends_the_run(sets, tmp_path):
    history, _ = run(sets, tmp_path, replace(CONFIG, epochs=30, min_delta=10.0, patience=2))
    assert len(history) == 3  # the first moves the reference from infinity; two more without a gain


def test_nan_losses_are_skipped_and_counted_and_an_epoch_of_them_is_an_error(sets, tmp_path):
    calls = count(1)

    def every(n, the_model, batch):
        loss, numbers = TASK.loss(the_model, batch)
        return (loss * math.nan if next(calls) % n == 0 else loss), numbers

    history, trained = run(sets, tmp_path / "third", task=replace(TASK, loss=partial(every, 3)))
    assert history.skipped.sum() == (next(calls) - 1) // 3 and np.isfinite(history.loss).all()
    assert all(p.isfinite().all() for p in trained.parameters())
    with pytest.raises(ValueError, match="every loss of epoch 1 was NaN or infinite; lower learning_rate"):
        run(sets, tmp_path / "all", task=replace(TASK, loss=partial(every, 1)))


FULL_DISK = """
import resource, sys
sys.path[:0] = sys.argv[2:]
from test_loop import *
paths = sorted(Path(sys.argv[1], "studies").glob("*.h5"))
sets = StudyFrames(paths[:3], ("sax",), grid=tiny.GRID), StudyFrames(paths[3:], ("sax",), grid=tiny.GRID)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    fit(model(), TASK, *sets, CONFIG, Path(sys.argv[1], "out"))
except OSError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_gives_one_line_and_leaves_earlier_files(sets, tmp_path):
    """A limit on file size stands in for the full disk: the weights do not fit."""
    pytest.importorskip("resource", reason="this system has no limit on file sizes to test with")
    out = tmp_path / "out"
    out.mkdir()
    (out / "best.safetensors").write_bytes(b"earlier")
    here = Path(__file__).parent
    command = [sys.executable, "-c", FULL_DISK, tmp_path, here, here.parent, here.parents[1]]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and "best.safetensors could not be written" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (out / "best.safetensors").read_bytes() == b"earlier"
    assert sorted(os.listdir(out)) == ["best.safetensors", "run.json"]


def test_presets_and_refusals():
    assert set(TASKS) <= set(PAPER) and PAPER["pretraining"].layer_decay is None
    assert PAPER["segmentation"].layer_decay == 0.75 and PAPER["landmark_heatmap"].micro_batch_size == 32
    for field, value, message in (
        ("batch_size", 0, "batch_size is 0; it must be positive"),
        ("warmup_epochs", 20, "warmup_epochs is 20; it must be less than epochs"),
        ("schedule", "step", "schedule is 'step'; choose one of cosine, late_linear"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainConfig(**{field: value})
