// From scores to answers: drawing and beam search as decode.py has them, chains of tags as runtime/field.py has them.

function logSoftmax(a) {
  const most = a.reduce((x, y) => Math.max(x, y), -Infinity), total = Math.log(a.reduce((x, y) => x + Math.exp(y - most), 0));
  return a.map((x) => x - most - total);
}
function greatest(a) {
  let at = 0;
  for (let i = 1; i < a.length; i++) if (a[i] > a[at]) at = i;  // the first of equals
  return at;
}
// Places of the highest values, the highest first.
function highest(a, number) {
  const least = Float64Array.from(a).sort().at(-Math.min(number, a.length)), found = [];
  for (let i = 0; i < a.length; i++) if (a[i] >= least) found.push(i);
  return found.sort((i, j) => a[j] - a[i] || i - j).slice(0, number);
}

// The distribution that the next symbol is drawn from: temperature 0 takes the likeliest, top p the fewest that together have p.
function probabilities(logits, { temperature = 1, top_p = null }, never) {
  const a = Float64Array.from(logits);
  for (const i of never) a[i] = -Infinity;
  const best = greatest(a);
  if (temperature === 0) return a.map((_, i) => +(i === best));
  const p = softmax(a.map((x) => (x - a[best]) / temperature));
  if (top_p === null) return p;
  let before = 0;
  for (const i of Array.from(p.keys()).sort((i, j) => p[j] - p[i] || i - j)) {
    const own = p[i];
    if (before >= top_p) p[i] = 0;
    before += own;
  }
  return p;
}
// Inverse transform; uniform is in [0, 1).
function draw(p, uniform) {
  const total = p.reduce((x, y) => x + y, 0);
  let upto = 0, last = 0;
  for (let i = 0; i < p.length; i++) {
    upto += p[i];
    if (p[i] > 0) last = i;
    if (upto > uniform * total) return i;
  }
  return last;
}

// --- numpy's generator, so that a seed writes what it writes with `unrolled sample` (PCG64: O'Neill 2014)

function generator(seed) {
  const BITS64 = (1n << 64n) - 1n, BITS128 = (1n << 128n) - 1n, TIMES = 0x2360ed051fc65da44385df649fccf645n;
  const [a, b, c, d] = seeds(seed), increment = (((c << 64n) | d) << 1n | 1n) & BITS128;
  let state = (increment + ((a << 64n) | b)) & BITS128;
  const turn = () => { state = (state * TIMES + increment) & BITS128; };
  turn();
  return () => {
    turn();
    const mixed = (state >> 64n) ^ (state & BITS64), by = state >> 122n;
    return Number((((mixed >> by) | (mixed << (64n - by))) & BITS64) >> 11n) / 2 ** 53;
  };
}
// Four numbers of 64 bits from one seed below 2^53, as numpy's SeedSequence makes them.
function seeds(seed) {
  let hash = 0x43b0d7e5, more = 0x8b51f9dd;
  const mixedIn = (value) => {
    value = Math.imul(value ^ hash, (hash = Math.imul(hash, 0x931e8875)));
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (x, y) => {
    const value = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) | 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const high = Math.floor(seed / 2 ** 32), pool = [seed >>> 0, high, 0, 0].map(mixedIn);
  for (let from = 0; from < 4; from++) for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], mixedIn(pool[from]));
  const words = Array.from({ length: 8 }, (_, i) => {
    const value = Math.imul(pool[i % 4] ^ more, (more = Math.imul(more, 0x58f38ded)));
    return BigInt((value ^ (value >>> 16)) >>> 0);
  });
  return [0, 2, 4, 6].map((i) => (words[i + 1] << 32n) | words[i]);
}

// --- beam search over one sentence: step(id, state) gives [logits, state]

async function beams(step, first, options, longest, never) {
  const { width, power, patience, threshold } = options, found = [];
  let open = [{ ids: [], nats: 0, logits: first[0], state: first[1] }], ended = 0;
  const worst = () => (found.length === width ? found.at(-1).score : -Infinity);
  const closed = (one, has) => ({ ids: one.ids, nats: one.nats, score: one.nats / one.ids.length ** power, ended: has });
  for (let length = 1; ; length++) {
    const all = open.flatMap((one, row) => {
      const nats = Float64Array.from(one.logits);
      for (const i of never) nats[i] = -Infinity;
      const shares = logSoftmax(nats);
      return highest(shares, 2 * width).filter((i) => shares[i] > -Infinity).map((i) => ({ row, id: i, nats: one.nats + shares[i] }));
    });
    const best = all.sort((a, b) => b.nats - a.nats || a.row - b.row || a.id - b.id).slice(0, 2 * width);
    const written = (one) => ({ ids: [...open[one.row].ids, one.id], nats: one.nats, row: one.row });
    for (const one of best.slice(0, width).filter((one) => one.id === END).map(written)) {
      ended += 1;
      const hypothesis = closed(one, true);
      if (hypothesis.score > worst()) {
        const at = found.findIndex((other) => other.score < hypothesis.score);
        found.splice(at < 0 ? found.length : at, 0, hypothesis);
        found.length = Math.min(found.length, width);
      }
    }
    let on = best.filter((one) => one.id !== END).slice(0, width).map(written);
    const likeliest = on[0]?.nats ?? -Infinity;
    if (likeliest / longest ** power <= worst() || length >= longest || ended >= patience * width) {
      if (length >= longest || !found.length) found.push(...on.slice(0, width - found.length).map((one) => closed(one, false)));
      return found.length ? found : [{ ids: open[0].ids, nats: open[0].nats, score: open[0].nats, ended: false }];
    }
    on = on.filter((one) => one.nats >= likeliest - threshold);
    const before = open;
    open = [];
    for (const one of on) {
      const [logits, state] = step(one.ids.at(-1), before[one.row].state);
      open.push({ ids: one.ids, nats: one.nats, logits, state });
      if (breathless()) await breath();
    }
  }
}

// --- a chain of tags with scores of what may follow what: start (K), follows (K, K), end (K)

// The most probable tags of emissions (T of K) (Viterbi 1967).
function bestTags(emissions, { start, follows, end }) {
  const K = start.length, back = [];
  let score = emissions[0].map((x, k) => x + start[k]);
  for (const emission of emissions.slice(1)) {
    const came = Array.from({ length: K }, (_, k) => greatest(score.map((x, before) => x + follows[before * K + k])));
    score = score.map((_, k) => score[came[k]] + follows[came[k] * K + k] + emission[k]);
    back.push(came);
  }
  const tags = [greatest(score.map((x, k) => x + end[k]))];
  for (const came of back.reverse()) tags.unshift(came[tags[0]]);
  return tags;
}
// p(y_t = k | emissions), by sums over all ways from the left and from the right (Rabiner 1989).
function marginals(emissions, { start, follows, end }) {
  const K = start.length, T = emissions.length, left = [emissions[0].map((x, k) => x + start[k])], right = [Float64Array.from(end)];
  for (let t = 1; t < T; t++) left.push(emissions[t].map((x, k) => x + logSum(left[t - 1].map((y, before) => y + follows[before * K + k]))));
  for (let t = T - 1; t > 0; t--) right.unshift(right[0].map((_, k) => logSum(right[0].map((y, after) => y + emissions[t][after] + follows[k * K + after]))));
  return left.map((scores, t) => softmax(sum(scores, right[t])));
}
function logSum(values) {
  const most = values.reduce((x, y) => Math.max(x, y), -Infinity);
  return most === -Infinity ? most : most + Math.log(values.reduce((x, y) => x + Math.exp(y - most), 0));
}

// Names in tags of scheme bioes, as spans.py reads them strictly: [first word, one past the last, kind].
function spansOf(tags) {
  const found = [];
  let begin = null;
  tags.forEach((tag, i) => {
    const letter = tag[0], kind = tag.slice(2);
    if (letter === "S") found.push([i, i + 1, kind]);
    if (letter === "E" && begin !== null && begin.kind === kind) found.push([begin.at, i + 1, kind]);
    if (letter === "B") begin = { at: i, kind };
    else if (letter !== "I" || begin?.kind !== kind) begin = null;
  });
  return found;
}
