"""The lecture's GRU, its other form and the LSTM over time on a GPU, in Triton: one launch for all steps.

A program owns BN hidden units of BM rows and runs through time. Where one program owns all units (small H) its U stays on the
chip and nothing is exchanged. Else the programs of the same rows hand each other what they computed through a buffer in
global memory, with a barrier after it; that is safe only while all of them run at once: a cooperative launch of no more programs
than the GPU has multiprocessors. The lecture's GRU exchanges twice a step (h, then r∘h), the others once.

    A       (B, T, G·H) on entry W x + b; after the forward kernel the gates, which the backward kernel reads
    h, out  (B, H), (B, T, H); lengths (B) or all T
    U       (G·H, H)
    swap    room for what is exchanged, counter (row tiles) zeros
Sums and states are float32, products take what U is stored in. Letters as in cells.py, shapes in comments.
"""

from __future__ import annotations

import triton
import triton.language as tl

PATIENCE = tl.constexpr(1 << 23)  # looks at the counter, seconds in all; then nan, rather than a GPU that hangs


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def tanh(x):
    e = tl.exp(-2 * tl.abs(x))  # never overflows
    y = (1 - e) / (1 + e)
    return tl.where(x < 0, -y, y)


@triton.jit
def wait_for_all(counter, arrived):
    """Go on when the programs of these rows have arrived here so often, all together; what they stored before is then seen.

    True where they did not come in time: the caller goes on with nan, which nobody takes for a result.
    """
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release")
    seen, tries = tl.atomic_add(counter, 0, sem="acquire"), 0
    while (seen < arrived) & (tries < PATIENCE):
        seen, tries = tl.atomic_add(counter, 0, sem="acquire"), tries + 1
    tl.debug_barrier()
    return seen < arrived


@triton.jit
def block(U, units, gate, k, H, BACK: tl.constexpr):
    """A block of U for one gate: what unit `units` takes from input k; BACK: what input `units` gives to gate unit k. (K, N)"""
    inside = (k < H)[:, None] & (units < H)[None, :]
    if BACK:
        return tl.load(U + (gate * H + k)[:, None] * H + units[None, :], mask=inside, other=0.0)
    return tl.load(U + (gate * H + units)[None, :] * H + k[:, None], mask=inside, other=0.0)


@triton.jit
def exchanged(
    swap,
    row,
    alive,
    U,
    units,
    gate,
    H,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BACK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """(BM, H) read from swap times a gate's block of U, K a piece at a time -> (BM, BN)."""
    total = tl.zeros([BM, BN], tl.float32)
    for start in range(0, H, BK):
        k = start + tl.arange(0, BK)
        inside = alive[:, None] & (k < H)[None, :]
        x = tl.load(swap + row[:, None] * H + k[None, :], mask=inside, other=0.0, cache_modifier=".cg")  # not a stale L1 line
        total += tl.dot(x, block(U, units, gate, k, H, BACK), input_precision=PRECISION)
    return total


@triton.jit
def gru_forward(
    A, U, h0, lengths, out, last, reset, swap, counter, B, T, H,
    KEEP: tl.constexpr, SWAP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gates z, r, candidate; reset (B, T, H) keeps r∘h_{t-1}. swap (3, B, H): h of even steps, of odd steps, r∘h."""
    rows, units = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    kind: tl.constexpr = U.dtype.element_ty
    alive, programs = rows < B, tl.num_programs(1)
    inside = alive[:, None] & (units < H)[None, :]
    here = rows[:, None] * H + units[None, :]
    length = tl.load(lengths + rows, mask=alive, other=0)
    h = tl.load(h0 + here, mask=inside, other=0.0).to(tl.float32)  # (BM, BN)
    counter += tl.program_id(0)
    if not SWAP:
        U_z, U_r, U_h = (
            block(U, units, 0, units, H, False),
            block(U, units, 1, units, H, False),
            block(U, units, 2, units, H, False),
        )
    else:
        tl.store(swap + here, h.to(kind), mask=inside)
        h = tl.where(wait_for_all(counter, programs), float("nan"), h)
    row = rows.to(tl.int64)
    for t in range(T):
        a = A + ((row * T + t) * 3 * H)[:, None] + units[None, :]
        if not SWAP:
            from_z, from_r = (
                tl.dot(h.to(kind), U_z, input_precision=PRECISION),
                tl.dot(h.to(kind), U_r, input_precision=PRECISION),
            )
        else:
            now = swap + (t % 2) * B * H
            from_z = exchanged(now, rows, alive, U, units, 0, H, BM, BN, BK, False, PRECISION)
            from_r = exchanged(now, rows, alive, U, units, 1, H, BM, BN, BK, False, PRECISION)
        z = sigmoid(tl.load(a, mask=inside, other=0.0).to(tl.float32) + from_z)
        r = sigmoid(tl.load(a + H, mask=inside, other=0.0).to(tl.float32) + from_r)
        rh = (r * h).to(kind)
        at = ((row * T + t) * H)[:, None] + units[None, :]
        if not SWAP:
            from_h = tl.dot(rh, U_h, input_precision=PRECISION)
        else:
            tl.store(swap + 2 * B * H + here, rh, mask=inside)
            h = tl.where(wait_for_all(counter, (2 * t + 2) * programs), float("nan"), h)
            from_h = exchanged(swap + 2 * B * H, rows, alive, U, units, 2, H, BM, BN, BK, False, PRECISION)
        candidate = tanh(tl.load(a + 2 * H, mask=inside, other=0.0).to(tl.float32) + from_h)
        going = inside & (t < length)[:, None]
        h = tl.where(going, h + z * (candidate - h), h)
        tl.store(out + at, tl.where(going, h, 0.0), mask=inside)
        if KEEP:
            tl.store(a, z, mask=inside)
            tl.store(a + H, r, mask=inside)
            tl.store(a + 2 * H, candidate, mask=inside)
            tl.store(reset + at, tl.where(going, rh, 0.0), mask=inside)
        if SWAP:
            tl.store(swap + ((t + 1) % 2) * B * H + here, h.to(kind), mask=inside)
            h = tl.where(wait_for_all(counter, (2 * t + 3) * programs), float("nan"), h)
    tl.store(last + here, h, mask=inside)


@triton.jit
def gru_backward(
    A, U, before, lengths, d_out, d_last, dA, d_first, swap, counter, B, T, H,
    SWAP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """before (B, T, H) the state before each step. swap (4, B, H): gradients before the gates' functions:
    of z at even and at odd steps (the next one is stored while this is still read), of r, of the candidate.
    """
    rows, units = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    kind: tl.constexpr = U.dtype.element_ty
    alive, programs = rows < B, tl.num_programs(1)
    inside = alive[:, None] & (units < H)[None, :]
    here = rows[:, None] * H + units[None, :]
    length = tl.load(lengths + rows, mask=alive, other=0)
    dh = tl.load(d_last + here, mask=inside, other=0.0).to(tl.float32)
    counter += tl.program_id(0)
    if not SWAP:
        U_z, U_r, U_h = block(U, units, 0, units, H, True), block(U, units, 1, units, H, True), block(U, units, 2, units, H, True)
    row = rows.to(tl.int64)
    for i in range(T):
        t = T - 1 - i
        going = inside & (t < length)[:, None]
        offset = ((row * T + t) * 3 * H)[:, None] + units[None, :]
        at = ((row * T + t) * H)[:, None] + units[None, :]
        z = tl.load(A + offset, mask=inside, other=0.0).to(tl.float32)
        r = tl.load(A + offset + H, mask=inside, other=0.0).to(tl.float32)
        candidate = tl.load(A + offset + 2 * H, mask=inside, other=0.0).to(tl.float32)
        h = tl.load(before + at, mask=inside, other=0.0).to(tl.float32)
        dh += tl.load(d_out + at, mask=going, other=0.0).to(tl.float32)
        dc = tl.where(going, dh * z * (1 - candidate * candidate), 0.0).to(kind)
        dz = tl.where(going, dh * (candidate - h) * z * (1 - z), 0.0).to(kind)
        if not SWAP:
            d_rh = tl.dot(dc, U_h, input_precision=PRECISION)
        else:
            tl.store(swap + (i % 2) * B * H + here, dz, mask=inside)
            tl.store(swap + 3 * B * H + here, dc, mask=inside)
            dh = tl.where(wait_for_all(counter, (2 * i + 1) * programs), float("nan"), dh)
            d_rh = exchanged(swap + 3 * B * H, rows, alive, U, units, 2, H, BM, BN, BK, True, PRECISION)
        dr = tl.where(going, d_rh * h * r * (1 - r), 0.0).to(kind)
        tl.store(dA + offset, dz, mask=inside)
        tl.store(dA + offset + H, dr, mask=inside)
        tl.store(dA + offset + 2 * H, dc, mask=inside)
        if not SWAP:
            back = tl.dot(dz, U_z, input_precision=PRECISION) + tl.dot(dr, U_r, input_precision=PRECISION)
        else:
            tl.store(swap + 2 * B * H + here, dr, mask=inside)
            dh = tl.where(wait_for_all(counter, (2 * i + 2) * programs), float("nan"), dh)
            back = exchanged(swap + (i % 2) * B * H, rows, alive, U, units, 0, H, BM, BN, BK, True, PRECISION)
            back += exchanged(swap + 2 * B * H, rows, alive, U, units, 1, H, BM, BN, BK, True, PRECISION)
        dh = tl.where(going, dh * (1 - z) + d_rh * r + back, dh)
    tl.store(d_first + here, dh, mask=inside)


@triton.jit
def gru_after_forward(
    A, U, d, h0, lengths, out, last, after, swap, counter, B, T, H,
    KEEP: tl.constexpr, SWAP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gates r, z, candidate; d (H); after (B, T, H) keeps U_h h_{t-1} + d. swap (2, B, H): h of even and of odd steps."""
    rows, units = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    kind: tl.constexpr = U.dtype.element_ty
    alive, programs = rows < B, tl.num_programs(1)
    inside = alive[:, None] & (units < H)[None, :]
    here = rows[:, None] * H + units[None, :]
    length = tl.load(lengths + rows, mask=alive, other=0)
    h = tl.load(h0 + here, mask=inside, other=0.0).to(tl.float32)
    bias = tl.load(d + units, mask=units < H, other=0.0).to(tl.float32)[None, :]
    counter += tl.program_id(0)
    if not SWAP:
        U_r, U_z, U_h = (
            block(U, units, 0, units, H, False),
            block(U, units, 1, units, H, False),
            block(U, units, 2, units, H, False),
        )
    else:
        tl.store(swap + here, h.to(kind), mask=inside)
        h = tl.where(wait_for_all(counter, programs), float("nan"), h)
    row = rows.to(tl.int64)
    for t in range(T):
        if not SWAP:
            x = h.to(kind)
            from_r, from_z = tl.dot(x, U_r, input_precision=PRECISION), tl.dot(x, U_z, input_precision=PRECISION)
            q = tl.dot(x, U_h, input_precision=PRECISION) + bias
        else:
            now = swap + (t % 2) * B * H
            from_r = exchanged(now, rows, alive, U, units, 0, H, BM, BN, BK, False, PRECISION)
            from_z = exchanged(now, rows, alive, U, units, 1, H, BM, BN, BK, False, PRECISION)
            q = exchanged(now, rows, alive, U, units, 2, H, BM, BN, BK, False, PRECISION) + bias
        a = A + ((row * T + t) * 3 * H)[:, None] + units[None, :]
        at = ((row * T + t) * H)[:, None] + units[None, :]
        r = sigmoid(tl.load(a, mask=inside, other=0.0).to(tl.float32) + from_r)
        z = sigmoid(tl.load(a + H, mask=inside, other=0.0).to(tl.float32) + from_z)
        candidate = tanh(tl.load(a + 2 * H, mask=inside, other=0.0).to(tl.float32) + r * q)
        going = inside & (t < length)[:, None]
        h = tl.where(going, candidate + z * (h - candidate), h)
        tl.store(out + at, tl.where(going, h, 0.0), mask=inside)
        if KEEP:
            tl.store(a, r, mask=inside)
            tl.store(a + H, z, mask=inside)
            tl.store(a + 2 * H, candidate, mask=inside)
            tl.store(after + at, q, mask=inside)
        if SWAP:
            tl.store(swap + ((t + 1) % 2) * B * H + here, h.to(kind), mask=inside)
            h = tl.where(wait_for_all(counter, (t + 2) * programs), float("nan"), h)
    tl.store(last + here, h, mask=inside)


@triton.jit
def gru_after_backward(
    A, U, before, after, lengths, d_out, d_last, dA, d_after, d_first, swap, counter, B, T, H,
    SWAP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """d_after (B, T, H) the gradient of U_h h_{t-1} + d. swap (2, 3, B, H): what goes back through U, of even and odd steps."""
    rows, units = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    kind: tl.constexpr = U.dtype.element_ty
    alive, programs = rows < B, tl.num_programs(1)
    inside = alive[:, None] & (units < H)[None, :]
    here = rows[:, None] * H + units[None, :]
    length = tl.load(lengths + rows, mask=alive, other=0)
    dh = tl.load(d_last + here, mask=inside, other=0.0).to(tl.float32)
    counter += tl.program_id(0)
    if not SWAP:
        U_r, U_z, U_h = block(U, units, 0, units, H, True), block(U, units, 1, units, H, True), block(U, units, 2, units, H, True)
    row = rows.to(tl.int64)
    for i in range(T):
        t = T - 1 - i
        going = inside & (t < length)[:, None]
        offset = ((row * T + t) * 3 * H)[:, None] + units[None, :]
        at = ((row * T + t) * H)[:, None] + units[None, :]
        r = tl.load(A + offset, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(A + offset + H, mask=inside, other=0.0).to(tl.float32)
        candidate = tl.load(A + offset + 2 * H, mask=inside, other=0.0).to(tl.float32)
        h = tl.load(before + at, mask=inside, other=0.0).to(tl.float32)
        q = tl.load(after + at, mask=inside, other=0.0).to(tl.float32)
        dh += tl.load(d_out + at, mask=going, other=0.0).to(tl.float32)
        dc = tl.where(going, dh * (1 - z) * (1 - candidate * candidate), 0.0)
        dz = tl.where(going, dh * (h - candidate) * z * (1 - z), 0.0).to(kind)
        dr = tl.where(going, dc * q * r * (1 - r), 0.0).to(kind)
        dq = (dc * r).to(kind)
        tl.store(dA + offset, dr, mask=inside)
        tl.store(dA + offset + H, dz, mask=inside)
        tl.store(dA + offset + 2 * H, dc, mask=inside)
        tl.store(d_after + at, dq, mask=inside)
        if not SWAP:
            back = tl.dot(dr, U_r, input_precision=PRECISION) + tl.dot(dz, U_z, input_precision=PRECISION)
            back += tl.dot(dq, U_h, input_precision=PRECISION)
        else:
            now = swap + (i % 2) * 3 * B * H
            tl.store(now + here, dr, mask=inside)
            tl.store(now + B * H + here, dz, mask=inside)
            tl.store(now + 2 * B * H + here, dq, mask=inside)
            dh = tl.where(wait_for_all(counter, (i + 1) * programs), float("nan"), dh)
            back = exchanged(now, rows, alive, U, units, 0, H, BM, BN, BK, True, PRECISION)
            back += exchanged(now + B * H, rows, alive, U, units, 1, H, BM, BN, BK, True, PRECISION)
            back += exchanged(now + 2 * B * H, rows, alive, U, units, 2, H, BM, BN, BK, True, PRECISION)
        dh = tl.where(going, dh * z + back, dh)
    tl.store(d_first + here, dh, mask=inside)


@triton.jit
def lstm_forward(
    A, U, h0, c0, lengths, out, last_h, last_c, cell_before, swap, counter, B, T, H,
    KEEP: tl.constexpr, SWAP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gates i, f, candidate, o; cell_before (B, T, H) keeps c_{t-1}. swap (2, B, H): h of even and of odd steps."""
    rows, units = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    kind: tl.constexpr = U.dtype.element_ty
    alive, programs = rows < B, tl.num_programs(1)
    inside = alive[:, None] & (units < H)[None, :]
    here = rows[:, None] * H + units[None, :]
    length = tl.load(lengths + rows, mask=alive, other=0)
    h = tl.load(h0 + here, mask=inside, other=0.0).to(tl.float32)
    c = tl.load(c0 + here, mask=inside, other=0.0).to(tl.float32)
    counter += tl.program_id(0)
    if not SWAP:
        U_i, U_f = block(U, units, 0, units, H, False), block(U, units, 1, units, H, False)
        U_c, U_o = block(U, units, 2, units, H, False), block(U, units, 3, units, H, False)
    else:
        tl.store(swap + here, h.to(kind), mask=inside)
        h = tl.where(wait_for_all(counter, programs), float("nan"), h)
    row = rows.to(tl.int64)
    for t in range(T):
        if not SWAP:
            x = h.to(kind)
            from_i, from_f = tl.dot(x, U_i, input_precision=PRECISION), tl.dot(x, U_f, input_precision=PRECISION)
            from_c, from_o = tl.dot(x, U_c, input_precision=PRECISION), tl.dot(x, U_o, input_precision=PRECISION)
        else:
            now = swap + (t % 2) * B * H
            from_i = exchanged(now, rows, alive, U, units, 0, H, BM, BN, BK, False, PRECISION)
            from_f = exchanged(now, rows, alive, U, units, 1, H, BM, BN, BK, False, PRECISION)
            from_c = exchanged(now, rows, alive, U, units, 2, H, BM, BN, BK, False, PRECISION)
            from_o = exchanged(now, rows, alive, U, units, 3, H, BM, BN, BK, False, PRECISION)
        a = A + ((row * T + t) * 4 * H)[:, None] + units[None, :]
        at = ((row * T + t) * H)[:, None] + units[None, :]
        i = sigmoid(tl.load(a, mask=inside, other=0.0).to(tl.float32) + from_i)
        f = sigmoid(tl.load(a + H, mask=inside, other=0.0).to(tl.float32) + from_f)
        candidate = tanh(tl.load(a + 2 * H, mask=inside, other=0.0).to(tl.float32) + from_c)
        o = sigmoid(tl.load(a + 3 * H, mask=inside, other=0.0).to(tl.float32) + from_o)
        going = inside & (t < length)[:, None]
        if KEEP:
            tl.store(a, i, mask=inside)
            tl.store(a + H, f, mask=inside)
            tl.store(a + 2 * H, candidate, mask=inside)
            tl.store(a + 3 * H, o, mask=inside)
            tl.store(cell_before + at, c, mask=inside)
        c = tl.where(going, f * c + i * candidate, c)
        h = tl.where(going, o * tanh(c), h)
        tl.store(out + at, tl.where(going, h, 0.0), mask=inside)
        if SWAP:
            tl.store(swap + ((t + 1) % 2) * B * H + here, h.to(kind), mask=inside)
            h = tl.where(wait_for_all(counter, (t + 2) * programs), float("nan"), h)
    tl.store(last_h + here, h, mask=inside)
    tl.store(last_c + here, c, mask=inside)


@triton.jit
def lstm_backward(
    A, U, cell_before, lengths, d_out, d_last_h, d_last_c, dA, d_h0, d_c0, swap, counter, B, T, H,
    SWAP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """swap (2, 4, B, H): gradients before the gates' functions, of even and of odd steps."""
    rows, units = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    kind: tl.constexpr = U.dtype.element_ty
    alive, programs = rows < B, tl.num_programs(1)
    inside = alive[:, None] & (units < H)[None, :]
    here = rows[:, None] * H + units[None, :]
    length = tl.load(lengths + rows, mask=alive, other=0)
    dh = tl.load(d_last_h + here, mask=inside, other=0.0).to(tl.float32)
    dc = tl.load(d_last_c + here, mask=inside, other=0.0).to(tl.float32)
    counter += tl.program_id(0)
    if not SWAP:
        U_i, U_f = block(U, units, 0, units, H, True), block(U, units, 1, units, H, True)
        U_c, U_o = block(U, units, 2, units, H, True), block(U, units, 3, units, H, True)
    row = rows.to(tl.int64)
    for step in range(T):
        t = T - 1 - step
        going = inside & (t < length)[:, None]
        offset = ((row * T + t) * 4 * H)[:, None] + units[None, :]
        at = ((row * T + t) * H)[:, None] + units[None, :]
        i = tl.load(A + offset, mask=inside, other=0.0).to(tl.float32)
        f = tl.load(A + offset + H, mask=inside, other=0.0).to(tl.float32)
        candidate = tl.load(A + offset + 2 * H, mask=inside, other=0.0).to(tl.float32)
        o = tl.load(A + offset + 3 * H, mask=inside, other=0.0).to(tl.float32)
        c_before = tl.load(cell_before + at, mask=inside, other=0.0).to(tl.float32)
        dh += tl.load(d_out + at, mask=going, other=0.0).to(tl.float32)
        c = tanh(f * c_before + i * candidate)
        through_c = dc + dh * o * (1 - c * c)
        di = tl.where(going, through_c * candidate * i * (1 - i), 0.0).to(kind)
        df = tl.where(going, through_c * c_before * f * (1 - f), 0.0).to(kind)
        d_candidate = tl.where(going, through_c * i * (1 - candidate * candidate), 0.0).to(kind)
        do = tl.where(going, dh * c * o * (1 - o), 0.0).to(kind)
        dc = tl.where(going, through_c * f, dc)
        tl.store(dA + offset, di, mask=inside)
        tl.store(dA + offset + H, df, mask=inside)
        tl.store(dA + offset + 2 * H, d_candidate, mask=inside)
        tl.store(dA + offset + 3 * H, do, mask=inside)
        if not SWAP:
            back = tl.dot(di, U_i, input_precision=PRECISION) + tl.dot(df, U_f, input_precision=PRECISION)
            back += tl.dot(d_candidate, U_c, input_precision=PRECISION) + tl.dot(do, U_o, input_precision=PRECISION)
        else:
            now = swap + (step % 2) * 4 * B * H
            tl.store(now + here, di, mask=inside)
            tl.store(now + B * H + here, df, mask=inside)
            tl.store(now + 2 * B * H + here, d_candidate, mask=inside)
            tl.store(now + 3 * B * H + here, do, mask=inside)
            dh = tl.where(wait_for_all(counter, (step + 1) * programs), float("nan"), dh)
            back = exchanged(now, rows, alive, U, units, 0, H, BM, BN, BK, True, PRECISION)
            back += exchanged(now + B * H, rows, alive, U, units, 1, H, BM, BN, BK, True, PRECISION)
            back += exchanged(now + 2 * B * H, rows, alive, U, units, 2, H, BM, BN, BK, True, PRECISION)
            back += exchanged(now + 3 * B * H, rows, alive, U, units, 3, H, BM, BN, BK, True, PRECISION)
        dh = tl.where(going, back, dh)
    tl.store(d_h0 + here, dh, mask=inside)
    tl.store(d_c0 + here, dc, mask=inside)
