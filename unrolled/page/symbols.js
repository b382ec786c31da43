// Text to symbol ids and back, as data/vocab.py's Codec does it, of every kind.

const UNKNOWN = 0, END = 1, FIRST = 2;
const WORDS = ["words", "tokens"], UTF8 = new TextEncoder();
const BLANK = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";  // Python's \s
const PLAIN_WORD = new RegExp(`[^${BLANK}]+|\\n`, "gu"), NOT_BLANK = new RegExp(`[^${BLANK}]`, "u");
const isBlank = (text) => !NOT_BLANK.test(text);
const trimmed = (text) => text.replace(new RegExp(`^[${BLANK}]+|[${BLANK}]+$`, "gu"), "");
const TOKEN = new RegExp(@TOKEN@, "gu");  // data/tokens.py's rules

function codec(about) {
  const kind = about.kind, index = new Map(about.symbols.map((symbol, i) => [symbol, i + FIRST]));
  const pieces = about.tokenizer ? subwords(JSON.parse(about.tokenizer)) : null;
  const complete = kind === "bytes" || pieces !== null;
  const bytesOf = (i) => (kind === "bytes" ? Uint8Array.of(i - FIRST) : pieces.bytes(i - FIRST));
  const self = {
    kind, labels: about.labels, records: about.records, index,
    size: FIRST + (pieces ? pieces.size : kind === "bytes" ? 256 : about.symbols.length),
    encode(text) {
      if (pieces) return pieces.encode(text).map((i) => i + FIRST);
      if (kind === "bytes") return [...UTF8.encode(text)].map((byte) => byte + FIRST);
      return self.pieces(text).map((piece) => index.get(piece) ?? UNKNOWN);
    },
    // The text of each symbol that encode finds.
    pieces(text) {
      if (kind === "tokens") return tokens(text).map((token) => token.text);
      if (kind === "words") return text.match(PLAIN_WORD) ?? [];
      return kind === "characters" ? [...text] : self.encode(text).map(self.text);
    },
    // One symbol as text; bytes that are none by themselves as \xNN.
    text(i) {
      if (i < FIRST) return i === END ? "\n" : WORDS.includes(kind) ? "<unknown>" : "\ufffd";
      return complete ? escaped(bytesOf(i)) : about.symbols[i - FIRST];
    },
    // A function that takes ids one by one and gives the text each adds; null flushes what is left.
    decoder(after = "") {
      if (kind === "characters") return (i) => (i === null ? "" : self.text(i));
      if (!complete) {
        let fresh = !after || isBlank(after.at(-1));
        return (i) => {
          if (i === null) return "";
          const word = self.text(i), text = fresh || word === "\n" ? word : ` ${word}`;
          fresh = word === "\n";
          return text;
        };
      }
      const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
      return (i) => (i === null ? utf8.decode() : i < FIRST ? self.text(i) : utf8.decode(bytesOf(i), { stream: true }));
    },
    decode(ids, after = "") {
      const piece = self.decoder(after);
      return [...ids, null].map(piece).join("");
    },
  };
  const lineEnd = self.records ? UNKNOWN : self.encode("\n")[0] ?? UNKNOWN;
  self.start = lineEnd === UNKNOWN ? END : lineEnd;
  self.never = self.records ? [UNKNOWN] : [UNKNOWN, END];  // never written
  self.source = about.beside ? codec(about.beside) : self;
  return self;
}

// Bytes as UTF-8; those that are none as \xNN.
function escaped(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const size = bytes[at] < 0xc0 ? 1 : bytes[at] < 0xe0 ? 2 : bytes[at] < 0xf0 ? 3 : 4;
    try {
      text += new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(at, at + size));
      at += size;
    } catch {
      text += `\\x${bytes[at].toString(16).padStart(2, "0")}`;
      at += 1;
    }
  }
  return text;
}

// --- words and sentences of prose, as data/tokens.py cuts them

function tokens(text) {
  return Array.from(text.matchAll(TOKEN), (found) => {
    const word = found[0].replace(new RegExp(`^[${BLANK}]+`, "u"), "");
    return { text: word, start: found.index + found[0].length - word.length, end: found.index + found[0].length };
  }).filter((token) => token.text);
}

const LONGEST = 500, STOP = /^(?:[.!?…]+|[。！？।۔])$/u, CLOSING = ['"', "'", "''", "”", "’", "»", ")", "]", "」", "』", "）"];
function sentences(text) {
  const all = tokens(text), found = [];
  let begin = 0;
  for (let i = 1; i < all.length; i++) {
    if (i - begin >= LONGEST || endsBefore(text, all, i)) { found.push(all.slice(begin, i)); begin = i; }
  }
  return all.length ? [...found, all.slice(begin)] : [];
}
function endsBefore(text, all, i) {
  const gap = text.slice(all[i - 1].end, all[i].start);
  if (gap.split("\n").length > 2) return true;
  let last = i - 1;
  while (last > 0 && CLOSING.includes(all[last].text)) last -= 1;
  if (!STOP.test(all[last].text)) return false;
  return (gap !== "" || /[^\x00-\x7f]/u.test(all[last].text)) && !/^\p{Lowercase}/u.test(all[i].text);
}

// --- pieces of words: the tokenizers of kinds bpe and unigram, which see a text as words of bytes (GPT-2's rule)

const BYTES_WORD = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const LETTER_OF = byteLetters(), BYTE_OF = new Map(LETTER_OF.map((letter, byte) => [letter, byte]));
function byteLetters() {
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : 256 + others++));
}

function subwords({ model }) {
  const unigram = Array.isArray(model.vocab);
  const names = unigram ? model.vocab.map(([piece]) => piece) : Object.entries(model.vocab).sort((a, b) => a[1] - b[1]).map(([piece]) => piece);
  const ids = new Map(names.map((piece, i) => [piece, i]));
  const ranks = new Map((model.merges ?? []).map((pair, rank) => [Array.isArray(pair) ? pair.join(" ") : pair, rank]));
  const cut = unigram ? (word) => likeliest(word, model.vocab, ids) : (word) => merged(word, ranks);
  const known = new Map();  // words that were cut before
  return {
    size: names.length,
    bytes: (i) => Uint8Array.from(names[i], (letter) => BYTE_OF.get(letter)),
    encode: (text) => (text.match(BYTES_WORD) ?? []).flatMap((part) => {
      if (!known.has(part)) known.set(part, cut(Array.from(UTF8.encode(part), (byte) => LETTER_OF[byte]).join("")).map((piece) => ids.get(piece)));
      return known.get(part);
    }),
  };
}

// Byte pairs are joined, those learned first before others (Sennrich et al. 2016).
function merged(word, ranks) {
  const parts = [...word];
  for (;;) {
    let best = Infinity, at = -1;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
      if (rank < best) { best = rank; at = i; }
    }
    if (at < 0) return parts;
    parts.splice(at, 2, parts[at] + parts[at + 1]);
  }
}

// The likeliest of all ways to cut a word (Kudo 2018).
function likeliest(word, scored, ids) {
  const longest = scored.reduce((size, [piece]) => Math.max(size, piece.length), 1);
  const best = [{ score: 0, from: 0 }];
  for (let begin = 0; begin < word.length; begin++) {
    for (let end = begin + 1; end <= Math.min(word.length, begin + longest); end++) {
      const id = ids.get(word.slice(begin, end));
      if (id === undefined) continue;
      const score = best[begin].score + scored[id][1];
      if (best[end] === undefined || score > best[end].score) best[end] = { score, from: begin };
    }
  }
  const parts = [];
  for (let end = word.length; end > 0; end = best[end].from) parts.unshift(word.slice(best[end].from, end));
  return parts;
}
