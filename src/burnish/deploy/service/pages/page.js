// The page at "/": one input, one answer. Class names and texts are anybody's, so they only ever
// become text (textContent), never markup.
"use strict";

const $ = (id) => document.getElementById(id);
const make = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });
const SHOWN = 10; // bars; the rest is folded
let key = ""; // in memory only: a reload forgets it
let info, last, running; // what is served; what Retry repeats; what a newer request aborts

// Paths are relative: the service may live below a prefix.
async function call(path, options = {}) {
  const headers = { ...options.headers, ...(key && { "X-API-Key": key }) };
  const response = await fetch(path, { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error(KNOWN[0]), { status: 0 });
  });
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw Object.assign(new Error(words(response.status, body)), { status: response.status });
}

const KNOWN = {
  0: "The service does not answer. Is it still running?",
  401: "The service wants an API key, and this is not it.",
  503: "The service has too much to do just now.",
  504: "The answer took too long.",
};

function words(status, body) {
  const said = body.error?.message ?? `the service answered with status ${status}`;
  return KNOWN[status] ?? said[0].toUpperCase() + said.slice(1).replace(/\.?$/, ".");
}

const json = (data) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(data),
});

async function start() {
  try {
    info = await call("model/info");
  } catch (error) {
    if (error.status === 401) return unlock(Boolean(key));
    last = start;
    return complain(error);
  }
  complain(null);
  $("unlock").hidden = true;
  $("name").textContent = document.title = info.name;
  $("about").textContent = `version ${info.version} · ${info.classes.length} classes`;
  $(info.kind === "text" ? "texts" : "images").hidden = false;
  $("docs").hidden = Boolean(key); // a link cannot carry the key
  $("monitor").hidden = !info.feedback;
  if (info.kind === "text") $("text").focus();
}

function unlock(wrong) {
  $("about").textContent = "The model is behind a key.";
  $("unlock").hidden = false;
  $("key").focus();
  complain(wrong ? new Error(KNOWN[401]) : null);
}

$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value;
  start();
});

// A picture is chosen, photographed, dropped or pasted.
for (const field of [$("file"), $("photo")]) {
  field.addEventListener("change", () => {
    picture(field.files[0]);
    field.value = ""; // so that choosing the same file again counts as a change
  });
}
for (const kind of ["dragover", "dragleave", "drop"]) {
  // On the whole document: a picture dropped beside the frame would replace the page.
  document.addEventListener(kind, (event) => {
    if ($("images").hidden) return;
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") picture(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => picture(event.clipboardData.files[0]));

function picture(file) {
  if (!file || $("images").hidden) return;
  const view = $("preview");
  URL.revokeObjectURL(view.src);
  view.onload = () => view.classList.toggle("tiny", view.naturalWidth < 200);
  view.onerror = () => (view.hidden = true); // the service knows formats that browsers do not
  view.hidden = false;
  view.src = URL.createObjectURL(file);
  const body = new FormData();
  body.append("file", file);
  ask({ method: "POST", body });
}

$("texts").addEventListener("submit", (event) => {
  event.preventDefault();
  ask(json({ text: $("text").value }));
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("texts").requestSubmit();
});

async function ask(request) {
  running?.abort();
  const mine = (running = new AbortController());
  last = () => ask(request);
  $("answer").classList.add("old");
  $("status").textContent = "Sent.";
  complain(null);
  try {
    show(await call("predict", { ...request, signal: mine.signal }));
  } catch (error) {
    if (error.name === "AbortError") return;
    $("answer").hidden = true;
    error.status === 401 ? unlock(true) : complain(error);
  }
}

function show(answer) {
  const found = answer.predictions[0];
  const order = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]);
  $("answer").hidden = false;
  $("answer").classList.remove("old");
  $("class").textContent = found.class;
  $("confidence").textContent = percent(found.confidence);
  bars($("bars"), order.slice(0, SHOWN));
  bars($("others"), order.slice(SHOWN));
  $("bars").firstChild.className = "first";
  $("rest").hidden = order.length <= SHOWN;
  $("more").textContent = `${order.length - SHOWN} more`;
  const { name, version } = answer.model;
  $("facts").textContent = `${name}, version ${version} · ${answer.milliseconds.toFixed(1)} ms`;
  $("status").textContent = `${found.class}, ${percent(found.confidence)}`;
  $("class").scrollIntoView({ block: "nearest" });
  offer(found.id, found.class, order);
}

function bars(list, rows) {
  list.replaceChildren(...rows.map(([name, share]) => {
    const row = make("li");
    const [label, track, bar] = [make("span", name), make("span"), make("i")];
    label.dir = "auto";
    track.className = "track";
    bar.style.width = `${100 * share}%`; // the page's policy forbids it in markup, not here
    track.append(bar);
    row.append(label, track, make("b", percent(share)));
    return row;
  }));
}

function percent(share) {
  return share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

// Feedback, if the service keeps a log to write it to.
function offer(id, best, order) {
  $("feedback").hidden = !info.feedback;
  $("choices").disabled = false;
  $("thanks").textContent = "";
  const others = order.filter(([name]) => name !== best);
  $("label").replaceChildren(...others.map(([name]) => new Option(name, name)));
  $("right").onclick = () => tell(id, best);
  $("feedback").onsubmit = (event) => {
    event.preventDefault();
    tell(id, $("label").value);
  };
}

async function tell(id, label) {
  last = () => tell(id, label);
  $("choices").disabled = true;
  complain(null);
  try {
    await call("feedback", json({ id, label }));
    $("thanks").textContent = `Noted: ${label}. Thank you.`;
  } catch (error) {
    $("choices").disabled = false;
    complain(error);
  }
}

function complain(error) {
  $("problem").hidden = !error;
  if (!error) return;
  $("status").textContent = "";
  $("words").textContent = error.message;
  $("retry").hidden = ![0, 429, 503, 504].includes(error.status);
}

$("retry").addEventListener("click", () => last());
start();
