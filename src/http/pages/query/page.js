// The query page: evaluates PromQL by the connector's API and draws the result as a table or a graph.
// Whatever a response contains gets into the document as text, never as markup.

const DURATIONS = ["1m", "5m", "10m", "30m", "1h", "2h", "6h", "12h", "1d", "2d", "1w", "2w", "4w", "12w", "1y"];
const SECONDS = { ms: 0.001, "": 1, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };
const RECENT = "timestream-connector-expressions";

const by = (id) => document.getElementById(id);
const box = by("expression"), list = by("options"), panel = by("panel"), form = by("form");
const tabs = [by("tab-table"), by("tab-graph")];

function element(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function drawing(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  node.append(...children);
  return node;
}

const plural = (count, one, many = one + "s") => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

// The state: the fields of the form, the tab, and the end in milliseconds (null: now). It is in the address.

let tab = "table", end = null;

const isUtc = () => by("zone").value !== "";

function seconds(text) {
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/([\d.]+)(ms|[ywdhms]?)/g)) sum += number * SECONDS[unit];
  return sum;
}

function fragment() {
  const state = { expr: box.value, tab, range: by("range").value };
  if (end !== null) state.end = new Date(end).toISOString();
  if (by("step").value) state.step = by("step").value;
  if (isUtc()) state.utc = "1";
  return "#" + new URLSearchParams(state);
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  box.value = state.get("expr") ?? "";
  by("range").value = state.get("range") || "1h";
  by("step").value = state.get("step") ?? "";
  by("zone").value = state.get("utc") ? "1" : "";
  const time = Date.parse(state.get("end"));
  setEnd(Number.isNaN(time) ? null : time);
  choose(state.get("tab") === "graph" ? "graph" : "table");
  grow();
}

function choose(name) {
  tab = name;
  for (const it of tabs) {
    it.ariaSelected = String(it.id === "tab-" + name);
    it.tabIndex = it.id === "tab-" + name ? 0 : -1;
  }
  panel.setAttribute("aria-labelledby", "tab-" + name);
  for (const it of document.querySelectorAll(".graph-only")) it.hidden = name !== "graph";
  by("time-name").textContent = name === "graph" ? "End" : "Time";
}

function setEnd(time) {
  end = time;
  by("time").value = time === null ? "" : shifted(time).toISOString().slice(0, 19);
}

// The time whose UTC fields are those of the chosen zone.
function shifted(time) {
  return new Date(isUtc() ? time : time - new Date(time).getTimezoneOffset() * 60000);
}

const clock = (time) => shifted(time).toISOString().slice(0, 23).replace("T", " ").replace(/\.000$/, "");

function recent() {
  try {
    const stored = JSON.parse(localStorage.getItem(RECENT));
    return Array.isArray(stored) ? stored.filter((it) => typeof it === "string") : [];
  } catch {
    return [];
  }
}

function remember(expression) {
  const expressions = [expression, ...recent().filter((it) => it !== expression)].slice(0, 20);
  try {
    localStorage.setItem(RECENT, JSON.stringify(expressions));
  } catch {
    // Without storage there are no recent expressions.
  }
}

// Requests: the browser adds the credential of this page.

async function api(path, parameters, signal) {
  const query = new URLSearchParams(parameters);
  const isLong = String(query).length > 4000;
  // Without the user and password that the address of the page may have: fetch rejects them.
  const address = new URL("./api/v1/" + path, location.origin + location.pathname);
  const response = await (isLong
    ? fetch(address, { method: "POST", body: query, signal })
    : fetch(`${address}?${query}`, { signal }));
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Error(`Status ${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
  if (body?.status !== "success") throw new Error(body?.error ?? `Status ${response.status}: ${text.slice(0, 500)}`);
  return body;
}

let running = null, shown = null;

async function run() {
  running?.abort();
  close();
  const expr = box.value.trim();
  const current = new AbortController();
  const isGraph = tab === "graph";
  const last = (end ?? Date.now()) / 1000, range = seconds(by("range").value);
  const step = seconds(by("step").value) || Math.max(Math.floor(range / 250), 1);
  message();
  if (!expr) {
    draw(null);
    return;
  }
  remember(expr);
  running = current;
  const started = performance.now();
  const elapsed = () => `${((performance.now() - started) / 1000).toFixed(2)} s`;
  const ticker = setInterval(() => (by("status").textContent = `Running for ${elapsed()}`), 500);
  busy(true);
  try {
    const body = isGraph
      ? await api("query_range", { query: expr, start: last - range, end: last, step, stats: "true" }, current.signal)
      : await api("query", { query: expr, time: last, stats: "true" }, current.signal);
    if (running !== current) return;
    const { resultType, result, stats } = body.data;
    const isSingle = resultType === "scalar" || resultType === "string";
    const count = isSingle ? resultType : plural(result.length, "series", "series");
    const samples = stats?.samples?.samplesRead ?? stats?.samples?.totalQueryableSamples;
    const read = samples === undefined ? [] : [`${plural(samples, "sample")} read`];
    by("status").textContent = [count, ...read, elapsed()].join(", ");
    notices(body);
    draw({ isGraph, resultType, result, start: (last - range) * 1000, end: last * 1000, step: step * 1000 });
  } catch (error) {
    if (running !== current) return;
    draw(null);
    if (error.name === "AbortError") by("status").textContent = `Cancelled after ${elapsed()}`;
    else message(error instanceof TypeError ? `The connector cannot be reached: ${error.message}` : error.message);
  } finally {
    clearInterval(ticker);
    if (running === current) busy(false);
  }
}

function busy(is) {
  if (!is) running = null;
  panel.ariaBusy = String(is);
  by("run").textContent = is ? "Cancel" : "Run";
}

function notices({ warnings = [], infos = [] }) {
  const items = [...warnings.map((it) => "Warning: " + it), ...infos.map((it) => "Info: " + it)];
  by("notices").replaceChildren(...items.map((it) => element("li", {}, it)));
  by("notices").hidden = !items.length;
}

// Shows an error and marks the place that it names; without one, removes both.
function message(text = "") {
  by("status").textContent = "";
  notices({});
  by("error").textContent = text;
  by("error").hidden = !text;
  const place = /(?:^|: )(\d+):(\d+): parse error/.exec(text);
  box.ariaInvalid = String(place !== null);
  mark(place && offset(place[1], place[2]));
}

// The index in the expression of a line and a column, both from 1; columns are bytes of UTF-8.
function offset(line, column) {
  const sent = box.value.trim(), lines = sent.split("\n");
  const before = lines.slice(0, line - 1).reduce((sum, it) => sum + it.length + 1, 0);
  const bytes = new TextEncoder().encode(lines[line - 1] ?? "").slice(0, column - 1);
  return box.value.indexOf(sent) + before + new TextDecoder().decode(bytes).length;
}

function mark(index) {
  const marks = by("marks");
  if (index === null) return marks.replaceChildren();
  const rest = box.value.slice(index);
  const word = /^([\w:.]+|.|)/su.exec(rest)[0];
  const marked = element("mark", {}, word.trim() || "\u2003");
  marks.replaceChildren(box.value.slice(0, index), marked, rest.slice(word.length));
}

// Events.

function grow() {
  box.style.height = "auto";
  box.style.height = box.scrollHeight + 2 + "px";
}

function submit() {
  if (!form.reportValidity()) return;
  if (fragment() !== location.hash) history.pushState(null, "", fragment());
  run();
}

box.addEventListener("input", (event) => {
  grow();
  mark(null);
  // Of what is completed itself, only the name of a label is the beginning of more.
  if (accepted === null || accepted === "label") suggest(false);
});

box.addEventListener("keydown", (event) => {
  const isOpen = !list.hidden, move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    if (isOpen && active >= 0) accept(active);
    else submit();
  } else if (event.key === "Tab" && isOpen && !event.shiftKey) accept(Math.max(active, 0));
  else if (event.key === "Escape" && isOpen) close();
  else if (isOpen && move) activate((active + 1 + move + options.length + 1) % (options.length + 1) - 1);
  else if (event.key === "ArrowDown" && !box.value) suggestRecent();
  else if (event.key === " " && event.ctrlKey) suggest(true);
  else return;
  event.preventDefault();
});

box.addEventListener("blur", () => close());
list.addEventListener("pointerdown", (event) => event.preventDefault());

by("recent").addEventListener("click", () => {
  box.focus();
  suggestRecent();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running && event.submitter === by("run")) running.abort();
  else submit();
});

for (const it of tabs) {
  it.addEventListener("click", () => {
    choose(it.id.slice(4));
    submit();
  });
  it.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs.find((tab) => tab !== it);
    other.focus();
    other.click();
  });
}

function changeRange(direction) {
  const now = seconds(by("range").value);
  const all = direction > 0 ? DURATIONS : DURATIONS.toReversed();
  const next = all.find((it) => (seconds(it) - now) * direction > 0);
  if (next) by("range").value = next;
  submit();
}

function move(direction) {
  const distance = tab === "graph" ? seconds(by("range").value) * 500 : 60000;
  setEnd(Math.round(((end ?? Date.now()) + direction * distance) / 1000) * 1000);
  submit();
}

by("shorter").addEventListener("click", () => changeRange(-1));
by("longer").addEventListener("click", () => changeRange(1));
by("earlier").addEventListener("click", () => move(-1));
by("later").addEventListener("click", () => move(1));
by("now").addEventListener("click", () => {
  setEnd(null);
  submit();
});
by("time").addEventListener("change", (event) => {
  const text = event.target.value;
  end = text ? Date.parse(isUtc() ? text + "Z" : text) : null;
});
by("zone").addEventListener("change", () => {
  setEnd(end);
  history.replaceState(null, "", fragment());
  draw(shown);
});
addEventListener("popstate", () => {
  restore();
  run();
});

restore();
run();
