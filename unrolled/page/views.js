"use strict";

// --- small things

const byId = (id) => document.getElementById(id);
function make(tag, props = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...inside.filter((one) => one !== null));
  return made;
}
let serial = 0;
function field(text, control) {
  control.id ||= `field${++serial}`;
  return make("label", { htmlFor: control.id }, text, control);
}
const number = (value, props = {}) => make("input", { type: "number", value, ...props });
const percent = (p) => (p >= 0.0995 ? `${Math.round(100 * p)} %` : `${(100 * p).toFixed(1)} %`);
const VISIBLE = { " ": "␣", "\n": "⏎", "\t": "⇥", "": "∅" };
const visible = (symbol) => VISIBLE[symbol] ?? symbol;
function soon(does, wait) {
  let timer = 0;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => does(...given), wait); };
}
// Drawing once a frame at most, however often it is asked for.
function framed(does) {
  let frame = 0;
  return () => { frame ||= requestAnimationFrame(() => { frame = 0; does(); }); };
}
function bars(list, best = null, told = percent) {
  return make("ul", { className: "bars" }, ...list.map(([name, p]) => {
    const fill = make("i");
    fill.style.width = `${100 * Math.max(0, p)}%`;
    return make("li", { className: name === best ? "best" : "" }, fill, make("span", {}, visible(name)), make("span", {}, told(p)));
  }));
}
// Beneath text at most 0.4: its contrast stays above 4.5, in light and in dark.
const tint = (kind, strength, most = 0.4) => `rgb(var(--${kind}) / ${Math.min(most, strength).toFixed(3)})`;
const unseen = (text) => make("span", { className: "unseen" }, text);  // for those who hear the page

// A panel's own place for what went wrong, and a wrapper that fills it. Of several questions under way, the last one counts.
function trouble(panel) {
  const place = make("p", { className: "wrong", role: "alert", hidden: true });
  panel.append(place);
  let last = 0;
  const say = (text) => { place.textContent = text; place.hidden = !text; };
  const latest = async (does, then) => {
    const mine = ++last;
    try {
      const found = await does();
      if (mine === last) { say(""); then(found); }
    } catch (error) { if (mine === last) say(error.message); }
  };
  return { say, latest };
}

// --- sound

async function decoded(file, hertz) {
  const context = new OfflineAudioContext(1, 1, hertz), sound = await context.decodeAudioData(await file.arrayBuffer());
  const mixed = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++) sound.getChannelData(c).forEach((x, i) => { mixed[i] += x / sound.numberOfChannels; });
  return mixed;
}
function pcm(samples) {
  const out = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((x, i) => out.setInt16(2 * i, Math.max(-32768, Math.min(32767, Math.round(32768 * x))), true));
  return out.buffer;
}
async function microphone(hertz, hear) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
  const context = new AudioContext({ sampleRate: hertz });
  const stop = () => { for (const track of stream.getTracks()) track.stop(); context.close(); };
  try {
    const taker = context.createScriptProcessor(2048, 1, 1);  // a worklet would need a second file
    taker.onaudioprocess = (event) => hear(pcm(event.inputBuffer.getChannelData(0)));
    context.createMediaStreamSource(stream).connect(taker); taker.connect(context.destination);
  } catch (error) { stop(); throw error; }
  return stop;
}
function drawn(canvas) {
  const scale = devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, box.width * scale); canvas.height = Math.max(1, box.height * scale);
  const pen = canvas.getContext("2d"), look = getComputedStyle(document.documentElement);
  pen.scale(scale, scale);
  return { pen, width: box.width, height: box.height, colour: (name) => look.getPropertyValue(`--${name}`) };
}

// --- a view a task

const views = {
  language(run, panel) {
    const wrong = trouble(panel);
    const text = make("textarea", { value: run.examples.score.text, spellcheck: false });
    const length = number(300, { min: 1, max: 4096 }), temperature = number(0.8, { min: 0, max: 100, step: 0.1 });
    const topP = number("", { min: 0, max: 1, step: 0.05, placeholder: "all" }), seed = number("", { min: 0, placeholder: "new" });
    const label = run.labels.length ? make("select", {}, ...run.labels.map((one) => make("option", {}, one))) : null;
    const go = make("button", { className: "main" }, "Write"), out = make("div", { className: "out mono", tabIndex: 0, role: "group" });
    out.setAttribute("aria-label", "the text; arrow keys go from symbol to symbol");
    const side = make("div", { "aria-live": "polite" }), title = make("h2", {}, "expected next"), list = make("div");
    side.append(title, list);
    let symbols = [], at = null, writing = null;  // what is under way: its socket and what shows its symbols
    const shown = (i) => {
      if (at !== null) symbols[at]?.place.classList.remove("at");
      at = i === null ? null : Math.max(0, Math.min(symbols.length - 1, i));
      const one = at === null ? null : symbols[at];
      one?.place.classList.add("at");
      one?.place.scrollIntoView({ block: "nearest" });
      if (one) tell(`in the place of “${visible(one.text)}”` + (one.probability === null ? "" : `, ${percent(one.probability)}`), one.likeliest, one.text);
    };
    const tell = (head, likeliest, best = null) => { title.textContent = head; list.replaceChildren(bars(likeliest, best)); };
    const add = (one, given) => {
      const place = make("span", { className: given ? "given" : "" }, one.text);
      if (one.probability !== null) place.style.background = tint("against", 0.05 * Math.max(0, -Math.log2(one.probability) - 0.5));
      const i = symbols.push({ ...one, place }) - 1;
      place.addEventListener("mouseenter", () => shown(i));
      out.append(place);
    };
    const read = () => wrong.latest(
      () => asked(`/${run.name}/score`, { text: text.value, ...(label ? { label: label.value } : {}) }),
      (found) => {
        symbols = []; at = null; out.replaceChildren();
        for (const one of found.symbols) add(one, true);
        tell("expected next", found.next);
      });
    const stop = () => {
      clearInterval(writing?.timer);
      writing?.opened?.close();
      writing = null; go.textContent = "Write"; side.ariaLive = "polite";
    };
    const write = (mine) => {
      symbols.length = text.value ? symbols.length : 0;
      const wanted = { prompt: text.value, length: +length.value, temperature: +temperature.value }, waiting = [];
      if (topP.value) wanted.top_p = +topP.value;
      if (seed.value) wanted.seed = +seed.value;
      if (label) wanted.label = label.value;
      let last = false;
      const opened = mine.opened = socket(`/${run.name}/stream`, (one) => {
        if (mine !== writing) return;
        if (one.error) wrong.say(one.error.message);
        else if (one.done) last = true;
        else waiting.push(one);
      }, (why) => { last = true; if (why && mine === writing) wrong.say(why); });
      opened.onopen = () => opened.send(JSON.stringify(wanted));
      mine.timer = setInterval(() => {
        const one = waiting.shift();
        if (one) { add(one, false); if (at === null) tell(`in the place of “${visible(one.text)}”`, one.likeliest, one.text); }
        else if (last) stop();
      }, 25);
    };
    go.addEventListener("click", async () => {
      if (writing) { stop(); return; }
      const mine = writing = {};
      go.textContent = "Stop"; side.ariaLive = "off";  // a symbol is gone before it could be read aloud
      await read();
      if (mine === writing) write(mine);
    });
    out.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
      if (step) { event.preventDefault(); shown((at ?? -1) + step); }
    });
    out.addEventListener("mouseleave", () => shown(null));
    const readSoon = soon(() => { if (!writing) read(); }, 150);  // what is written has read its beginning
    text.addEventListener("input", () => { stop(); readSoon(); });
    label?.addEventListener("change", () => { stop(); read(); });
    panel.append(
      field("the beginning", text),
      make("div", { className: "row" }, field("symbols", length), field("temperature", temperature), field("top p", topP), field("seed", seed), label && field("label", label), go),
      make("div", { className: "two" }, make("div", {}, make("p", { className: "soft" }, "Red is what was not expected, underlined what was given. Point at a symbol, or use the arrow keys."), out), side));
    read();
  },

  classify(run, panel) {
    const wrong = trouble(panel), text = make("textarea", { value: run.examples.predict.texts[0] });
    const out = make("div", { className: "out large" }), side = make("div", { "aria-live": "polite" });
    const ask = (evidence) => asked(`/${run.name}/predict`, { texts: [text.value], evidence });
    const answer = (one) => {
      const middle = one.likeliest === one.label ? "" : ", the middle of what is probable";
      side.replaceChildren();
      out.ariaBusy = one.label !== null;  // what stands there is of the last text
      if (one.label === null) out.replaceChildren();
      else side.append(make("h2", {}, `answer: ${one.label}${middle}`), bars(Object.entries(one.probabilities), one.label));
    };
    const explain = (one) => {
      out.ariaBusy = false;
      const strongest = Math.max(0.5, ...one.evidence.map(Math.abs));
      out.replaceChildren(...one.words.flatMap((word, i) => {
        const nats = one.evidence[i] ?? 0, kind = nats >= 0 ? "for" : "against", strength = Math.abs(nats) / strongest;
        const moved = one.evidence[i] === null ? "not looked at" : `${nats >= 0 ? "+" : ""}${nats.toFixed(2)} nats`;
        const did = one.unknown[i] ? "never seen in training" : moved;
        const place = make("span", { className: `word ${strength > 0.1 ? kind : ""}`, title: did }, word);
        place.style.background = tint(kind, 0.4 * strength);
        place.style.borderBottomColor = strength > 0.1 ? tint(kind, 0.75, 0.75) : "transparent";
        return [place, unseen(` (${did})`), run.symbols === "characters" ? "" : " "];
      }));
    };
    // The answer comes first, what each word did when it is known.
    const read = () => wrong.latest(() => ask(false), ({ answers: [one] }) => {
      answer(one);
      if (one.label !== null) wrong.latest(() => ask(true), ({ answers: [more] }) => explain(more));
    });
    text.addEventListener("input", soon(read, 250));
    const told = run.evidence ?? "How far each word moves the answer's log-probability, by integrated gradients.";
    panel.append(field("a text", text), make("div", { className: "two" },
      make("div", {}, make("h2", {}, "what each word did"), out, make("p", { className: "soft" }, `Underlined: for the answer. Dotted: against it. ${told}`)), side));
    read();
  },

  tag(run, panel) {
    const wrong = trouble(panel), text = make("textarea", { value: run.examples.predict.texts[0] });
    const out = make("div", { className: "out large", "aria-live": "polite" });
    const read = () => wrong.latest(() => asked(`/${run.name}/predict`, { texts: [text.value] }), ({ answers: [one] }) => {
      const letters = [...one.text];  // places are characters, not UTF-16 units
      let at = 0;
      out.replaceChildren();
      for (const name of one.names) {
        out.append(letters.slice(at, name.start).join(""), make("mark", { title: percent(name.probability) }, name.text, make("small", {}, `${name.label} ${percent(name.probability)}`)));
        at = name.end;
      }
      out.append(letters.slice(at).join(""));
    });
    text.addEventListener("input", soon(read, 200));
    panel.append(field("a text", text), make("h2", {}, "names in it"), out);
    read();
  },

  translate(run, panel) {
    const wrong = trouble(panel), text = make("textarea", { value: run.examples.predict.texts[0] });
    const out = make("div", { className: "out large", "aria-live": "polite" }), grid = make("div", { className: "grid", role: "region", tabIndex: 0 });
    grid.setAttribute("aria-label", "where the net looked");
    const looks = run.verbs.includes("look");
    const both = () => Promise.all([
      asked(`/${run.name}/predict`, { texts: [text.value] }),
      looks && text.value.trim() ? asked(`/${run.name}/look`, { text: text.value }).catch((error) => ({ error })) : null]);
    const read = () => wrong.latest(both, ([{ answers: [one] }, seen]) => {
      out.textContent = one.text;
      grid.replaceChildren();
      if (seen?.error) grid.append(make("p", { className: "soft" }, seen.error.message));
      else if (seen) grid.append(attention(seen));
    });
    text.addEventListener("input", soon(read, 300));
    panel.append(field("a sentence", text), make("h2", {}, "translation"), out, looks ? make("h2", {}, "where the net looked: a row is a symbol it wrote") : "", grid);
    read();
  },

  caption(run, panel) {
    const wrong = trouble(panel), seen = make("div", { className: "seen", hidden: true }), image = make("img", { alt: "the picture that was given" });
    const veil = make("canvas"), said = make("div", { className: "said", "aria-live": "polite" });
    veil.setAttribute("aria-hidden", "true");
    seen.append(image, veil);
    let found = null;
    const show = (t) => {
      [...said.children].forEach((one, i) => one.classList.toggle("at", i === t));
      const { pen, width, height } = drawn(veil);
      if (t === null) return;
      const weights = found.weights[t], rows = weights.length, columns = weights[0].length, most = Math.max(...weights.flat());
      weights.forEach((row, i) => row.forEach((weight, j) => {
        pen.fillStyle = `rgb(0 0 0 / ${(0.75 * (1 - weight / most)).toFixed(3)})`;
        pen.fillRect((j * width) / columns, (i * height) / rows, width / columns + 0.5, height / rows + 0.5);
      }));
    };
    const read = (file) => {
      image.src = URL.createObjectURL(file);
      seen.hidden = false;
      wrong.latest(() => asked(`/${run.name}/look`, file, file.type), (looked) => {
        found = looked;
        said.replaceChildren(...looked.words.map((word, t) => make("button", {
          title: `the picture counted ${looked.gates[t].toFixed(2)}`, onmouseenter: () => show(t), onfocus: () => show(t),
          onmouseleave: () => show(null), onblur: () => show(null),
        }, word)));
        show(null);
      });
    };
    panel.append(taken("a picture", "image/*", read), make("h2", {}, "what it shows"), said,
      make("p", { className: "soft" }, "Point at a word, or go to it with the tab key: light is where the net looked as it wrote it."), seen);
  },

  trigger(run, panel) {
    const canvas = make("canvas", { className: "curve" }), events = make("ul", { className: "bars", "aria-live": "polite" });
    canvas.setAttribute("role", "img");
    let points = [], fired = [], threshold = 1, whole = null;  // seconds of a recording; of the microphone the last ten are shown
    const reach = (seconds) => {
      whole = seconds;
      canvas.setAttribute("aria-label", `probability of the word over ${whole === null ? "the last ten seconds" : `the recording's ${whole.toFixed(1)} seconds`}`);
    };
    const draw = framed(() => {
      const { pen, width, height, colour } = drawn(canvas), span = whole ?? 10, last = whole ?? Math.max(10, points.at(-1)?.[0] ?? 0);
      const x = (time) => ((time - last + span) / span) * width, y = (p) => height - 4 - p * (height - 8);
      pen.strokeStyle = colour("soft"); pen.setLineDash([4, 4]);
      pen.beginPath(); pen.moveTo(0, y(threshold)); pen.lineTo(width, y(threshold)); pen.stroke();
      pen.setLineDash([]); pen.strokeStyle = colour("accent"); pen.lineWidth = 2; pen.beginPath();
      for (const [time, p] of points) pen.lineTo(x(time), y(p));
      pen.stroke();
      pen.fillStyle = `rgb(${colour("against")})`;
      for (const one of fired) { pen.beginPath(); pen.arc(x(one.time), y(one.probability), 5, 0, 7); pen.fill(); }
    });
    hearing(run, panel, "The curve is the probability that the word was just said; the dashed line is where it fires.", {
      begin: (first) => { points = []; fired = []; threshold = first.threshold; events.replaceChildren(); reach(null); draw(); },
      whole: (seconds) => { reach(seconds); draw(); },
      hear: (one) => {
        one.times.forEach((time, i) => points.push([time, one.probabilities[i]]));
        if (whole === null) points = points.slice(-5000);
        for (const event of one.events) {
          fired.push(event);
          events.prepend(make("li", {}, make("span", {}, `heard at ${event.time.toFixed(2)} s`), make("span", {}, percent(event.probability))));
        }
        draw();
      },
      end: () => { if (!fired.length) events.replaceChildren(make("li", {}, make("span", {}, "not heard"))); },
    });
    panel.append(canvas, make("h2", {}, "when it was heard"), events);
    reach(null);
    addEventListener("resize", draw);
  },

  speech(run, panel) {
    const done = make("span"), going = make("span", { className: "going" });
    const out = make("div", { className: "out large", "aria-live": "polite" }, done, going);
    const parts = {
      begin: () => { done.textContent = going.textContent = ""; },
      hear: (one) => {
        if (one.final) { done.textContent += (done.textContent ? " " : "") + one.text; going.textContent = ""; }
        else going.textContent = (done.textContent ? " " : "") + one.text;
      },
      end: () => { going.textContent = ""; if (!done.textContent) going.textContent = "(nothing was understood)"; },
    };
    if (run.streams.includes("listen")) hearing(run, panel, "What may still change is grey.", parts);
    else {
      const wrong = trouble(panel);
      panel.append(taken("a recording (WAV, FLAC, OGG)", "audio/*", (file) => wrong.latest(
        () => asked(`/${run.name}/predict`, file, file.type), (one) => { done.textContent = one.text; })));
    }
    panel.append(make("h2", {}, "what was said"), out);
  },

  video(run, panel) {
    const wrong = trouble(panel), out = make("div", { "aria-live": "polite" });
    const read = (file) => wrong.latest(() => asked(`/${run.name}/predict`, file, file.type), (one) => {
      out.replaceChildren();
      if (one.probabilities) out.append(bars(Object.entries(one.probabilities), one.label));
      for (const each of one.frames ?? []) out.append(make("p", {}, `frames ${each.first} to ${each.last}: ${each.label}, ${percent(each.probability)}`));
    });
    panel.append(taken("a clip (GIF, a strip of frames, MP4)", "image/*,video/*", read), make("h2", {}, "what happens in it"), out);
  },

  wavenet(run, panel) {
    const wrong = trouble(panel), seconds = number(5, { min: 0.1, max: 60, step: 0.1 }), temperature = number(1, { min: 0, max: 100, step: 0.1 });
    const seed = number("", { min: 0, placeholder: "new" }), go = make("button", { className: "main" }, "Make and play");
    const label = run.labels.length ? make("select", {}, ...run.labels.map((one) => make("option", {}, one))) : null;
    const canvas = make("canvas", { className: "wave" }), told = make("p", { className: "soft", role: "status" });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "the sound that was made so far");
    let opened = null, context = null, over = 0, made = new Float32Array(0), filled = 0;  // samples so far
    const draw = framed(() => {
      const { pen, width, height, colour } = drawn(canvas), wide = made.length / width, y = (sample) => height * (0.5 - 0.48 * sample);
      pen.strokeStyle = colour("accent"); pen.beginPath();
      for (let x = 0; x < width; x++) {
        const from = Math.floor(x * wide), to = Math.min(filled, Math.max(from + 1, Math.floor((x + 1) * wide)));
        if (from >= to) break;
        let [low, high] = [made[from], made[from]];
        for (let i = from; i < to; i++) { low = Math.min(low, made[i]); high = Math.max(high, made[i]); }
        pen.moveTo(x, y(high)); pen.lineTo(x, y(low) + 1);
      }
      pen.stroke();
    });
    const stop = () => { clearTimeout(over); opened?.close(); context?.close(); opened = context = null; go.textContent = "Make and play"; };
    go.addEventListener("click", () => {
      if (opened) { stop(); return; }
      const wanted = { seconds: +seconds.value, temperature: +temperature.value }, began = performance.now();
      if (seed.value) wanted.seed = +seed.value;
      if (label) wanted.label = label.value;
      wrong.say(""); go.textContent = "Stop";
      let hertz = 16000, at = 0, pace = 0;
      opened = socket(`/${run.name}/stream`, (one) => {
        if (one.error) wrong.say(one.error.message);
        else if (one.hertz) {
          hertz = one.hertz; context = new AudioContext(); at = context.currentTime + 0.3;
          made = new Float32Array(Math.ceil(wanted.seconds * hertz)); filled = 0;
        }
        else if (one.done) {
          told.textContent = `${wanted.seconds} s of sound, ${pace.toFixed(1)} times as fast as it plays`;
          opened.close();
          over = setTimeout(stop, 1000 * Math.max(0, at - (context?.currentTime ?? 0)));
        } else {
          const samples = Float32Array.from(new Int16Array(one), (x) => x / 32768), buffer = context.createBuffer(1, samples.length, hertz);
          buffer.copyToChannel(samples, 0);
          const source = context.createBufferSource();
          source.buffer = buffer; source.connect(context.destination);
          at = Math.max(at, context.currentTime + 0.05);  // where it is made slower than it plays, there are gaps
          source.start(at); at += buffer.duration;
          made.set(samples, filled); filled += samples.length;
          pace = (1000 * filled) / hertz / (performance.now() - began);
          draw();
        }
      }, (why) => { if (why) { wrong.say(why); stop(); } });
      opened.onopen = () => opened.send(JSON.stringify(wanted));
    });
    panel.append(make("div", { className: "row" }, field("seconds", seconds), field("temperature", temperature), field("seed", seed), label && field("label", label), go), canvas, told);
  },

  embed(run, panel) {
    const wrong = trouble(panel), first = run.examples.nearest.word;
    const word = make("input", { type: "text", value: first }), near = make("div", { "aria-live": "polite" });
    const three = ["a", "b", "c"].map((name) => make("input", { type: "text", size: 10, value: run.examples.analogy[name] }));
    const like = make("div", { "aria-live": "polite" }), canvas = make("canvas", { className: "map", tabIndex: 0 }), told = make("p", { className: "soft", role: "status" });
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "map of words: arrow keys move it, plus and minus change its size");
    let points = [], scale = 1, left = 0, top = 0, marked = new Set();
    const shown = (list) => bars(list.map((one) => [one.word, one.similarity]), null, (cosine) => cosine.toFixed(2));
    const draw = framed(() => {
      const { pen, width, height, colour } = drawn(canvas), taken = [];
      pen.font = "13px system-ui, sans-serif"; pen.textBaseline = "middle";
      const put = ([name, x, y], found) => {
        const px = width / 2 + (x - left) * scale, py = height / 2 - (y - top) * scale, wide = pen.measureText(name).width + 8;
        if (px < -wide || px > width || py < 0 || py > height) return;
        pen.fillStyle = found ? `rgb(${colour("against")})` : colour("soft");
        pen.beginPath(); pen.arc(px, py, found ? 4 : 2, 0, 7); pen.fill();
        if (taken.some(([a, b, c]) => px < a + c && a < px + wide && Math.abs(py - b) < 14)) return;  // no word over another
        taken.push([px, py, wide]);
        if (!found) pen.fillStyle = colour("ink");
        pen.fillText(name, px + 5, py);
      };
      for (const one of points) if (marked.has(one[0])) put(one, true);
      for (const one of points) if (!marked.has(one[0])) put(one, false);
    });
    const go = (x, y) => { left = x; top = y; draw(); };
    // About a place that stays: pixels from the map's middle.
    const zoom = (by, x = 0, y = 0) => { const gone = (1 - 1 / by) / scale; scale *= by; go(left + x * gone, top - y * gone); };
    const seen = ([, x, y]) => Math.abs(x - left) * scale < 0.45 * canvas.clientWidth && Math.abs(y - top) * scale < 0.47 * canvas.clientHeight;
    const find = () => wrong.latest(() => asked(`/${run.name}/nearest`, { word: word.value, number: 10 }), (found) => {
      near.replaceChildren(shown(found.nearest));
      marked = new Set([found.word, ...found.nearest.map((one) => one.word)]);
      const at = points.find((one) => one[0] === found.word);
      if (at && !seen(at)) go(at[1], at[2]); else draw();
    });
    const solve = () => wrong.latest(() => asked(`/${run.name}/analogy`, Object.fromEntries(["a", "b", "c"].map((name, i) => [name, three[i].value]).concat([["number", 5]]))),
      (found) => { like.replaceChildren(shown(found.answers)); marked = new Set([...found.words, found.answers[0]?.word]); draw(); });
    const reach = () => {
      const xs = points.map((one) => one[1]), ys = points.map((one) => one[2]), box = canvas.getBoundingClientRect();
      const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
      scale = 0.8 * Math.min(box.width / Math.max(1e-9, x1 - x0), box.height / Math.max(1e-9, y1 - y0));
      go((x0 + x1) / 2 + 24 / scale, (y0 + y1) / 2);  // names stand to the right of their places
    };
    const held = new Map();  // where each pointer is, from the map's middle: one moves the map, two change its size as well
    const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2]; };
    const grip = () => {
      const all = [...held.values()], [[a, b], [c, d]] = [all[0], all.at(-1)];
      return [(a + c) / 2, (b + d) / 2, Math.hypot(a - c, b - d) || 1];
    };
    canvas.addEventListener("pointerdown", (event) => { held.set(event.pointerId, place(event)); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (!held.has(event.pointerId)) return;
      const [x0, y0, apart] = grip();
      held.set(event.pointerId, place(event));
      const [x, y, now] = grip();
      left -= (x - x0) / scale; top += (y - y0) / scale;
      zoom(now / apart, x, y);
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => held.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), ...place(event)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = 60 / scale, by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
      if (by) go(left + by[0], top + by[1]);
      else if ("+-".includes(event.key)) zoom(event.key === "+" ? 1.3 : 1 / 1.3);
      else return;
      event.preventDefault();
    });
    addEventListener("resize", draw);
    const sizes = [["+", "larger", 1.3], ["−", "smaller", 1 / 1.3]].map(([sign, name, by]) => make("button", { "aria-label": `the map ${name}`, onclick: () => zoom(by) }, sign));
    word.addEventListener("input", soon(find, 300));
    for (const one of three) one.addEventListener("input", soon(solve, 300));
    panel.append(make("div", { className: "two" },
      make("div", {}, make("h2", {}, "the map"), canvas, make("div", { className: "row" }, ...sizes, told)),
      make("div", {}, field("words most similar to ", word), near, make("h2", {}, "a is to b as c is to …"), make("div", { className: "row" }, ...three.map((one, i) => field("abc"[i], one))), like)));
    asked(`/${run.name}/map`, { words: 1000 }).then((found) => {
      points = found.points;
      told.textContent = `${points.length} words, laid out by ${found.by}`;
      reach(); find();
    }, (error) => wrong.say(error.message));
    solve();
  },
};

// A file dropped beside a place for it would be opened in place of this page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
// A place to drop a file on, or to choose one at.
function taken(what, kinds, does) {
  const chooser = make("input", { type: "file", accept: kinds });
  chooser.setAttribute("aria-label", `choose ${what}`);
  const place = make("div", { className: "drop" }, `Drop ${what} here, or `, make("span", { className: "file" }, "choose one", chooser));
  chooser.addEventListener("change", () => chooser.files[0] && does(chooser.files[0]));
  place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer.files[0]) does(event.dataTransfer.files[0]);
  });
  return place;
}

// Sound from the microphone or a file, sent as it comes; what is heard is told to `parts`.
function hearing(run, panel, help, parts) {
  const wrong = trouble(panel), go = make("button", { className: "main" }, "Microphone");
  let opened = null, stop = null;  // the socket of what is heard; what ends its microphone
  const microphoneIs = (state) => {  // off, starting, on
    if (state !== "on") { stop?.(); stop = null; }
    go.textContent = state === "on" ? "Stop" : "Microphone";
    go.disabled = state === "starting";
  };
  const begin = (state, ready) => {  // which ends what was heard so far
    opened?.close();
    microphoneIs(state);
    wrong.say("");
    const mine = opened = socket(`/${run.name}/listen`, (one) => {
      if (mine !== opened) return;
      if (one.error) wrong.say(one.error.message);
      else if (one.hertz) { parts.begin(one); ready(mine, one.hertz); }
      else if (one.done) parts.end();
      else parts.hear(one);
    }, (why) => {
      if (mine !== opened) return;
      if (why) wrong.say(why);
      opened = null; microphoneIs("off");
    });
    mine.onopen = () => mine.send("{}");
  };
  const failed = (mine, why) => {
    if (mine !== opened) return;
    wrong.say(why);
    opened = null; mine.close(); microphoneIs("off");
  };
  go.addEventListener("click", () => {
    if (stop) { microphoneIs("off"); opened.send('{"end": true}'); return; }
    begin("starting", async (mine, hertz) => {
      try {
        const end = await microphone(hertz, (bytes) => mine.readyState === 1 && mine.send(bytes));
        if (mine !== opened) { end(); return; }  // it was ended before the microphone was granted
        stop = end; microphoneIs("on");
      } catch (error) { failed(mine, `the microphone is not heard: ${error.message}`); }
    });
  });
  panel.append(make("div", { className: "row" }, go), taken("a recording", "audio/*", (file) => begin("off", async (mine, hertz) => {
    try {
      const samples = await decoded(file, hertz), size = Math.round(hertz / 4);
      if (mine === opened) parts.whole?.(samples.length / hertz);
      for (let i = 0; i < samples.length; i += size) mine.send(pcm(samples.subarray(i, i + size)));
      mine.send('{"end": true}');
    } catch (error) { failed(mine, `the file is not read as sound: ${error.message}`); }
  })), make("p", { className: "soft" }, help));
}

function attention(seen) {
  const long = seen.source.some((one) => one.length > 2);
  const head = make("tr", {}, make("td"), ...seen.source.map((one) => make("th", { scope: "col", className: long ? "long" : "" }, visible(one.trim() || one))));
  const rows = seen.written.map((one, t) => make("tr", {}, make("th", { scope: "row" }, visible(one.trim() || one)), ...seen.weights[t].map((weight, s) => {
    const cell = make("td", { title: `${one} ← ${seen.source[s]}: ${percent(weight)}` }, unseen(percent(weight)));
    cell.style.background = tint("for", weight, 0.75);
    return cell;
  })));
  return make("table", {}, make("caption", { className: "unseen" }, "where the net looked: a row is a symbol it wrote, a column one it read"), make("thead", {}, head), make("tbody", {}, ...rows));
}

// --- tabs

function chosen(i, focus) {
  [...byId("tabs").children].forEach((tab, j) => {
    tab.setAttribute("aria-selected", i === j);
    tab.tabIndex = i === j ? 0 : -1;
    byId(`panel${j}`).hidden = i !== j;
    if (i === j && !tab.begun) { tab.begun = true; tab.begin(); }
    if (i === j) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (i === j && focus) tab.focus();
  });
}
// A tab for each of the runs: { name, task, labels, examples, … }, as GET /runs tells of them.
function showTabs(found) {
  const order = Object.keys(views);
  found = found.filter((run) => run.task in views).sort((a, b) => order.indexOf(a.task) - order.indexOf(b.task));
  found.forEach((run, i) => {
    const panel = make("section", { id: `panel${i}`, role: "tabpanel", hidden: true });
    panel.setAttribute("aria-labelledby", `tab${i}`);
    const tab = make("button", { id: `tab${i}`, role: "tab", onclick: () => chosen(i) }, run.name, make("small", {}, run.task));
    tab.setAttribute("aria-controls", `panel${i}`);
    tab.begin = () => views[run.task](run, panel);
    byId("tabs").append(tab);
    byId("panels").append(panel);
  });
  byId("tabs").addEventListener("keydown", (event) => {
    const at = [...byId("tabs").children].indexOf(document.activeElement), size = found.length;
    const to = { ArrowRight: (at + 1) % size, ArrowLeft: (at + size - 1) % size, Home: 0, End: size - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); chosen(to, true); }
  });
  const wanted = found.findIndex((run) => location.hash === `#${run.name}`);
  if (found.length) chosen(Math.max(0, wanted));
}
