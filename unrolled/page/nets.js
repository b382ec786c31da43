// The models of the task pages, of one text at a time: each as its Model computes it, with the names that its weights have there.

// What an exported run holds: matrices and vectors by name, cells in stacks, embeddings, linear layers.
function holder(weights, settings) {
  const at = (name) => weights[settings.same[name] ?? name];
  const matrix = (name) => {
    const found = at(name);
    return found && { values: found.values, rows: found.shape[0], columns: found.values.length / found.shape[0] };
  };
  const layer = (name) => ({ W: matrix(`${name}.weight`), b: at(`${name}.bias`)?.values });
  return {
    vector: (name) => at(name)?.values,
    number: (name) => at(name).values[0],
    matrix,
    linear(name) {
      const { W, b } = layer(name);
      return W && ((x) => linear(W, x, b));
    },
    cells(name) {
      const found = [];
      for (let i = 0; at(`${name}.cells.${i}.W`); i++) {
        const part = `${name}.cells.${i}`;
        found.push({ kind: settings.cell, W: matrix(`${part}.W`), U: matrix(`${part}.U`), b: at(`${part}.b`)?.values, d: at(`${part}.d`)?.values });
      }
      return found;
    },
    // id -> its vector: learned, or fixed for those that only came with word vectors, or one-hot where there is no table.
    embedding(name, size) {
      const table = matrix(`${name}.weight`) ?? matrix(`${name}.learned.weight`), fixed = matrix(`${name}.fixed`);
      if (!table) return (id) => Float64Array.from({ length: size }, (_, i) => +(i === id));
      return (id) => {
        const [of, row] = id < table.rows ? [table, id] : [fixed, id - table.rows];
        return Float64Array.from(of.values.subarray(row * of.columns, (row + 1) * of.columns));
      };
    },
  };
}

// Many to many, as it comes: ids in, logits of the next out.
function languageNet(held, settings, codec) {
  const embed = held.embedding("embed", codec.size), label = held.matrix("label.weight") && held.embedding("label", 0), cells = [];
  for (let i = 0, found; (found = held.cells(`layers.${i}`)).length; i++) cells.push(...found);
  const narrow = held.linear("narrow"), output = held.linear("output"), sharpness = held.number("sharpness");
  return {
    start: () => cells.map(start),
    step(id, states, of = null) {
      const x = of === null ? embed(id) : sum(embed(id), label(of)), { hidden, after } = climb(cells, x, states);
      const features = joined(...hidden);
      return [output(narrow ? narrow(features) : features).map((x) => x * sharpness), after];
    },
  };
}

// Many to one: ids in, logits of the labels out.
function classifyNet(held, settings, codec) {
  const embed = held.embedding("embed", codec.size), cells = held.cells("recurrent"), both = settings.directions === 2;
  const query = held.linear("pool.query"), output = held.linear("output"), sharpness = held.number("sharpness");
  const pool = {
    last: (h) => (both ? joined(h.at(-1).subarray(0, h[0].length / 2), h[0].subarray(h[0].length / 2)) : h.at(-1)),
    max: (h) => h.reduce((a, b) => a.map((x, i) => Math.max(x, b[i]))),
    mean: (h) => h.reduce(sum).map((x) => x / h.length),
    attention(h) {
      const weights = softmax(Float64Array.from(h, (one) => query(tanh(one))[0]));
      return h.map((one, t) => one.map((x) => weights[t] * x)).reduce(sum);
    },
  }[settings.pooling];
  const logits = (h) => output(pool(h)).map((x) => x * sharpness), { directions } = settings;
  return {
    read: async (ids) => logits((await stack(cells, directions, ids.map(embed))).hidden),
    // A function of t: the logits where ids[t] is not known. The first layer's states that do not rest on it are kept.
    async hiding(ids) {
      const xs = ids.map(embed), nothing = embed(UNKNOWN), first = cells.slice(0, directions), Wxs = first.map((cell) => inputs(cell, xs));
      const whole = [];
      for (const [d, cell] of first.entries()) whole.push(await scan(cell, Wxs[d], d === 1));
      return async (t) => {
        if (!first.length) return logits(xs.with(t, nothing));
        const found = [];
        for (const [d, cell] of first.entries()) found.push(await scan(cell, Wxs[d].with(t, inputs(cell, [nothing])[0]), d === 1, whole[d], t));
        return logits((await stack(cells.slice(directions), directions, sideBySide(found))).hidden);
      };
    },
  };
}

// Many to many, of a whole sentence: word ids and their letters in, scores of the tags out.
function tagNet(held, settings, codec) {
  const embed = held.embedding("embed", codec.size), cells = held.cells("recurrent"), output = held.linear("output");
  const letter = held.matrix("letters.weight") && held.embedding("letters", 257), speller = held.cells("speller");
  const convolution = held.linear("speller"), caution = held.number("caution"), outside = new Float64Array(letter ? letter(0).length : 0);
  // Bytes + 1 of a word -> what its letters look like: a convolution's maxima, or two last states.
  async function spelt(bytes) {
    const xs = bytes.map(letter);
    if (!convolution) {
      const { hidden: h } = await stack(speller, 2, xs), half = h[0].length / 2;
      return joined(h.at(-1).subarray(0, half), h[0].subarray(half));
    }
    const near = (p) => [xs[p - 1] ?? outside, xs[p], xs[p + 1] ?? outside];
    const window = (three) => Float64Array.from({ length: 3 * outside.length }, (_, i) => three[i % 3][Math.floor(i / 3)]);
    return tanh(xs.map((_, p) => convolution(window(near(p)))).reduce((a, b) => a.map((x, i) => Math.max(x, b[i]))));
  }
  const allowed = (name) => held.vector(`field.${name}`).map((x, i) => (held.vector(`field.no_${name}`)[i] ? -Infinity : x));
  return {
    field: { start: allowed("start"), follows: allowed("follows"), end: allowed("end") },
    async emissions(ids, spellings) {
      const xs = [];
      for (const [t, id] of ids.entries()) xs.push(letter ? joined(embed(id), await spelt(spellings[t])) : embed(id));
      return (await stack(cells, settings.directions, xs)).hidden.map((h) => output(h).map((x, k) => (k ? x : x - caution)));
    },
  };
}

// Many to many of another length: a sentence is read, then its translation written symbol by symbol.
function translateNet(held, settings, codec) {
  const embed = held.embedding("embed", codec.source.size), embedTarget = held.embedding("embed_target", codec.size);
  const encoder = held.cells("encoder"), decoder = held.cells("decoder"), memory = held.linear("memory"), bridge = [];
  for (let i = 0, found; (found = held.linear(`bridge.${i}`)); i++) bridge.push(found);
  const key = held.linear("attention.key"), query = held.linear("attention.query"), v = held.linear("attention.v");
  const past = held.vector("attention.past")?.[0], combine = held.linear("combine"), output = held.linear("output");
  const each = bridge.length / decoder.length;  // states of a cell
  return {
    looks: settings.attention !== "none",
    async read(ids) {
      const { hidden, last } = await stack(encoder, settings.directions, ids.map(embed)), values = hidden.map(memory);
      const first = last.map((states, l) => states.map((state, s) => (s ? bridge[l * each + s](state) : tanh(bridge[l * each](state)))));
      const state = { states: first, fed: new Float64Array(decoder[0].W.columns - embedTarget(0).length), covered: new Float64Array(ids.length) };
      return [{ values, keys: key ? values.map(key) : values }, state];
    },
    // [logits, the state after, where it looked]
    step(id, { values, keys }, { states, fed, covered }) {
      const { hidden, after } = climb(decoder, joined(embedTarget(id), fed), states), h = hidden.at(-1);
      if (settings.attention === "none") {
        const features = tanh(combine(h));
        return [output(features), { states: after, fed: fed.length ? features : fed, covered }, null];
      }
      const asked = query ? query(h) : h;
      let scores = Float64Array.from(keys, (one) => (v ? v(tanh(sum(one, asked)))[0] : dot(one, asked)));
      if (past !== undefined) scores = scores.map((x, s) => x + past * covered[s]);
      const weights = softmax(scores), context = values.map((one, s) => one.map((x) => weights[s] * x)).reduce(sum);
      const features = tanh(combine(joined(context, h)));
      return [output(features), { states: after, fed: fed.length ? features : fed, covered: sum(covered, weights) }, weights];
    },
  };
}
const dot = (a, b) => a.reduce((total, x, i) => total + x * b[i], 0);
