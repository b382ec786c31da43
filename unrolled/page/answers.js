// What each task answers, in the form in which the server answers it (serve/answers.py). What cannot be answered is an Error that
// says why.

const SHOWN = 8;  // symbols that are told of what was expected
const SPELLED = 24;  // bytes of a word that are read
const HIDDEN = 40_000;  // symbols read at most to see what hiding each one does
const LOOKED_AT = 200;  // symbols of a sentence whose attention is shown

// A UserError as config.check has it, where an option is out of its range.
function within(name, value, least, most) {
  if (!(value >= least && value <= most)) throw new Error(`\`${name}\` got \`${value}\`; allowed is ${least} to ${most}`);
}

const answering = {
  language(net, codec) {
    let seen = [], under;  // of the text read last: each symbol, what was expected behind it, the state; under which label
    const labelled = (name) => (codec.labels.length ? codec.labels.indexOf(name) : null);
    const expected = (logits, i) => {
      const shares = logSoftmax(logits).map(Math.exp), shown = highest(shares, SHOWN + codec.never.length);
      const likeliest = shown.filter((n) => !codec.never.includes(n)).slice(0, SHOWN).map((n) => [codec.text(n), shares[n]]);
      return { text: "", probability: i === null ? null : shares[i], likeliest };
    };
    // What is alike with the text read last is not read again.
    async function read(text, label) {
      const ids = [codec.start, ...codec.encode(text)], known = label === under ? seen : [];
      const differs = ids.findIndex((id, i) => known[i]?.id !== id), own = known.slice(0, Math.max(0, (differs < 0 ? ids.length : differs) - 1));
      let logits = null;
      for (let i = own.length; i < ids.length; i++) {
        let state;
        [logits, state] = net.step(ids[i], i ? own[i - 1].state : net.start(), label);
        own.push({ id: ids[i], state, next: expected(logits, ids[i + 1] ?? null) });
        if (breathless()) await breath();
      }
      [seen, under] = [own, label];
      return [own, logits];
    }
    return {
      async score({ text, label }) {
        const [found] = await read(text, labelled(label)), pieces = codec.pieces(text), piece = codec.decoder();
        const symbols = found.slice(1).map(({ id }, t) => ({ ...found[t].next, text: id === UNKNOWN ? pieces[t] : piece(id) }));
        return { symbols, next: found.at(-1).next.likeliest };
      },
      // Symbol by symbol, until `length` are written or the text ends.
      async *stream({ prompt = "", length = 500, temperature = 1, top_p = null, seed = null, label }) {
        within("length", length, 1, 4096);
        within("temperature", temperature, 0, 100);
        within("top_p", top_p ?? 1, 1e-6, 1);
        within("seed", seed ?? 0, 0, Number.MAX_SAFE_INTEGER);
        const of = labelled(label), random = seed === null ? Math.random : generator(seed), piece = codec.decoder(prompt);
        const [found, after] = await read(prompt, of);
        let logits = after, state = found.at(-1).state;
        for (let t = 0; t < length; t++) {
          const i = draw(probabilities(logits, { temperature, top_p }, codec.never), random());
          if (i === END) break;
          yield { ...expected(logits, i), text: piece(i) };
          [logits, state] = net.step(i, state, of);
          if (breathless()) await breath();
        }
        const rest = piece(null);
        if (rest) yield { text: rest, probability: null, likeliest: [] };
      },
    };
  },

  classify(net, codec, { lower, ordered }) {
    const logOdds = (logits, label) => logits[label] - logSum(logits.filter((_, k) => k !== label));
    // How far the answer's log-odds fall when a word is read as an unknown one (Zeiler and Fergus 2014); of a long text's every n-th.
    let turn = 0;  // a new question ends the work on the last one
    async function falls(ids, label, whole) {
      const T = ids.length, apart = Math.max(1, Math.ceil((T * T) / HIDDEN)), found = new Array(T).fill(null), mine = ++turn, hidden = await net.hiding(ids);
      for (let t = 0; t < T && mine === turn; t += apart) found[t] = whole - logOdds(await hidden(t), label);
      return found;
    }
    async function one(text, evidence) {
      if (isBlank(text)) return { text, label: null };
      const folded = lower ? text.toLowerCase() : text, encoded = codec.encode(folded), ids = encoded.length ? encoded : [UNKNOWN];
      const logits = await net.read(ids), shares = softmax(logits), likeliest = greatest(shares);
      let label = likeliest;
      if (ordered) {
        let upto = 0;
        label = shares.findIndex((share) => (upto += share) >= 0.5);
        if (label < 0) label = shares.length - 1;
      }
      const answer = { text, label: codec.labels[label], probability: shares[label], likeliest: codec.labels[likeliest],
        probabilities: Object.fromEntries(codec.labels.map((name, k) => [name, shares[k]])) };
      if (!evidence) return answer;
      return { ...answer, words: codec.pieces(folded), evidence: await falls(ids, label, logOdds(logits, label)), unknown: ids.map((id) => id === UNKNOWN) };
    }
    return {
      async predict({ texts, evidence = false }) {
        const answers = [];
        for (const text of texts) answers.push(await one(text, evidence));
        return { answers };
      },
    };
  },

  tag(net, codec, { lower }) {
    const spelled = (word) => {
      const bytes = Array.from(UTF8.encode(word), (byte) => byte + 1);
      return bytes.length <= SPELLED ? bytes : [...bytes.slice(0, SPELLED / 2), ...bytes.slice(-SPELLED / 2)];
    };
    async function one(text) {
      const names = [], places = [0];  // places are told in characters, not in UTF-16 units
      for (const character of text) for (let unit = 0; unit < character.length; unit++) places.push(places.at(-1) + (unit === 0 ? 1 : 0));
      const place = (unit) => places[unit];
      for (const words of sentences(text)) {
        const ids = words.map(({ text: word }) => codec.index.get(lower ? word.toLowerCase() : word) ?? UNKNOWN);
        const emissions = await net.emissions(ids, words.map((word) => spelled(word.text)));
        const tags = bestTags(emissions, net.field), sure = marginals(emissions, net.field).map((shares, t) => shares[tags[t]]);
        for (const [a, b, label] of spansOf(tags.map((k) => codec.labels[k]))) {
          const [begin, end] = [words[a].start, words[b - 1].end];
          names.push({ text: text.slice(begin, end), label, start: place(begin), end: place(end), probability: Math.min(...sure.slice(a, b)) });
        }
      }
      return { text, names };
    }
    return {
      async predict({ texts }) {
        const answers = [];
        for (const text of texts) answers.push(await one(text));
        return { answers };
      },
    };
  },

  translate(net, codec, { stretch, copies }) {
    const search = { width: 5, power: 1.1, patience: 1, threshold: 3 };  // as `predict` searches
    let last = null;  // the sentence that was searched last, and what was found
    async function searched(text) {
      const encoded = codec.source.encode(text), ids = encoded.length ? encoded : [UNKNOWN];
      const [read, state] = await net.read(ids);
      const step = (id, before) => net.step(id, read, before);
      const most = Math.ceil(stretch * ids.length) + 20;
      const [best] = await beams(step, step(END, state), search, most, copies ? [] : [UNKNOWN]);
      const target = best.ids.filter((id) => id !== END), weights = [];
      let now = state;
      for (const id of [END, ...target]) {
        const [, after, looked] = step(id, now);
        now = after;
        weights.push(looked);
      }
      return { ids, best, target, weights, pieces: codec.source.pieces(text) };
    }
    const found = (text) => {
      if (last?.text !== text) last = { text, found: searched(text) };
      return last.found;
    };
    const parts = ({ target, weights, pieces }) => target.map((id, t) => (id === UNKNOWN && copies ? pieces[greatest(weights[t])] : codec.text(id)));
    const spaced = (theirs, pieces) => (WORDS.includes(theirs.kind) ? pieces.map((piece, i) => (i ? ` ${piece}` : piece)) : pieces);
    return {
      async predict({ texts }) {
        const answers = [];
        for (const text of texts) {
          if (isBlank(text)) { answers.push({ text: "", best: [] }); continue; }
          const one = await found(text), between = codec.kind === "characters" ? "" : " ";
          const written = trimmed(one.target.includes(UNKNOWN) ? parts(one).join(between) : codec.decode(one.target));
          answers.push({ text: written, best: [{ text: written, score: one.best.score, nats: one.best.nats }] });
        }
        return { answers };
      },
      async look({ text: given }) {
        const text = given.replace(/\n+$/, "");
        if (!net.looks) throw new Error("this run was trained with `--attention none`: it looks nowhere");
        const one = await found(text);
        if (one.ids.length > LOOKED_AT) throw new Error(`the sentence has ${one.ids.length} symbols; at most ${LOOKED_AT} fit on a page`);
        return { source: spaced(codec.source, one.pieces), written: [...spaced(codec, parts(one)), "⏎"], weights: one.weights.map((row) => [...row]) };
      },
    };
  },

  embed({ words, unit, points, by }) {
    const index = new Map(words.map((word, i) => [word, i]));
    // Where a word stands, or else one that differs in capitals alone.
    function place(word) {
      const found = index.get(word) ?? words.findIndex((other) => other.toUpperCase() === word.toUpperCase());
      if (found < 0) throw new Error(`\`${word}\` is not among the ${words.length} words in this page`);
      return found;
    }
    const vector = (i) => Float64Array.from(unit.values.subarray(i * unit.columns, (i + 1) * unit.columns));
    // The words of the largest cosines with a vector, those at some places left out.
    function near(v, number, without) {
      const cosines = product(unit, v.map((x) => x / Math.sqrt(dot(v, v))));
      for (const i of without) cosines[i] = -Infinity;
      return highest(cosines, number).filter((i) => !without.includes(i)).map((i) => ({ word: words[i], similarity: cosines[i] }));
    }
    return {
      async nearest({ word, number = 10 }) {
        const i = place(word);
        return { word: words[i], nearest: near(vector(i), number, [i]) };
      },
      // a is to b as c is to …: the words nearest to b - a + c (Mikolov et al. 2013)
      async analogy({ a, b, c, number = 10 }) {
        const places = [a, b, c].map(place), [from, to, other] = places.map(vector);
        return { words: places.map((i) => words[i]), answers: near(to.map((x, k) => x - from[k] + other[k]), number, places) };
      },
      map: async ({ words: most }) => ({ by, points: points.slice(0, most) }),
    };
  },
};
const wordsOf = (held, settings) => ({ ...settings, unit: held.matrix("unit") });
const NETS = { language: languageNet, classify: classifyNet, tag: tagNet, translate: translateNet, embed: wordsOf };

// A run as it stands in the page: what it tells of itself, and its weights, 32 bits each, in base64.
function netOf(about, weights) {
  const letters = atob(weights), bytes = new Uint8Array(letters.length), named = {};
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  const values = new Float32Array(bytes.buffer);
  let at = 0;
  for (const [name, shape] of about.weights) {
    const size = shape.reduce((a, b) => a * b, 1);
    named[name] = { shape, values: values.subarray(at, at + size) };
    at += size;
  }
  const symbols = about.codec && codec(about.codec);
  return [NETS[about.task](holder(named, about.settings), about.settings, symbols), symbols];
}
const answersOf = (about, weights) => answering[about.task](...netOf(about, weights), about.settings);
