"use strict";
// Draws the timeline of a run from the JSON in #data. Text only ever becomes text nodes and attributes, never markup.
// Every bar is placed in percent of the whole run; zooming moves the strips that hold them, by two variables.

const data = JSON.parse(document.getElementById("data").textContent);
const total = Math.max(data.elapsed, 0.001);
const one = (id) => document.getElementById(id);
const text = (number) => data.texts[number];
const ICONS = { published: "✓", repaired: "✓", built: "✓", done: "✓", unchanged: "=", failed: "✕", refused: "✕", stopped: "■", interrupted: "■", queued: "·", running: "…" };
const KNOWN = ["wait", "plan", "build", "assemble", "soci", "stage", "commit", "verify"];
const view = { from: 0, span: 1 };   // parts of the run

// Small helpers

function make(tag, options = {}, ...inside) {
  const { style, data: values, ...attributes } = options;
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  for (const [name, value] of Object.entries(style ?? {})) made.style.setProperty(name, value);
  Object.assign(made.dataset, values ?? {});
  made.append(...inside.filter((item) => item !== "" && item !== undefined && item !== null));
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// The time at a tick: 250 ms, 4.5 s, 45 s, 1:15, 1:02:30.
function moment(seconds, step) {
  if (seconds === 0) return "0";
  if (step < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(step < 1 ? 1 : 0)} s`;
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds % 3600 / 60), Math.round(seconds % 60)];
  return (parts[0] ? parts : parts.slice(1)).map((part, place) => place ? String(part).padStart(2, "0") : part).join(":");
}

const color = (stage) => `var(--s-${KNOWN.includes(stage) ? stage : "other"})`;
const percent = (seconds) => `${+(seconds / total * 100).toFixed(4)}%`;
const count = (number) => number.toLocaleString("en");
const plural = (number, noun, many) => `${count(number)} ${number === 1 ? noun : many ?? `${noun}s`}`;
const host = (place) => place.split("/", 1)[0];

function time(seconds) {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
}

function size(bytes) {
  let unit = 0;
  for (; bytes >= 999.5 && unit < 4; unit++) bytes /= 1000;
  return `${unit && bytes < 99.95 ? bytes.toFixed(1) : Math.round(bytes)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
}

function icon(state) {
  return make("span", { class: `state ${state}`, "aria-hidden": "true" }, ICONS[state] ?? "·");
}

// The head of the page

function head() {
  const states = Map.groupBy ? [...Map.groupBy(data.targets, (target) => target.state)].map(([state, all]) => [state, all.length]) : [];
  const bad = data.targets.filter((target) => ["failed", "refused", "stopped"].includes(target.state)).length;
  const state = bad || data.state === "failed" ? "failed" : data.state;
  const doing = { publish: "Publish", rehearse: "Rehearsal", build: "Build", clean: "Cleaning", test: "Test" }[data.doing] ?? data.doing;
  const all = plural(data.targets.length, "target");
  const unfinished = { running: " that did not end", interrupted: ", interrupted" }[data.state] ?? "";
  const title = bad ? `${doing}: ${count(bad)} of ${all} failed${unfinished && ", and it did not end"}` : `${doing} of ${all}${unfinished}`;
  document.title = title;
  one("title").replaceChildren(icon(state), title);
  const started = new Date(data.started);
  one("when").textContent = `${started.toISOString().slice(0, 19).replace("T", " ")} UTC, ${time(data.elapsed)}`;
  const facts = [
    ["sent", size(data.totals.out)], ["received", size(data.totals.in)], ["already there", size(data.totals.spared)],
    ["requests", count(data.totals.requests)], ["requests saved", count(data.totals.saved)], ["retries", count(data.totals.retries)],
  ];
  one("totals").append(...facts.filter(([, value]) => !["0", "0 B"].includes(value)).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  one("legend").append(
    ...data.stages.map((stage) => make("span", { style: { "--c": color(stage) } }, make("i"), stage)),
    make("span", { style: { "--c": "repeating-linear-gradient(135deg, var(--bad) 0 3px, transparent 3px 5px)" } }, make("i"), "failed"),
    make("span", {}, make("i", { class: "retry" }, "▾"), "retry or wait"),
  );
  for (const [name, number] of states.sort((a, b) => b[1] - a[1])) {
    one("states").append(make("button", { type: "button", "aria-pressed": "false", data: { state: name } }, icon(name), ` ${name} ${count(number)}`));
  }
  for (const lane of data.hosts) one("registry").append(make("option", { value: lane.name }, lane.name));
  if (data.marksLeftOut) one("legend").append(make("span", {}, `${plural(data.marksLeftOut, "mark")} not shown`));
}

// How many steps are at work, by stage

function overview() {
  const cells = 300;
  const levels = data.stages.map(() => new Int32Array(cells + 2));
  for (const target of data.targets) {
    for (const [stage, , began, took] of target.steps) {
      const first = Math.min(cells, Math.floor(began / total * cells));
      levels[stage][first] += 1;
      levels[stage][Math.min(cells, Math.floor((began + took) / total * cells)) + 1] -= 1;
    }
  }
  const below = new Int32Array(cells + 1);
  const layers = levels.map((changes) => {
    let level = 0;
    const bottom = Int32Array.from(below);
    for (let cell = 0; cell <= cells; cell++) below[cell] += level += changes[cell];
    return [bottom, Int32Array.from(below)];
  });
  const most = Math.max(1, ...below);
  const svg = drawn("svg", { viewBox: `0 0 ${cells + 1} ${most}`, preserveAspectRatio: "none", role: "img", "aria-label": `Steps at work over time, at most ${most} at once` });
  layers.forEach(([bottom, top], stage) => {
    let path = "M";
    for (let cell = 0; cell <= cells; cell++) path += `${cell},${most - top[cell]} ${cell + 1},${most - top[cell]} `;
    for (let cell = cells; cell >= 0; cell--) path += `${cell + 1},${most - bottom[cell]} ${cell},${most - bottom[cell]} `;
    svg.append(drawn("path", { d: `${path}Z`, style: `fill: ${color(data.stages[stage])}` }));
  });
  one("overview").prepend(svg);
  one("axislabel").textContent = `Steps at work, at most ${count(most)}`;
}

// A lane for each registry

function lane(registry) {
  const bytes = Math.max(1, ...registry.rates.map(([, , sent, received]) => Math.max(sent, received)));
  const requests = Math.max(0.001, ...registry.rates.map((rate) => rate[4]));
  const svg = drawn("svg", { viewBox: `0 0 ${total} 1`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const steps = (column, most) => registry.rates.map((rate) => `${rate[0]},${1 - 0.94 * rate[column] / most} ${rate[1]},${1 - 0.94 * rate[column] / most}`).join(" ");
  for (const [column, most, name, kind] of [[3, bytes, "in", "area"], [2, bytes, "out", "area"], [4, requests, "requests", "curve"]]) {
    if (!registry.rates.length) continue;
    const line = steps(column, most);
    svg.append(drawn("path", { class: kind, style: `--c: var(--${name})`, d: kind === "area" ? `M0,1 L${line} ${total},1 Z` : `M${line}` }));
  }
  const strip = make("div", { class: "strip" }, svg);
  for (const [index, [at, kind, wait]] of registry.marks.entries()) {
    if (kind === "pause") strip.append(make("div", { class: "held", data: { tip: "held", host: registry.name, index }, style: { left: percent(at), width: percent(wait) } }));
  }
  const retries = registry.retries ? `, ${plural(registry.retries, "retry", "retries")}` : "";
  const label = make("div", { class: "label" }, make("b", { title: registry.name }, registry.name),
    make("div", {}, `${size(registry.out)} sent, ${size(registry.in)} received`), make("div", {}, `${plural(registry.requests, "request")}${retries}`));
  const peak = make("div", { class: "peak" }, `at most ${size(bytes)}/s, ${requests.toFixed(requests < 10 ? 1 : 0)} requests/s`);
  return make("li", { class: "host line", data: { host: registry.name } }, label, make("div", { class: "track", data: { tip: "lane", host: registry.name } }, peak, strip));
}

// A row for each target

const oneSystem = new Set(data.targets.map((target) => target.os)).size === 1;   // then it is no news

function row(target, index) {
  const name = target.image || target.name ? [make("b", {}, target.image), target.name ? ` ${target.name}` : ""] : [make("b", {}, target.uid)];
  const retries = target.marks.filter((mark) => mark[1] === "retry").length;
  const words = [target.image ? `${target.image} ${target.name}` : target.uid, target.os, target.state, time(target.time), retries ? plural(retries, "retry", "retries") : ""];
  const label = make("button", { type: "button", class: "label", tabindex: index ? "-1" : "0", "aria-expanded": "false", "aria-label": words.filter(Boolean).join(", "), title: target.uid },
    icon(target.state), make("span", { class: "name" }, ...name), make("small", {}, oneSystem ? "" : target.os), make("span", { class: "took" }, time(target.time)));
  const lanes = Math.max(1, target.lanes.length);
  const [above, height] = [28, 64];   // percent of the row: marks are above the bars
  const bars = target.steps.map(([stage, place, began, took, error], step) => {
    const at = place ? target.lanes.indexOf(place) : 0;
    const high = place ? height / lanes : height;
    return make("div", { class: error ? "bar error" : "bar", data: { tip: "step", index, step },
      style: { "--c": color(data.stages[stage]), left: percent(began), width: percent(took), top: `${above + at * high}%`, height: `calc(${high}% - ${lanes > 1 && place ? 1 : 0}px)` } });
  });
  const marks = target.marks.map(([at], mark) => make("div", { class: "mark", data: { tip: "mark", index, mark }, style: { left: percent(at) } }));
  return make("li", { class: "row line", data: { index } }, label, make("div", { class: "track", "aria-hidden": "true" }, make("div", { class: "strip" }, ...bars, ...marks)));
}

function prepare(target) {
  const places = new Set([...target.places, ...target.steps.map((step) => step[1])]);
  places.delete(0);
  target.lanes = [...places];
  const reasons = new Set([...target.steps.map((step) => step[4]), ...target.marks.flatMap((mark) => [mark[3], mark[5]])]);
  target.words = [target.uid, target.image, target.name, target.os, target.state, text(target.platforms), text(target.digest), ...target.lanes.map(text),
    ...target.moves.flatMap(([place, tag, previous]) => [`${text(place)}:${tag}`, text(previous)]), ...[...reasons].map(text), ...target.notes].join("\n").toLowerCase();
  target.hosts = new Set(target.lanes.map((place) => host(text(place))));
}

// Filter and order

const rows = [];

function filter() {
  const wanted = one("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const states = [...document.querySelectorAll('#states [aria-pressed="true"]')].map((button) => button.dataset.state);
  const registry = one("registry").value;
  let shown = 0;
  data.targets.forEach((target, index) => {
    const is = wanted.every((word) => target.words.includes(word)) && (!states.length || states.includes(target.state)) && (!registry || target.hosts.has(registry));
    rows[index].hidden = !is;
    shown += is;
  });
  for (const item of one("hosts").children) item.hidden = registry !== "" && item.dataset.host !== registry;
  one("count").textContent = shown === data.targets.length ? plural(shown, "target") : `${count(shown)} of ${plural(data.targets.length, "target")}`;
  one("none").hidden = shown > 0;
  entrance();
}

function entrance() {
  // Exactly one row can be reached with Tab: the arrow keys lead to the others.
  const labels = visible();
  if (labels.some((label) => label.tabIndex === 0)) return;
  if (labels.length) labels[0].tabIndex = 0;
}

function visible() {
  return [...one("targets").children].filter((item) => !item.hidden).map((item) => item.firstElementChild);
}

function order() {
  const by = one("sort").value;
  const key = {
    plan: () => 0, start: (target) => target.began, time: (target) => -target.time, retries: (target) => -target.marks.length, name: (target) => target.uid,
  }[by];
  const indices = data.targets.map((target, index) => [key(target), index]);
  indices.sort(([a, first], [b, second]) => (a < b ? -1 : a > b ? 1 : first - second));
  one("targets").append(...indices.map(([, index]) => rows[index]));
}

function clear() {
  one("text").value = "";
  one("registry").value = "";
  for (const button of one("states").querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
  filter();
}

// Zoom

function show(from, span) {
  view.span = Math.min(1, Math.max(span, 0.02 / total, 0.0005));
  view.from = Math.min(1 - view.span, Math.max(0, from));
  const chart = one("chart").style;
  chart.setProperty("--from", view.from);
  chart.setProperty("--span", view.span);
  const brush = one("brush");
  brush.style.left = `${view.from * 100}%`;
  brush.style.width = `${view.span * 100}%`;
  brush.classList.toggle("whole", view.span === 1);
  one("fit").disabled = view.span === 1;
  data.targets.forEach((target, index) => {   // where the bars of a row without any in sight are
    rows[index].classList.toggle("earlier", (target.began + target.time) / total < view.from);
    rows[index].classList.toggle("later", target.began / total > view.from + view.span);
  });
  ticks();
}

function zoom(factor, at = 0.5) {
  const span = Math.min(1, view.span * factor);
  show(view.from + (view.span - span) * at, span);
}

function ticks() {
  const seconds = total * view.span;
  const room = Math.max(2, one("ticks").clientWidth / 90);
  const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find((one) => seconds / one <= room) ?? 14400;
  const width = one("ticks").clientWidth;
  one("chart").style.setProperty("--grid", `${step / total / view.span * width}px`);
  one("chart").style.setProperty("--shift", `${-view.from / view.span * width}px`);
  const marks = [];
  for (let number = Math.ceil(view.from * total / step - 1e-9); number * step <= (view.from + view.span) * total + 1e-9; number++) {
    const at = number * step;
    marks.push(make("span", { style: { left: `${(at / total - view.from) / view.span * 100}%` } }, moment(at, step)));
  }
  one("ticks").replaceChildren(...marks);
}

function brushing() {
  const track = one("overview");
  const at = (event) => Math.min(1, Math.max(0, (event.clientX - track.getBoundingClientRect().left) / track.clientWidth));
  let start = null;
  track.addEventListener("pointerdown", (event) => { start = at(event); track.setPointerCapture(event.pointerId); });
  track.addEventListener("pointermove", (event) => {
    if (start === null || Math.abs(at(event) - start) < 0.004) return;
    show(Math.min(start, at(event)), Math.abs(at(event) - start));
  });
  track.addEventListener("pointerup", (event) => {
    if (start !== null && Math.abs(at(event) - start) < 0.004) show(at(event) - view.span / 2, view.span);
    start = null;
  });
  track.addEventListener("dblclick", () => show(0, 1));
  one("chart").addEventListener("wheel", (event) => {
    const over = event.target.closest(".track");
    if (!over || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const box = over.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width);
  }, { passive: false });
}

// What is under the pointer

function story(of, event) {
  const { tip } = of.dataset;
  const target = data.targets[of.dataset.index];
  if (tip === "step") {
    const [stage, place, began, took, error, retries] = target.steps[of.dataset.step];
    return [data.stages[stage], text(place), `${time(took)}, from ${time(began)} to ${time(began + took)}`, retries ? plural(retries, "retry", "retries") : "", text(error)];
  }
  if (tip === "mark") {
    const [at, kind, wait, reason, , subject] = target.marks[of.dataset.mark];
    return [{ retry: "Retry", pause: "Pause", sources: "Waiting for builds" }[kind] ?? kind, `at ${time(at)}${wait ? `, after a wait of ${time(wait)}` : ""}`, text(subject), text(reason)];
  }
  const registry = data.hosts.find((item) => item.name === of.dataset.host);
  if (tip === "held") {
    const [at, , wait, reason] = registry.marks[of.dataset.index];
    return [`${registry.name} requests a wait`, `at ${time(at)}, of ${time(wait)}`, text(reason)];
  }
  const box = of.getBoundingClientRect();
  const at = (view.from + (event.clientX - box.left) / box.width * view.span) * total;
  const rate = registry.rates.find(([start, end]) => start <= at && at < end);
  return rate && [`${registry.name} at ${time(at)}`, `sent ${size(rate[2])}/s`, `received ${size(rate[3])}/s`, `${rate[4].toFixed(1)} requests/s`];
}

function hover(event) {
  const of = event.target.closest?.("[data-tip]");
  const lines = of && story(of, event);
  const tip = one("tip");
  tip.hidden = !lines;
  if (!lines) return;
  const [first, ...others] = lines.filter(Boolean);
  tip.replaceChildren(make("b", {}, first), ...others.map((line) => make("div", {}, line)));
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
}

// The details of a target

let opened = null;

function table(title, names, lines) {
  if (!lines.length) return [];
  const cells = (line) => line.map((cell, column) => make("td", { class: names[column].endsWith(" s") ? "number" : undefined }, ...[cell].flat()));
  return [make("h3", {}, title), make("table", {}, make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col", class: name.endsWith(" s") ? "number" : undefined }, name)))),
    make("tbody", {}, ...lines.map((line) => make("tr", {}, ...cells(line)))))];
}

function details(index) {
  const target = data.targets[index];
  close(false);
  opened = rows[index].firstElementChild;
  opened.setAttribute("aria-expanded", "true");
  const number = (seconds) => seconds.toFixed(3);
  const facts = [["target", target.uid], ["OS", target.os], ["platforms", text(target.platforms)], ["digest", text(target.digest)]].filter(([, value]) => value);
  one("details").replaceChildren(
    make("button", { type: "button", class: "close", "aria-label": "Close" }, "✕"),
    make("h2", { id: "detailstitle" }, icon(target.state), ` ${target.image ? `${target.image} ${target.name}` : target.uid}: ${target.state}`),
    make("p", {}, `${time(target.time)}, from ${time(target.began)} to ${time(target.began + target.time)}`),
    ...table("Facts", ["what", "value"], facts.map(([name, value]) => [name, make("code", {}, value)])),
    ...table("Steps", ["step", "start, s", "length, s"], target.steps.map(([stage, place, began, took, error]) => [
      [make("i", { style: { "--c": color(data.stages[stage]) } }), data.stages[stage], place ? make("div", {}, make("code", {}, text(place))) : "", error ? make("div", { class: "why" }, text(error)) : ""], number(began), number(took)])),
    ...table("Retries and waits", ["why", "at, s", "wait, s"], target.marks.map(([at, , wait, reason, , subject]) => [[text(reason), subject ? make("div", {}, make("code", {}, text(subject))) : ""], number(at), number(wait)])),
    ...table("Tags moved", ["tag", "before"], target.moves.map(([place, tag, previous]) => [make("code", {}, `${text(place)}:${tag}`), previous ? make("code", {}, text(previous)) : "new"])),
    ...table("Notes", ["note"], target.notes.map((note) => [note])),
  );
  one("details").hidden = false;
  one("details").focus();
}

function close(back = true) {
  if (!opened) return;
  opened.setAttribute("aria-expanded", "false");
  one("details").hidden = true;
  if (back) opened.focus();
  opened = null;
}

// Keyboard and buttons

function keys(event) {
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (event.key === "Escape") {
    if (opened) close();
    else clear();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const label = event.target.closest?.(".row .label");
  const labels = label ? visible() : [];
  const at = labels.indexOf(label);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: labels.length - 1 }[event.key];
  if (label && next !== undefined) {
    const wanted = labels[Math.min(labels.length - 1, Math.max(0, next))];
    label.tabIndex = -1;
    wanted.tabIndex = 0;
    wanted.focus();
  } else if (event.key === "/") one("text").focus();
  else if (event.key === "+" || event.key === "=") zoom(0.5);
  else if (event.key === "-") zoom(2);
  else if (event.key === "0") show(0, 1);
  else if (event.key === "ArrowLeft") show(view.from - view.span / 4, view.span);
  else if (event.key === "ArrowRight") show(view.from + view.span / 4, view.span);
  else return;
  event.preventDefault();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
}

function listen() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  theme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  let before = null;
  addEventListener("beforeprint", () => { before ??= document.documentElement.dataset.theme; theme("light"); });
  addEventListener("afterprint", () => { theme(before ?? "light"); before = null; });
  one("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  one("keys").addEventListener("click", () => { one("help").hidden = !one("help").hidden; one("keys").setAttribute("aria-expanded", String(!one("help").hidden)); });
  one("in").addEventListener("click", () => zoom(0.5));
  one("out").addEventListener("click", () => zoom(2));
  one("fit").addEventListener("click", () => show(0, 1));
  one("text").addEventListener("input", filter);
  one("registry").addEventListener("change", filter);
  one("sort").addEventListener("change", order);
  one("clear").addEventListener("click", clear);
  one("controls").addEventListener("submit", (event) => event.preventDefault());
  one("states").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    filter();
  });
  one("targets").addEventListener("click", (event) => {
    const item = event.target.closest(".row");
    if (item) details(Number(item.dataset.index));
  });
  one("details").addEventListener("click", (event) => event.target.closest(".close") && close());
  one("chart").addEventListener("pointermove", hover);
  one("chart").addEventListener("pointerleave", () => { one("tip").hidden = true; });
  addEventListener("keydown", keys);
  addEventListener("resize", ticks);
  brushing();
}

listen();
head();
data.targets.forEach(prepare);
overview();
one("hosts").append(...data.hosts.map(lane));
one("hostshead").hidden = !data.hosts.length;
rows.push(...data.targets.map(row));
one("targets").append(...rows);
filter();
show(0, 1);
document.documentElement.dataset.drawn = String(Math.round(performance.now()));
