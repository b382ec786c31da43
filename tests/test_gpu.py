"""The Triton kernels: on the CPU in Triton's interpreter, each against scan(), and compiled for GPUs that are not here.

The interpreter runs programs one after another, so states are exchanged there with a grid of one program: two would wait for each
other for ever. What needs a GPU is in test_cells.py, and skipped where there is none.
"""

import multiprocessing
import os
import subprocess
import sys

import pytest
import torch

if sys.platform != "linux":
    pytest.skip("triton is for Linux", allow_module_level=True)
if torch.cuda.is_available():
    pytest.skip("a GPU is here: test_cells.py runs the kernels on it", allow_module_level=True)
os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined

from triton.runtime import interpreter

from unrolled import cells
from unrolled.kernels import choice, gpu, triton_loops

NAMES = ("gru", "gru_after", "lstm")
SWAP = gpu.Tiles(rows=16, units=64, inputs=16, swap=True, warps=4, launch=1000)
ALONE = gpu.Tiles(rows=16, units=64, inputs=16, swap=False, warps=4, launch=1000)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def results(go, cell, x, state, lengths):
    out, last = go(cell, cell.U, x, state, lengths)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    loss = (out.float() * weights).sum() + sum(s.float().square().sum() for s in last)
    return out, *last, *torch.autograd.grad(loss, [x, *state, *cell.parameters()])


def compare(name, shape, lengths=None, bias=True, dtype=torch.float32, tolerance=1e-5):
    B, T, I, H = shape  # noqa: E741
    cell = cells.CELLS[name](I, H, bias).to(dtype)
    x = torch.randn(B, T, I, dtype=dtype, requires_grad=True)
    state = tuple(torch.randn(B, H, dtype=dtype, requires_grad=True) for _ in range(cell.states))
    count = None if lengths is None else torch.tensor(lengths)
    for got, wanted in zip(*(results(go, cell, x, state, count) for go in (gpu.run, choice.scan)), strict=True):
        assert (got - wanted).abs().max() <= tolerance * wanted.abs().max().clamp(min=0.1)


@pytest.mark.parametrize("cut", [ALONE, SWAP], ids=["alone", "swap"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "lengths", "bias"),
    [
        ((3, 5, 4, 7), None, True),
        ((18, 4, 5, 40), None, False),
        ((6, 8, 3, 33), [8, 1, 3, 8, 5, 2], True),
        ((1, 1, 1, 1), None, True),
    ],
)
def test_a_kernel_is_scan(name, cut, shape, lengths, bias, monkeypatch):
    monkeypatch.setattr(gpu, "_cut", lambda batch, hidden, U: cut)
    compare(name, shape, lengths, bias)


@pytest.mark.parametrize("name", NAMES)
def test_in_half_precision_too(name):  # float16: the interpreter multiplies bfloat16 wrongly
    compare(name, (5, 6, 4, 24), [6, 2, 5, 1, 6], dtype=torch.float16, tolerance=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_too_large_for_one_launch_takes_several(name, monkeypatch):
    monkeypatch.setattr(gpu, "_cut", lambda batch, hidden, U: SWAP._replace(launch=16))
    compare(name, (37, 3, 4, 20), [1, 2, 3] * 12 + [2])


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_never_read(name):
    cell, lengths, found = cells.CELLS[name](3, 8), torch.tensor([4, 1, 3]), []
    clean = torch.randn(3, 4, 3)
    padded = (torch.arange(4) >= lengths.unsqueeze(1)).unsqueeze(-1)
    for junk in (0.0, float("nan")):
        x = clean.masked_fill(padded, junk).requires_grad_()
        out, _ = gpu.run(cell, cell.U, x, cells.start(cell, 3), lengths)
        found.append((out, *torch.autograd.grad(out.square().sum(), [x, *cell.parameters()])))
    for zeros, nans in zip(*found, strict=True):
        assert torch.equal(zeros, nans)


def test_the_check_of_first_use_finds_a_wrong_kernel(monkeypatch):
    device = torch.device("cpu")
    assert gpu.sound.__wrapped__(cells.GRU, device, torch.float32)
    right = triton_loops.gru_backward

    class Wrong:
        def __getitem__(self, grid):
            def go(**arguments):
                right[grid](**arguments)
                arguments["dA"].mul_(1.01)

            return go

    monkeypatch.setattr(triton_loops, "gru_backward", Wrong())
    assert not gpu.sound.__wrapped__(cells.GRU, device, torch.float32)


@pytest.mark.parametrize("batch", [1, 16, 17, 64, 200, 5000])
@pytest.mark.parametrize("hidden", [1, 64, 65, 128, 129, 500, 1024, 3000])
@pytest.mark.parametrize(("item", "processors", "shared"), [(2, 132, 232448), (4, 132, 232448), (2, 28, 101376), (4, 46, 101376)])
def test_programs_that_wait_for_each_other_all_run_at_once(batch, hidden, item, processors, shared):
    cut = gpu.tiles(batch, hidden, item, processors, shared)
    programs = -(-min(batch, cut.launch) // cut.rows) * -(-hidden // cut.units)
    assert cut.launch >= 1 and (not cut.swap or programs <= processors)
    assert cut.swap or cut.units >= hidden
    for size in (cut.rows, cut.units, cut.inputs):
        assert size >= 16 and size & (size - 1) == 0  # what tl.dot takes


KERNELS = ("gru_forward", "gru_backward", "gru_after_forward", "gru_after_backward", "lstm_forward", "lstm_backward")
COMPILE = """
import sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from unrolled.kernels import triton_loops
for name in sys.argv[1:]:
    for kind, capability, flags in (
        ("bf16", 90, dict(SWAP=True, BM=64, BN=16, BK=64)), ("fp32", 80, dict(SWAP=False, BM=16, BN=32, BK=16)),
    ):
        kernel = getattr(triton_loops, name)
        names = kernel.arg_names
        flags = {key: value for key, value in (flags | dict(KEEP=True, PRECISION="ieee")).items() if key in names}
        whole = dict.fromkeys("BTH", "i32") | dict.fromkeys(("lengths", "counter"), "*i32")
        signature = {n: "constexpr" if n in flags else whole.get(n, "*" + kind) for n in names}
        constants = {(names.index(n),): value for n, value in flags.items()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        options = {"num_warps": 4, "launch_cooperative_grid": flags["SWAP"]}
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
        print(name, kind, made.metadata.shared)
"""


def test_every_kernel_compiles_for_gpus(tmp_path):
    """To machine code, with the assembler that Triton carries; Python's own checks of a kernel happen only here."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    made = subprocess.run([sys.executable, "-c", COMPILE, *KERNELS], env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    sizes = [int(line.split()[-1]) for line in made.stdout.splitlines()]
    assert len(sizes) == 2 * len(KERNELS) and max(sizes) <= 101_376  # what the smallest of those GPUs has


class SideBySide:
    """A kernel whose programs for the same rows run at the same time, each in a process of its own, on shared memory.

    So they really wait for each other, and read what others stored.
    """

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def go(**arguments):
            tensors = {name: value for name, value in arguments.items() if isinstance(value, torch.Tensor)}
            shared = {name: value.clone().share_memory_() for name, value in tensors.items()}
            fork = multiprocessing.get_context("fork")
            programs = [(x, y) for x in range(grid[0]) for y in range(grid[1])]
            workers = [fork.Process(target=self.one, args=(grid, place, arguments | shared)) for place in programs]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(timeout=100)
                worker.kill()
            assert [worker.exitcode for worker in workers] == [0] * len(workers)
            for name, value in tensors.items():
                value.copy_(shared[name])

        return go

    def one(self, grid, place, arguments):
        builder = interpreter.interpreter_builder
        whole, at = builder.set_grid_dim, builder.set_grid_idx
        builder.set_grid_dim = lambda *_: whole(*grid, 1)
        builder.set_grid_idx = lambda *_: at(*place, 0)
        self.kernel[(1, 1)](**arguments)


@pytest.mark.parametrize("name", NAMES)
def test_programs_side_by_side_wait_for_each_other(name, monkeypatch):
    for kernel in KERNELS:
        monkeypatch.setattr(triton_loops, kernel, SideBySide(getattr(triton_loops, kernel)))
    monkeypatch.setattr(gpu, "_cut", lambda batch, hidden, U: gpu.Tiles(16, 16, 16, True, 4, 1000))
    compare(name, (18, 5, 4, 35), [1, 5, 3] * 6)  # two tiles of rows, three programs each
