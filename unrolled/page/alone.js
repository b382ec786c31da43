// --- no server: runs stand in the page and answer here, where nothing leaves the browser

const answers = new Map();  // of each run by name, made when first asked
const contents = (kind, name) => [...document.querySelectorAll(`script[data-${kind}]`)].find((one) => one.dataset[kind] === name).textContent;
function verbOf(path) {
  const [, name, verb] = path.split("/");
  if (!answers.has(name)) answers.set(name, answersOf(JSON.parse(contents("run", name)), contents("weights", name)));
  return answers.get(name)[verb];
}
async function asked(path, body) {
  await breath();  // what was typed shows first
  return verbOf(path)(body);
}
// As a WebSocket: one request, messages until it is done or closed.
function socket(path, hear, ended) {
  let closed = false;
  const opened = {
    readyState: 1,
    async send(text) {
      try {
        for await (const one of verbOf(path)(JSON.parse(text))) {
          if (closed) return;
          hear(one);
          await breath();
        }
        hear({ done: true });
      } catch (error) { ended(error.message); }
    },
    close() { closed = true; },
  };
  setTimeout(() => opened.onopen());
  return opened;
}

const found = [...document.querySelectorAll("script[data-run]")].map((place) => JSON.parse(place.textContent));
document.title = `${found.map((run) => run.name).join(", ")}: unrolled`;
byId("state").textContent = `${found.length} run${found.length === 1 ? "" : "s"} in this page; everything is computed here, nothing is sent`;
showTabs(found);
