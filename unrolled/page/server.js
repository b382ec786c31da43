// --- the server

const secret = () => sessionStorage.getItem("token") ?? "";
if (location.hash.startsWith("#token=")) {
  sessionStorage.setItem("token", decodeURIComponent(location.hash.slice(7)));
  history.replaceState(null, "", location.pathname);
}
class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}
async function fetched(path, body, type = "application/json") {
  const headers = secret() ? { authorization: `Bearer ${secret()}` } : {};
  if (body !== undefined) headers["content-type"] = type;
  const sent = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
  const answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: sent });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({ error: { message: answer.statusText } }));
  throw new Refused(answer.status, said.error.message + (said.error.next ? ` — ${said.error.next}` : ""));
}
const asked = async (path, body, type) => (await fetched(path, body, type)).json();
function socket(path, hear, ended) {
  const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`, secret() ? ["unrolled", `token.${secret()}`] : ["unrolled"]);
  opened.binaryType = "arraybuffer";
  let told = false;  // an error is told before the socket closes
  opened.onmessage = (event) => {
    const one = typeof event.data === "string" ? JSON.parse(event.data) : event.data;
    told ||= "error" in one;
    hear(one);
  };
  opened.onclose = (event) => ended(told || event.code === 1000 || event.code === 1005 ? "" : event.reason || "the connection is closed");
  return opened;
}

async function begin() {
  let found;
  try { found = (await asked("/runs")).runs; } catch (error) {
    byId("ask").hidden = error.status !== 401;
    byId("state").textContent = error.message;
    return;
  }
  byId("ask").hidden = true;
  byId("state").textContent = `${found.length} run${found.length === 1 ? "" : "s"} served here; what they are asked by: `;
  byId("state").append(secret() ? "openapi.json" : make("a", { href: "/openapi.json" }, "openapi.json"));
  showTabs(found);
}
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value.trim());
  begin();
});
begin();
