"""What training a model costs, before it is trained: memory, operations, seconds of a step.

Memory and operations are counted, not guessed: one item goes forward and backward, on torch's meta device where that
is possible (shapes only, no memory, about a second for the largest model).
"""

import weakref
from dataclasses import dataclass
from time import perf_counter

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from cinema.training.task import private_seeds, to_device

GPU = ("NVIDIA A100", 312e12, 0.3)  # name, peak bf16 operations a second, share of it that training reaches (assumed)
LONGEST_SECONDS = 30.0  # of a measurement; beyond that the speed of one convolution has to do
PATIENT_SECONDS = 5.0  # a pass that took longer is not repeated
ADAMW_BYTES = 8  # two states of four bytes per trainable number


@dataclass(frozen=True)
class Cost:
    """What one item asks for: trainable and total numbers of the model, bytes alive at the peak beside weights and
    gradients, floating-point operations of forward and backward pass."""

    trainable: int
    total: int
    activation_bytes: int
    operations: float

    def bytes_needed(self, micro_batch):
        """{what: bytes} of a training step with this many items at a time, in float32."""
        return {
            "weights": 4 * self.total,
            "gradients": 4 * self.trainable,
            "AdamW": ADAMW_BYTES * self.trainable,
            "activations": micro_batch * self.activation_bytes,
        }


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors made inside this context: `now` and, at most, `peak`."""

    def __init__(self, present=()):
        """present: tensors that exist already and do not count."""
        super().__init__()
        self.now = self.peak = 0
        self._seen = weakref.WeakSet(tensor.untyped_storage() for tensor in present)

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage):
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size):
        self.now -= size


def cost_of(model, batch, loss):
    """Cost of a model from one forward and backward pass over a batch of one item.

    batch: as a tasks.Task takes it, on the model's device; loss: (model, batch) -> scalar tensor.
    """
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    model.train()
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else None  # those of earlier micro-batches are there already
    present = [x for p in model.parameters() for x in (p, p.grad) if x is not None] + list(model.buffers())
    with FlopCounterMode(display=False) as operations, Alive(present) as alive:
        loss(model, batch).backward()
    model.zero_grad(set_to_none=True)
    return Cost(trainable, total, alive.peak, float(operations.get_total_flops()))


def output_loss(model, batch):
    """A scalar of a model's output, for the meta device, where the losses of tasks cannot say their numbers."""
    output = model(batch["image"])
    return sum(x.float().square().mean() for x in (output.values() if isinstance(output, dict) else [output]))


def step_seconds(model, task, batch, n_items, device, repeats=2):
    """Seconds of an optimiser step over n_items, measured: the batch goes forward and backward, the faster of repeats.

    The model and the batch are moved to `device`; mixed precision as in train.fit.
    """
    on_cuda = torch.device(device).type == "cuda"
    model, batch, taken = model.to(device).train(), to_device(batch, device), []
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)
    share = n_items / len(next(iter(batch["image"].values())))
    with private_seeds(device):
        torch.manual_seed(0)
        while len(taken) < repeats and sum(taken) < share * PATIENT_SECONDS:
            start = perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=on_cuda):
                loss, _ = task.loss(model, batch)
            loss.backward()
            pause = _synchronised(on_cuda)
            optimiser.step()
            taken.append((pause - start) * share + _synchronised(on_cuda) - pause)
            optimiser.zero_grad()
    return min(taken)


def _synchronised(on_cuda):
    if on_cuda:
        torch.cuda.synchronize()
    return perf_counter()


def speed(device):
    """Operations a second of a convolution forward and backward on this device, measured in about a second."""
    image = torch.rand(1, 32, 48, 48, 8, device=device, requires_grad=True)
    conv, taken = torch.nn.Conv3d(32, 32, 3, padding=1, device=device), []
    for _ in range(3):
        start = perf_counter()
        conv(image).sum().backward()
        taken.append(perf_counter() - start)
    return 3 * 2 * 32 * 32 * 27 * 48 * 48 * 8 / min(taken)


def free_bytes(device):
    """Memory that is free on a device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def on_named_gpu(operations):
    """(seconds, how it was estimated) on GPU, which is not here."""
    name, peak, share = GPU
    return operations / (peak * share), (
        f"assumed: {name} at {share:.0%} of its {peak / 1e12:.0f} TFLOP/s in bf16; not measured"
    )
