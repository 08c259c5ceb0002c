// Completion of the expression: names and values by the API, and the words of PromQL.

const FUNCTIONS = `abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp
 clamp_max clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv exp
 first_over_time floor histogram_avg histogram_count histogram_fraction histogram_quantile histogram_stddev
 histogram_stdvar histogram_sum hour idelta increase irate label_join label_replace last_over_time ln log10 log2
 max_over_time min_over_time minute month pi predict_linear present_over_time quantile_over_time rad rate resets round
 scalar sgn sin sinh sort sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp
 vector year`;
const EXPERIMENTAL = `double_exponential_smoothing end histogram_quantiles info mad_over_time max_of min_of range
 sort_by_label sort_by_label_desc start start_timestamp step ts_of_first_over_time ts_of_last_over_time
 ts_of_max_over_time ts_of_min_over_time`;
const AGGREGATIONS = `sum avg count min max group stddev stdvar topk bottomk count_values quantile limitk limit_ratio`;
const KEYWORDS = `and or unless atan2 by without on ignoring group_left group_right bool offset`;
const MAX_OPTIONS = 50;

const cache = new Map();
let options = [], active = -1, serial = 0, replaced = [0, 0], accepted = null;

// Names or values by the API, kept for a minute; none if it fails.
function names(path, matches = []) {
  const key = JSON.stringify([path, matches]);
  const cached = cache.get(key);
  if (cached && Date.now() - cached.time < 60000) return cached.found;
  const last = Math.ceil((end ?? Date.now()) / 1000), range = Math.max(seconds(by("range").value), 3600);
  const parameters = [["start", last - range], ["end", last], ["limit", 10000]];
  parameters.push(...matches.map((it) => ["match[]", it]));
  const found = api(path, parameters).then((body) => body.data, () => {
    cache.delete(key);
    return [];
  });
  cache.set(key, { time: Date.now(), found });
  return found;
}

const metrics = () => names("label/__name__/values");
const labels = async (matches) => (await names("labels", matches)).filter((it) => it !== "__name__");

// The place of the caret: what can stand there, and the part of it that is there already.
function place(text, caret) {
  const open = [];
  let quote = null, from = 0;
  for (let index = 0; index < caret; index++) {
    const character = text[index];
    if (quote) {
      if (character === "\\" && quote !== "`") index++;
      else if (character === quote) quote = null;
    } else if (character === "#") {
      while (index < caret && text[index] !== "\n") index++;
      if (index === caret) return null;
    } else if ("\"'`".includes(character)) [quote, from] = [character, index + 1];
    else if ("{[(".includes(character)) open.push(index);
    else if (")]}".includes(character)) open.pop();
  }
  const inner = open.at(-1), bracket = text[inner];
  const metric = bracket === "{" ? /[a-zA-Z_:][\w:]*(?=\s*$)/.exec(text.slice(0, inner))?.[0] : undefined;
  if (quote) {
    const before = text.slice(inner + 1, from - 1);
    const label = bracket === "{" && /([a-zA-Z_]\w*|"[^"]*")\s*(=~|!~|!=|=)\s*$/.exec(before);
    if (!label) return null;
    return { kind: "value", from, quote, metric, label: label[1].replaceAll('"', ""), isRegex: label[2].endsWith("~") };
  }
  const word = /[\w:.]*$/.exec(text.slice(0, caret))[0], start = caret - word.length;
  const before = text.slice(0, start).trimEnd();
  if (bracket === "{") return /[{,]$/.test(before) ? { kind: "label", from: start, metric } : null;
  if (bracket === "[") return /[[:]$/.test(before) ? { kind: "duration", from: start } : null;
  if (bracket === "(" && /\b(by|without|on|ignoring|group_left|group_right)\s*$/i.test(text.slice(0, inner))) {
    return /[(,]$/.test(before) ? { kind: "grouping", from: start } : null;
  }
  return /^[\d.]/.test(word) ? null : { kind: "name", from: start };
}

async function candidates(at) {
  const matches = at.metric ? [at.metric] : [];
  switch (at.kind) {
    case "value": {
      const code = (it) => `_${it.codePointAt(0).toString(16)}_`;
      const path = isLabel(at.label) ? at.label : "U__" + at.label.replaceAll("_", "__").replace(/[^\w:]/gu, code);
      const values = await names(`label/${path}/values`, matches);
      const escaped = (it) => {
        const text = at.isRegex ? it.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") : it;
        if (at.quote === "`") return text;
        return text.replaceAll("\\", "\\\\").replaceAll(at.quote, "\\" + at.quote).replaceAll("\n", "\\n");
      };
      const closing = box.value[box.selectionEnd] === at.quote ? "" : at.quote;
      return values.map(option("value", (it) => escaped(it) + closing));
    }
    case "label":
      return (await labels(matches)).map(option("label", (it) => quoted(it) + '="'));
    case "grouping": {
      const known = new Set(await metrics());
      const used = [...new Set(box.value.match(/[a-zA-Z_:][\w:]*/g))].filter((it) => known.has(it)).slice(0, 5);
      return (await labels(used)).map(option("grouping", quoted));
    }
    case "duration":
      return DURATIONS.map(option("duration"));
  }
  const selector = (it) => (isMetric(it) ? it : `{${JSON.stringify(it)}}`);
  return [...words(), ...(await metrics()).map(option("metric", selector))];
}

const option = (kind, change = (it) => it) => (text) => ({ text, kind, insert: change(text) });

function words() {
  const all = (text, ...rest) => text.split(/\s+/).map(option(...rest));
  const call = (it) => it + "(";
  return [
    ...all(AGGREGATIONS, "aggregation"),
    ...all(FUNCTIONS, "function", call),
    ...all(KEYWORDS, "keyword"),
    ...all(EXPERIMENTAL, "experimental function", call),
  ];
}

async function suggest(isAsked) {
  const own = ++serial, caret = box.selectionEnd;
  const at = box.selectionStart === caret ? place(box.value, caret) : null;
  const typed = at ? box.value.slice(at.from, caret) : "";
  if (!at || (at.kind === "name" && !typed && !isAsked)) return close();
  const wanted = typed.toLowerCase();
  const show = (all) => {
    const starts = all.filter((it) => it.text.toLowerCase().startsWith(wanted));
    const contains = all.filter((it) => it.text.toLowerCase().indexOf(wanted) > 0);
    replaced = [at.from, caret];
    open([...starts, ...contains].filter((it) => it.text !== typed));
  };
  // What needs no request is there at once.
  if (at.kind === "name") show(words());
  else hide();
  const all = await candidates(at);
  if (own !== serial) return;
  const chosen = active < 0 ? undefined : options[active].text;
  show(all);
  activate(options.findIndex((it) => it.text === chosen));
}

function suggestRecent() {
  serial++;
  replaced = [0, box.value.length];
  open(recent().map((it) => ({ text: it, kind: "recent", insert: it })));
}

function open(found) {
  options = found.slice(0, MAX_OPTIONS);
  if (!options.length) return hide();
  list.replaceChildren(...options.map(({ text, kind }, index) => {
    const item = element("li", { id: "option-" + index, role: "option" });
    item.append(element("span", {}, text), element("span", {}, kind));
    item.addEventListener("click", () => accept(index));
    return item;
  }));
  const more = `and ${found.length - MAX_OPTIONS} more`;
  if (found.length > MAX_OPTIONS) list.append(element("li", { role: "presentation" }, element("span", {}, more)));
  list.hidden = false;
  list.scrollTop = 0;
  box.ariaExpanded = "true";
  activate(-1);
}

// Also forgets requests in flight.
function close() {
  serial++;
  hide();
}

function hide() {
  active = -1;
  list.hidden = true;
  box.ariaExpanded = "false";
  box.removeAttribute("aria-activedescendant");
}

function activate(index) {
  active = index;
  options.forEach((_, at) => (by("option-" + at).ariaSelected = String(at === index)));
  if (index < 0) return box.removeAttribute("aria-activedescendant");
  box.setAttribute("aria-activedescendant", "option-" + index);
  by("option-" + index).scrollIntoView({ block: "nearest" });
}

function accept(index) {
  const { insert, kind } = options[index];
  close();
  box.focus();
  box.setSelectionRange(...replaced);
  accepted = kind;
  // Unlike setRangeText, this can be undone by the user.
  if (!document.execCommand("insertText", false, insert)) {
    box.setRangeText(insert, ...replaced, "end");
    box.dispatchEvent(new Event("input"));
  }
  accepted = null;
}

