// The lecture's cells, equation by equation, as cells.py has them: here of one row, in arrays of numbers.
//
// A vector is a Float64Array, a matrix { values, rows, columns }, its values row after row, in 32 bits as they were trained.
// A cell holds its gates' matrices stacked: W (G·H, I), U (G·H, H), b (G·H). It takes Wx = W x_t + b and the states before,
// [h_{t-1}] or of the LSTM [h_{t-1}, c_{t-1}], and gives those after.

const sigmoid = (a) => a.map((x) => 1 / (1 + Math.exp(-x)));
const tanh = (a) => a.map(Math.tanh);
const sum = (a, b) => a.map((x, i) => x + b[i]);
const times = (a, b) => a.map((x, i) => x * b[i]);  // ∘
const gates = (a, G) => Array.from({ length: G }, (_, g) => a.subarray((g * a.length) / G, ((g + 1) * a.length) / G));
const gatesOf = (U, G) => gates(U.values, G).map((values) => ({ values, rows: U.rows / G, columns: U.columns }));

const CELLS = {
  rnn(Wx, [h], { U }) {
    return [tanh(sum(Wx, product(U, h)))];  // h_t = tanh(W_hh h_{t-1} + W_xh x_t + b_h)
  },
  gru(Wx, [h], { U }) {
    const [Wx_z, Wx_r, Wx_h] = gates(Wx, 3), [U_z, U_r, U_h] = gatesOf(U, 3);
    const z = sigmoid(sum(Wx_z, product(U_z, h)));  // z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
    const r = sigmoid(sum(Wx_r, product(U_r, h)));  // r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
    const candidate = tanh(sum(Wx_h, product(U_h, times(r, h))));  // tanh(W_h x_t + U_h (r_t∘h_{t-1}) + b_h)
    return [h.map((before, i) => (1 - z[i]) * before + z[i] * candidate[i])];  // h_t = (1 - z_t)∘h_{t-1} + z_t∘candidate
  },
  gru_after(Wx, [h], { U, d }) {
    const [Wx_r, Wx_z, Wx_h] = gates(Wx, 3), [U_r, U_z, U_h] = gatesOf(U, 3);
    const r = sigmoid(sum(Wx_r, product(U_r, h)));  // r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
    const z = sigmoid(sum(Wx_z, product(U_z, h)));  // z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
    const candidate = tanh(sum(Wx_h, times(r, linear(U_h, h, d))));  // tanh(W_h x_t + b_h + r_t∘(U_h h_{t-1} + d))
    return [h.map((before, i) => z[i] * before + (1 - z[i]) * candidate[i])];  // h_t = z_t∘h_{t-1} + (1 - z_t)∘candidate
  },
  lstm(Wx, [h, c], { U }) {
    const [i, f, candidate, o] = gates(sum(Wx, product(U, h)), 4);  // each W x_t + U h_{t-1} + b
    c = sum(times(sigmoid(f), c), times(sigmoid(i), tanh(candidate)));  // c_t = f_t∘c_{t-1} + i_t∘tanh(…)
    return [times(sigmoid(o), tanh(c)), c];  // h_t = o_t∘tanh(c_t)
  },
};

// W x of W (R, C) and x (C). Four sums side by side: one alone waits for itself.
function product({ values, rows, columns }, x) {
  const out = new Float64Array(rows), most = columns - (columns % 4);
  for (let row = 0, k = 0; row < rows; row++) {
    let a = 0, b = 0, c = 0, d = 0, j = 0;
    for (; j < most; j += 4, k += 4) {
      a += values[k] * x[j]; b += values[k + 1] * x[j + 1]; c += values[k + 2] * x[j + 2]; d += values[k + 3] * x[j + 3];
    }
    for (; j < columns; j++, k++) a += values[k] * x[j];
    out[row] = a + b + c + d;
  }
  return out;
}
const linear = (W, x, b) => (b ? sum(product(W, x), b) : product(W, x));
function softmax(a) {
  const most = a.reduce((x, y) => Math.max(x, y), -Infinity), e = a.map((x) => Math.exp(x - most)), total = e.reduce((x, y) => x + y, 0);
  return e.map((x) => x / total);
}
function joined(...parts) {
  const whole = new Float64Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

// The state before the first symbol: zeros.
const start = (cell) => Array.from({ length: cell.kind === "lstm" ? 2 : 1 }, () => new Float64Array(cell.U.columns));
const step = (cell, x, state) => CELLS[cell.kind](linear(cell.W, x, cell.b), state, cell);

// A cell unrolled over time: its states after each of Wxs (W x_t + b). Backwards it begins with the last. Where only Wxs[changed]
// differs from what `known` states were of, those that do not rest on it are taken over.
async function scan(cell, Wxs, backwards, known = null, changed = 0) {
  const states = known === null ? new Array(Wxs.length) : known.slice(), turn = backwards ? -1 : 1;
  let t = known !== null ? changed : backwards ? Wxs.length - 1 : 0, state = states[t - turn] ?? start(cell);
  for (; t >= 0 && t < Wxs.length; t += turn) {
    states[t] = state = CELLS[cell.kind](Wxs[t], state, cell);
    if (breathless()) await breath();
  }
  return states;
}
const inputs = (cell, xs) => xs.map((x) => linear(cell.W, x, cell.b));
const sideBySide = (found) => found[0].map((_, t) => joined(...found.map((states) => states[t][0])));  // (T of D·H)

// Layers of cells, one or both directions each: the last one's states (T of D·H), and each layer's own last states,
// the directions' one after the other.
async function stack(cells, directions, xs) {
  const last = [];
  for (let first = 0; first < cells.length; first += directions) {
    const found = [], ends = [];
    for (let d = 0; d < directions; d++) {
      const cell = cells[first + d];
      found.push(await scan(cell, inputs(cell, xs), d === 1));
      ends.push(found[d].at(d === 1 ? 0 : -1));
    }
    xs = sideBySide(found);
    last.push(ends[0].map((_, s) => joined(...ends.map((state) => state[s]))));
  }
  return { hidden: xs, last };
}

// One step of layers that read forward only: the hidden state of each layer, and all states after it.
function climb(cells, x, states) {
  const after = cells.map((cell, i) => { const own = step(cell, x, states[i]); x = own[0]; return own; });
  return { hidden: after.map(([h]) => h), after };
}

// Long work lets the page answer in between.
let breathed = 0;
const breathless = () => performance.now() - breathed > 15;
async function breath() {
  await new Promise((go) => setTimeout(go));
  breathed = performance.now();
}
