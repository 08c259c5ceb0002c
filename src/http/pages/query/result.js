// Results: a table, or a graph in SVG.

const MAX_DRAWN = 200;
const MAX_ROWS = 1000;

function draw(result) {
  shown = result;
  panel.replaceChildren();
  if (!result) return;
  const isMatrix = result.resultType === "matrix";
  panel.append(...(result.isGraph && isMatrix ? graph(result) : table(result)));
}

const isMetric = (name) => /^[a-zA-Z_:][\w:]*$/.test(name);
const isLabel = (name) => /^[a-zA-Z_]\w*$/.test(name);
const quoted = (name) => (isLabel(name) ? name : JSON.stringify(name));

function title(metric) {
  const { __name__: name, ...labels } = metric;
  const parts = Object.entries(labels).map(([key, value]) => `${quoted(key)}=${JSON.stringify(value)}`);
  const isPlain = name === undefined || isMetric(name);
  if (!isPlain) parts.unshift(JSON.stringify(name));
  return (isPlain ? name ?? "" : "") + (parts.length || !name ? `{${parts.join(", ")}}` : "");
}

function sample([time, value], withTime) {
  const suffix = withTime ? [" ", element("time", {}, "@ " + clock(time * 1000))] : [];
  if (typeof value === "string") return element("div", {}, value, ...suffix);
  const buckets = (value.buckets ?? []).map(([edges, low, high, count]) => {
    const interval = `${edges & 1 ? "[" : "("}${low}, ${high}${edges === 0 || edges === 3 ? "]" : ")"}`;
    return element("tr", {}, element("th", { scope: "row" }, interval), element("td", {}, count));
  });
  return element("div", {}, `count ${value.count}, sum ${value.sum}`, ...suffix,
    element("details", {}, element("summary", {}, plural(buckets.length, "bucket")),
      element("table", {}, element("tbody", {}, ...buckets))));
}

function table({ resultType, result }) {
  if (resultType === "scalar" || resultType === "string") result = [{ metric: null, value: result }];
  if (!result.length) return [element("p", { className: "note" }, "The result is empty.")];
  const rows = result.slice(0, MAX_ROWS).map(({ metric, value, histogram, values = [], histograms = [] }) => {
    const single = value ?? histogram;
    const many = [...values, ...histograms].sort((a, b) => a[0] - b[0]);
    const cells = single ? [sample(single)] : many.slice(0, MAX_ROWS).map((it) => sample(it, true));
    if (many.length > MAX_ROWS) cells.push(element("div", {}, `and ${many.length - MAX_ROWS} more`));
    const name = element("th", { scope: "row" }, metric ? title(metric) : resultType);
    return element("tr", {}, name, element("td", {}, ...cells));
  });
  const head = ["Series", "Value"].map((it) => element("th", { scope: "col" }, it));
  const parts = [element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)];
  return [...cut(result.length, MAX_ROWS), element("table", {}, ...parts)];
}

function cut(count, limit) {
  if (count <= limit) return [];
  return [element("p", { className: "note" }, `The first ${limit} of ${plural(count, "series", "series")} are shown.`)];
}

// Colours far from each other, whatever their number.
const colour = (index) => `hsl(${(212 + index * 137.5) % 360} 65% var(--lightness))`;

function swatch(series) {
  const node = element("span", { className: "swatch" });
  node.style.background = series.colour;
  return node;
}

function graph(result) {
  const series = result.result.slice(0, MAX_DRAWN).map(({ metric, values = [] }, index) => {
    const points = values.map(([time, value]) => [time * 1000, Number(value.replace("Inf", "Infinity")), value]);
    const byStep = new Map(points.map((it) => [Math.round((it[0] - result.start) / result.step), it]));
    return { name: title(metric), colour: colour(index), isShown: true, points, byStep };
  });
  const notes = cut(result.result.length, MAX_DRAWN);
  if (result.result.some((it) => it.histograms)) {
    notes.push(element("p", { className: "note" },
      "Native histograms are not drawn: use functions such as histogram_quantile(), or the table."));
  }
  if (!series.length) return [element("p", { className: "note" }, "The result is empty.")];
  const chart = element("div", { className: "chart" });
  let width = 0;
  const redraw = () => {
    width = chart.clientWidth;
    plot(chart, series, result);
  };
  const buttons = series.map((it, index) => {
    const button = element("button", { type: "button", ariaPressed: "true" }, swatch(it), element("span", {}, it.name));
    button.addEventListener("click", (event) => {
      // With a modifier: only this one, or all again.
      const isAlone = series.every((other) => other.isShown === (other === it));
      if (event.ctrlKey || event.metaKey || event.shiftKey) {
        for (const other of series) other.isShown = isAlone || other === it;
      } else it.isShown = !it.isShown;
      buttons.forEach((other, at) => (other.ariaPressed = String(series[at].isShown)));
      redraw();
    });
    button.addEventListener("pointerenter", () => emphasise(chart, index));
    button.addEventListener("pointerleave", () => emphasise(chart, -1));
    return button;
  });
  new ResizeObserver(() => chart.clientWidth !== width && redraw()).observe(chart);
  const legend = element("div", { className: "legend", role: "group", ariaLabel: "Shown series" }, ...buttons);
  legend.title = "Ctrl+click shows one alone";
  return [...notes, chart, legend];
}

function emphasise(chart, index) {
  for (const path of chart.querySelectorAll("path")) {
    path.classList.toggle("far", index >= 0 && path.dataset.index !== String(index));
  }
}

function plot(chart, series, { start, end, step }) {
  const drawn = series.filter((it) => it.isShown);
  let low = Infinity, high = -Infinity;
  for (const { points } of drawn) {
    for (const [, value] of points) {
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  }
  if (low > high) [low, high] = [0, 1];
  const least = Math.max(Math.abs(low), Math.abs(high)) * 1e-9;
  if (high / 2 - low / 2 <= least) [low, high] = [low - (Math.abs(low) / 10 || 1), high + (Math.abs(high) / 10 || 1)];
  else [low, high] = [low - (high / 25 - low / 25) * (low !== 0), high + (high / 25 - low / 25)];
  const ticks = valueTicks(low, high), names = tickNames(ticks);
  const width = chart.clientWidth, height = Math.max(220, Math.min(420, width * 0.45));
  const left = 12 + 7 * Math.max(...names.map((it) => it.length)), right = width - 20, top = 10, bottom = height - 24;
  const x = (time) => left + (right - left) * (time - start) / (end - start || 1);
  // Halves, because the difference of two large numbers can be infinite.
  const y = (value) => bottom - (bottom - top) * ((value / 2 - low / 2) / (high / 2 - low / 2));

  const label = `Graph of ${plural(drawn.length, "series", "series")} from ${clock(start)} to ${clock(end)}. `
    + "Arrow keys read values.";
  const frame = { viewBox: `0 0 ${width} ${height}`, height, tabindex: 0, role: "img", "aria-label": label };
  const svg = drawing("svg", frame);
  ticks.forEach((value, index) => svg.append(
    drawing("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    drawing("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, names[index])));
  for (const [time, name] of timeTicks(start, end, (right - left) / 80)) {
    svg.append(drawing("line", { class: "grid", x1: x(time), x2: x(time), y1: top, y2: bottom }),
      drawing("text", { x: x(time), y: bottom + 18, "text-anchor": "middle" }, name));
  }
  series.forEach((it, index) => {
    if (!it.isShown) return;
    const path = drawing("path", { d: outline(it.points, step, x, y), "data-index": index });
    path.style.stroke = it.colour;
    svg.append(path);
  });
  const cross = drawing("g", {}), zoom = drawing("rect", { class: "zoom", y: top, height: bottom - top, width: 0 });
  svg.append(cross, zoom);
  const tip = element("div", { className: "tip", hidden: true });
  chart.replaceChildren(svg, tip);

  const most = width < 500 ? 3 : 8;
  let at = null, from = null;
  const point = (index, pointer, live) => {
    at = Math.max(0, Math.min(Math.round((end - start) / step - 0.5), index));
    const time = start + at * step;
    const near = drawn.flatMap((it) => {
      const found = it.byStep.get(at);
      return found ? [{ it, text: found[2], y: Number.isFinite(found[1]) ? y(found[1]) : top }] : [];
    }).sort((a, b) => Math.abs(a.y - pointer) - Math.abs(b.y - pointer));
    cross.replaceChildren(drawing("line", { class: "cross", x1: x(time), x2: x(time), y1: top, y2: bottom }));
    for (const { it, y } of near.slice(0, most)) {
      const dot = drawing("circle", { cx: x(time), cy: y, r: 3 });
      dot.style.fill = it.colour;
      cross.append(dot);
    }
    tip.ariaLive = live ? "polite" : "off";
    tip.replaceChildren(element("time", {}, clock(time)),
      ...near.slice(0, most).map(({ it, text }) =>
        element("div", {}, swatch(it), element("span", {}, it.name), element("span", {}, text))),
      ...(near.length > most ? [`and ${near.length - most} more`] : []));
    tip.hidden = false;
    const isLeft = x(time) > width / 2;
    tip.style.left = isLeft ? `${left + 6}px` : "auto";
    tip.style.right = isLeft ? "auto" : "8px";
    emphasise(chart, near.length > 1 ? series.indexOf(near[0].it) : -1);
  };
  const leave = () => {
    cross.replaceChildren();
    zoom.setAttribute("width", 0);
    tip.hidden = true;
    at = from = null;
    emphasise(chart, -1);
  };
  const timeOf = (event) => {
    const part = (event.clientX - svg.getBoundingClientRect().left - left) / (right - left);
    return start + Math.max(0, Math.min(1, part)) * (end - start);
  };
  svg.addEventListener("pointermove", (event) => {
    const time = timeOf(event);
    point(Math.round((time - start) / step), event.clientY - svg.getBoundingClientRect().top, false);
    if (from === null) return;
    zoom.setAttribute("x", Math.min(x(from), x(time)));
    zoom.setAttribute("width", Math.abs(x(from) - x(time)));
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) from = timeOf(event);
  });
  // Dragging over a part shows it alone.
  svg.addEventListener("pointerup", (event) => {
    const to = timeOf(event);
    if (from !== null && Math.abs(x(from) - x(to)) > 8) {
      by("range").value = `${Math.max(1, Math.round(Math.abs(to - from) / 1000))}s`;
      setEnd(Math.round(Math.max(from, to) / 1000) * 1000);
      submit();
    }
    from = null;
  });
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") leave();
    if (!move) return;
    event.preventDefault();
    point(at === null ? (move > 0 ? 0 : Infinity) : at + move * (event.shiftKey ? 10 : 1), 0, true);
  });
}

// The line through points, interrupted where samples are missing. In each column of pixels only the first, the
// lowest, the highest and the last of the line are drawn.
function outline(points, step, x, y) {
  let path = "", previous = -Infinity, column = [], length = 0;
  const text = (at) => `${at[0].toFixed(1)},${at[1].toFixed(1)}`;
  const flush = () => {
    const heights = column.map((at) => at[1]);
    const extremes = [Math.min(...heights), Math.max(...heights)].map((it) => heights.indexOf(it));
    const wanted = new Set([0, heights.length - 1, ...extremes]);
    column.filter((_, index) => wanted.has(index)).forEach((at) => (path += "L" + text(at)));
    column = [];
  };
  const finish = () => {
    if (column.length) flush();
    // A single sample is a dash, as a dot would be too small.
    if (length === 1) path += "m-1.5,0h3";
  };
  for (const [time, value] of points) {
    if (!Number.isFinite(value)) continue;
    const at = [x(time), y(value)];
    const isJoined = time - previous <= step * 1.5;
    if (column.length && (!isJoined || Math.floor(column[0][0]) !== Math.floor(at[0]))) flush();
    if (!isJoined) {
      finish();
      path += `M${text(at)}h0`;
      length = 0;
    }
    length++;
    column.push(at);
    previous = time;
  }
  finish();
  return path;
}

function valueTicks(low, high) {
  const rough = high / 5 - low / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((it) => it * power).find((it) => it >= rough) ?? rough;
  const first = Math.ceil(low / step), ticks = [];
  for (let index = 0; index < 12 && (first + index) * step <= high; index++) ticks.push((first + index) * step);
  return ticks.length ? ticks : [low];
}

function tickNames(ticks) {
  const most = Math.max(...ticks.map(Math.abs)), step = Math.abs(ticks[1] - ticks[0]) || most;
  const units = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [unit, suffix] = units.find(([it]) => most >= it) ?? [1, ""];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-6));
  if (most >= 1e15 || digits > 6) return ticks.map((it) => (it ? it.toExponential(2).replace("e+", "e") : "0"));
  return ticks.map((it) => (it ? (it / unit).toFixed(digits) + suffix : "0"));
}

// The time that has these fields in the chosen zone. The offset from UTC at the first guess may be another.
function fromFields(fields) {
  let time = fields;
  for (let guess = 0; guess < 2; guess++) time += fields - shifted(time);
  return time;
}

function timeTicks(start, end, count) {
  const rough = (end - start) / Math.max(2, count);
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800,
    345600, 604800, 1209600, 2592000, 7776000, 31536000];
  const step = 1000 * (steps.find((it) => it * 1000 >= rough) ?? rough / 1000), ticks = [];
  for (let fields = Math.ceil(shifted(start) / step) * step, index = 0; index < 40; fields += step, index++) {
    const time = fromFields(fields);
    if (time > end) break;
    if (time < start) continue;
    const text = new Date(fields).toISOString(), isMidnight = fields % 86400000 === 0;
    ticks.push([time, isMidnight ? text.slice(5, 10) : text.slice(11, step < 60000 ? 19 : 16)]);
  }
  return ticks;
}

