"""The four cells over time, forward and backward, compiled: the loops that stay when every product without a state is taken out.

Rows of the batch do not meet in a recurrent net, so a thread takes a share of them through all of time alone. Within a share
rows are ordered by falling length: those that have ended drop off its end, and no padding is ever computed.

    A       (N, G·H) on entry W x + b of each step of each row (N steps in all, row b's from begin[b] on); after the
            forward loop the gates themselves, which the backward loop reads
    before  (N, H) the hidden state before each step, or (0, H) where nothing is kept for a backward loop
    rows    (R) the batch rows of this share, longest first
    dA      (N, G·H) the gradient of W x + b; may be A itself
    out, d_out (B, T, H);  last, d_last, first (B, H)
U comes packed (product.pack): transposed for the forward loop, as it is for the backward one. Letters as in cells.py.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled, pasted
from .product import columns, product
from .smooth import sigmoid, tanh


@pasted
def alive(rows, length, t, n):
    """How many of the first n rows have a step t."""
    while n > 0 and length[rows[n - 1]] <= t:
        n -= 1
    return n


@pasted
def copy(target, source):
    """target[:] = source, which Numba takes seconds to compile."""
    for j in range(source.size):
        target[j] = source[j]


@compiled
def take(source, rows):
    """A contiguous copy of some rows."""
    taken = np.empty((rows.size, source.shape[1]), source.dtype)
    for i in range(rows.size):
        copy(taken[i], source[rows[i]])
    return taken


# --- RNN: h_t = tanh(W x_t + b + U h_{t-1})


@compiled
def rnn_forward(rows, begin, length, A, U, h0, out, last, before):
    H, n = h0.shape[1], rows.size
    h, Uh = take(h0, rows), np.empty((n, columns(U)), A.dtype)
    for t in range(length[rows[0]]):
        n = alive(rows, length, t, n)
        product(h, n, U, Uh)
        for i in range(n):
            at = begin[rows[i]] + t
            a, u, state, hidden = A[at], Uh[i], h[i], out[rows[i], t]
            if before.shape[0]:
                copy(before[at], state)
            for j in range(H):
                state[j] = tanh(a[j] + u[j])
            copy(hidden[:], state)
    for i in range(rows.size):
        copy(last[rows[i]], h[i])


@compiled
def rnn_backward(rows, begin, length, out, U, d_out, d_last, dA, d_first):
    H, n = d_last.shape[1], 0
    dh, da, back = take(d_last, rows), np.empty((rows.size, H), dA.dtype), np.empty((rows.size, columns(U)), dA.dtype)
    for t in range(length[rows[0]] - 1, -1, -1):
        n = alive(rows, length, t, rows.size)
        for i in range(n):
            h, g, d, above, target = out[rows[i], t], dh[i], da[i], d_out[rows[i], t], dA[begin[rows[i]] + t]
            for j in range(H):
                d[j] = (g[j] + above[j]) * (1 - h[j] * h[j])
            copy(target[:], d)
        product(da, n, U, back)
        for i in range(n):
            g, u = dh[i], back[i]
            for j in range(H):
                g[j] = u[j]
    for i in range(rows.size):
        copy(d_first[rows[i]], dh[i])


# --- GRU, gates z, r, candidate: the lecture's, reset before the matrix


@compiled
def gru_forward(rows, begin, length, A, U_zr, U_h, h0, out, last, before, reset):
    """reset (N, H) keeps r∘h_{t-1} where `before` is kept."""
    H, n = h0.shape[1], rows.size
    h, rh = take(h0, rows), np.empty((n, H), A.dtype)
    zr, candidate = np.empty((n, columns(U_zr)), A.dtype), np.empty((n, columns(U_h)), A.dtype)
    for t in range(length[rows[0]]):
        n = alive(rows, length, t, n)
        product(h, n, U_zr, zr)
        for i in range(n):
            at = begin[rows[i]] + t
            a, u, state, rs = A[at], zr[i], h[i], rh[i]
            for j in range(2 * H):
                a[j] = sigmoid(a[j] + u[j])
            r = a[H : 2 * H]
            for j in range(H):
                rs[j] = r[j] * state[j]
            if before.shape[0]:
                copy(before[at], state)
                copy(reset[at], rs)
        product(rh, n, U_h, candidate)
        for i in range(n):
            a, u, state = A[begin[rows[i]] + t], candidate[i], h[i]
            z, c = a[:H], a[2 * H :]
            for j in range(H):
                c[j] = tanh(c[j] + u[j])
            for j in range(H):
                state[j] += z[j] * (c[j] - state[j])
            copy(out[rows[i], t], state)
    for i in range(rows.size):
        copy(last[rows[i]], h[i])


@compiled
def gru_backward(rows, begin, length, A, before, U_zr, U_h, d_out, d_last, dA, d_first):
    H = d_last.shape[1]
    dh, dc, dzr = take(d_last, rows), np.empty((rows.size, H), dA.dtype), np.empty((rows.size, 2 * H), dA.dtype)
    d_rh, d_h = np.empty((rows.size, columns(U_h)), dA.dtype), np.empty((rows.size, columns(U_zr)), dA.dtype)
    for t in range(length[rows[0]] - 1, -1, -1):
        n = alive(rows, length, t, rows.size)
        for i in range(n):
            at = begin[rows[i]] + t
            a, h, g, above, c_grad, z_grad = A[at], before[at], dh[i], d_out[rows[i], t], dc[i], dzr[i, :H]
            z, c = a[:H], a[2 * H :]
            for j in range(H):
                g[j] += above[j]
            for j in range(H):
                c_grad[j] = g[j] * z[j] * (1 - c[j] * c[j])
            for j in range(H):
                z_grad[j] = g[j] * (c[j] - h[j]) * z[j] * (1 - z[j])
        product(dc, n, U_h, d_rh)
        for i in range(n):
            at = begin[rows[i]] + t
            a, h, g, d, r_grad = A[at], before[at], dh[i], d_rh[i], dzr[i, H:]
            z, r = a[:H], a[H : 2 * H]
            for j in range(H):
                r_grad[j] = d[j] * h[j] * r[j] * (1 - r[j])
            for j in range(H):
                g[j] = g[j] * (1 - z[j]) + d[j] * r[j]
            copy(dA[at, : 2 * H], dzr[i])
            copy(dA[at, 2 * H :], dc[i])
        product(dzr, n, U_zr, d_h)
        for i in range(n):
            g, d = dh[i], d_h[i]
            for j in range(H):
                g[j] += d[j]
    for i in range(rows.size):
        copy(d_first[rows[i]], dh[i])


# --- GRU after, gates r, z, candidate: torch's and cuDNN's, reset after the matrix


@compiled
def gru_after_forward(rows, begin, length, A, U, d, h0, out, last, before, after):
    """d (H) the recurrent bias; after (N, H) keeps U_h h_{t-1} + d where `before` is kept."""
    H, n = h0.shape[1], rows.size
    h, Uh = take(h0, rows), np.empty((n, columns(U)), A.dtype)
    for t in range(length[rows[0]]):
        n = alive(rows, length, t, n)
        product(h, n, U, Uh)
        for i in range(n):
            at = begin[rows[i]] + t
            a, u, state = A[at], Uh[i], h[i]
            r, z, c, q = a[:H], a[H : 2 * H], a[2 * H :], u[2 * H : 3 * H]
            for j in range(2 * H):
                a[j] = sigmoid(a[j] + u[j])
            for j in range(H):
                q[j] += d[j]
            for j in range(H):
                c[j] = tanh(c[j] + r[j] * q[j])
            if before.shape[0]:
                copy(before[at], state)
                copy(after[at], q)
            for j in range(H):
                state[j] = c[j] + z[j] * (state[j] - c[j])
            copy(out[rows[i], t], state)
    for i in range(rows.size):
        copy(last[rows[i]], h[i])


@compiled
def gru_after_backward(rows, begin, length, A, before, after, U, d_out, d_last, dA, d_after, d_first):
    """d_after (N, H) the gradient of U_h h_{t-1} + d."""
    H = d_last.shape[1]
    dh, dU, dc = take(d_last, rows), np.empty((rows.size, 3 * H), dA.dtype), np.empty(H, dA.dtype)
    back = np.empty((rows.size, columns(U)), dA.dtype)
    for t in range(length[rows[0]] - 1, -1, -1):
        n = alive(rows, length, t, rows.size)
        for i in range(n):
            at = begin[rows[i]] + t
            a, h, q, g, above, target = A[at], before[at], after[at], dh[i], d_out[rows[i], t], dA[at]
            r, z, c = a[:H], a[H : 2 * H], a[2 * H :]
            r_grad, z_grad, q_grad, c_grad = dU[i, :H], dU[i, H : 2 * H], dU[i, 2 * H :], dc
            for j in range(H):
                g[j] += above[j]
            for j in range(H):
                c_grad[j] = g[j] * (1 - z[j]) * (1 - c[j] * c[j])
            for j in range(H):
                z_grad[j] = g[j] * (h[j] - c[j]) * z[j] * (1 - z[j])
            for j in range(H):
                r_grad[j] = c_grad[j] * q[j] * r[j] * (1 - r[j])
            for j in range(H):
                q_grad[j] = c_grad[j] * r[j]
            for j in range(H):
                g[j] *= z[j]
            copy(target[: 2 * H], dU[i, : 2 * H])
            copy(target[2 * H :], c_grad)
            copy(d_after[at], q_grad)
        product(dU, n, U, back)
        for i in range(n):
            g, u = dh[i], back[i]
            for j in range(H):
                g[j] += u[j]
    for i in range(rows.size):
        copy(d_first[rows[i]], dh[i])


# --- LSTM, gates i, f, candidate, o


@compiled
def lstm_forward(rows, begin, length, A, U, h0, c0, out, last_h, last_c, before, cell_before):
    """cell_before (N, H) keeps c_{t-1} where `before` is kept."""
    H, n = h0.shape[1], rows.size
    h, cell, Uh = take(h0, rows), take(c0, rows), np.empty((n, columns(U)), A.dtype)
    for t in range(length[rows[0]]):
        n = alive(rows, length, t, n)
        product(h, n, U, Uh)
        for k in range(n):
            at = begin[rows[k]] + t
            a, u, state, c = A[at], Uh[k], h[k], cell[k]
            i, f, candidate, o = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]
            if before.shape[0]:
                copy(before[at], state)
                copy(cell_before[at], c)
            for j in range(4 * H):
                a[j] += u[j]
            for j in range(2 * H):
                a[j] = sigmoid(a[j])
            for j in range(H):
                candidate[j] = tanh(candidate[j])
            for j in range(H):
                o[j] = sigmoid(o[j])
            for j in range(H):
                c[j] = f[j] * c[j] + i[j] * candidate[j]
            for j in range(H):
                state[j] = o[j] * tanh(c[j])
            copy(out[rows[k], t], state)
    for k in range(rows.size):
        copy(last_h[rows[k]], h[k])
        copy(last_c[rows[k]], cell[k])


@compiled
def lstm_backward(rows, begin, length, A, cell_before, U, d_out, d_last_h, d_last_c, dA, d_h0, d_c0):
    H = d_last_h.shape[1]
    dh, dc, da = take(d_last_h, rows), take(d_last_c, rows), np.empty((rows.size, 4 * H), dA.dtype)
    back, c = np.empty((rows.size, columns(U)), dA.dtype), np.empty(H, dA.dtype)
    for t in range(length[rows[0]] - 1, -1, -1):
        n = alive(rows, length, t, rows.size)
        for k in range(n):
            at = begin[rows[k]] + t
            a, c_before, g, d_cell, above = A[at], cell_before[at], dh[k], dc[k], d_out[rows[k], t]
            i, f, candidate, o = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]
            di, df, d_candidate, do = da[k, :H], da[k, H : 2 * H], da[k, 2 * H : 3 * H], da[k, 3 * H :]
            for j in range(H):
                g[j] += above[j]
            for j in range(H):
                c[j] = tanh(f[j] * c_before[j] + i[j] * candidate[j])
            for j in range(H):
                do[j] = g[j] * c[j] * o[j] * (1 - o[j])
            for j in range(H):
                d_cell[j] += g[j] * o[j] * (1 - c[j] * c[j])
            for j in range(H):
                di[j] = d_cell[j] * candidate[j] * i[j] * (1 - i[j])
            for j in range(H):
                df[j] = d_cell[j] * c_before[j] * f[j] * (1 - f[j])
            for j in range(H):
                d_candidate[j] = d_cell[j] * i[j] * (1 - candidate[j] * candidate[j])
            for j in range(H):
                d_cell[j] *= f[j]
            copy(dA[at], da[k])
        product(da, n, U, back)
        for k in range(n):
            g, u = dh[k], back[k]
            for j in range(H):
                g[j] = u[j]
    for k in range(rows.size):
        copy(d_h0[rows[k]], dh[k])
        copy(d_c0[rows[k]], dc[k])
