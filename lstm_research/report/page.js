"use strict";
// Shows what the page holds as JSON. Numbers come as they are; nothing is computed here but what is shown.
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#72b7b2", "#9d755d", "#eeca3b", "#ff9da6", "#8f8f8f"];
const FEW = 8; // variants in the charts at the start

const el = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== ""));
  return made;
};
const number = (value, digits = 3) =>
  value == null ? "" : Math.abs(value) >= 1e5 ? value.toExponential(digits - 1)
    : String(Number(value.toPrecision(digits)));
const count = (value) => (value == null ? "" : value.toLocaleString("en"));
const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
const matches = (text, filter) => words(filter).every((word) => text.toLowerCase().includes(word));

// ---------------------------------------------------------------- what is chosen, kept over a reload
const KEY = "lstm-research " + document.title + " " + D.root;
const start = {
  task: 0, baseline: D.baseline ?? 0, filter: "", runFilter: "", metric: "", seeds: false, log: false,
  theme: "auto", hidden: D.variants.map((_, at) => at).slice(FEW), sorts: {}, left: D.baseline ?? 0, right: 1,
};
let S = start;
try { S = { ...start, ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") }; } catch { /* none kept */ }
if (!(S.task < D.tasks.length)) S.task = 0;
for (const side of ["left", "right"]) if (!(S[side] < D.variants.length)) S[side] = 0;
if (S === start && S.left === S.right) S.right = D.variants.length > 1 ? Number(S.left === 0) : 0;
if (!D.versus.baselines.includes(S.baseline)) S.baseline = D.versus.baselines[0] ?? 0;
const keep = () => { try { sessionStorage.setItem(KEY, JSON.stringify(S)); } catch { /* not allowed */ } };
const visible = () => D.variants.map((_, at) => at).filter((at) => matches(D.variants[at], S.filter));
const drawn = () => visible().filter((at) => !S.hidden.includes(at));
const colour = (variant) => COLOURS[variant % COLOURS.length];

// ---------------------------------------------------------------- sorted tables
function sortable(id, columns, rows, line) {
  const table = $(id), known = S.sorts[id];
  const by = columns.find((column) => column.key === known?.key);
  const sorted = [...rows];
  if (by) {
    const way = known.down ? -1 : 1, absent = (value) => value == null || value === "";
    sorted.sort((a, b) => {
      const [x, y] = [by.value(a), by.value(b)];
      if (absent(x) || absent(y)) return absent(x) - absent(y);
      return way * (typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
    });
  }
  const focused = document.activeElement?.dataset?.key;
  const heads = columns.map((column) => {
    const sort = by === column ? (known.down ? "descending" : "ascending") : "none";
    const button = el("button", { type: "button", "data-key": `${id} ${column.key}`, onclick: () => {
      S.sorts[id] = { key: column.key, down: by === column && !known.down };
      keep();
      sortable(id, columns, rows, line);
    } }, column.label);
    return el("th", { scope: "col", "aria-sort": sort, class: column.left && "left" }, button,
      column.under ? el("small", {}, column.under) : "");
  });
  table.replaceChildren(el("thead", {}, el("tr", {}, heads)), el("tbody", {}, sorted.flatMap(line)));
  if (focused?.startsWith(id + " ")) table.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

const versus = (variant, task) => D.versus.of[S.baseline]?.[task]?.[variant];
const named = (variant) => el("th", { scope: "row" }, el("label", {},
  el("input", { type: "checkbox", checked: !S.hidden.includes(variant), "aria-label": `draw ${D.variants[variant]}`,
    "data-variant": variant, onchange: (event) => {
      S.hidden = event.target.checked ? S.hidden.filter((at) => at !== variant) : [...S.hidden, variant];
      document.querySelectorAll(`input[data-variant="${variant}"]`).forEach((box) => { box.checked = event.target.checked; });
      keep(); charts();
    } }),
  el("span", { class: "swatch", style: `background:${colour(variant)}` }), D.variants[variant]));
const variantColumn = { key: "variant", label: "variant", value: (variant) => D.variants[variant], left: true };
const titled = (task) => `${task.metric} ${task.metric ? { min: "↓", max: "↑" }[task.goal] : ""}`
  + (task.chance == null ? "" : ` · chance ${number(task.chance)}`);
const row = (variant, cells) => [el("tr", { class: variant === S.baseline && "base", "data-variant": variant }, named(variant), cells)];
const bad = (each) => ["diverged", "failed"].filter((name) => each[name])
  .map((name) => el("small", { class: "bad" }, `${each[name]} of ${each.n} ${name}`));

function overview() {
  $("overview").hidden = D.tasks.length < 2;
  const of = (variant, task) => D.entries[variant][task];
  const cost = (name) => (variant) => D.entries[variant].find((each) => each?.[name] != null)?.[name];
  const columns = [variantColumn, ...D.tasks.map((task, at) => (
    { key: `task ${at}`, label: task.label, under: titled(task), value: (variant) => of(variant, at)?.mean }))];
  if (D.agreed) columns.push({ key: "parameters", label: "parameters", value: cost("parameters") },
    { key: "step_ms", label: "ms/step", value: cost("step_ms") });
  sortable("overview-table", columns, visible(), (variant) => row(variant, [
    ...D.tasks.map((task, at) => {
      const each = of(variant, at), test = versus(variant, at);
      if (!each) return el("td", {});
      return el("td", {}, el("span", { class: each.best && "best" }, `${each.text} ${each.interval}`),
        el("small", {}, `n=${each.n}` + (task.criterion ? ` · solved ${each.solved}` : "")), bad(each),
        test ? el("small", {}, `Δ ${number(test[0])} · p=${number(test[1])}`) : "");
    }),
    ...(D.agreed ? [el("td", {}, cost("size")(variant) ?? ""), el("td", {}, cost("time")(variant) ?? "")] : [])]));
}

function single() {
  const task = D.tasks[S.task], of = (variant) => D.entries[variant][S.task] ?? {};
  const runs = (variant) => D.runs.filter((run) => run.variant === variant && run.task === S.task);
  $("one-title").textContent = `${task.label}: ${titled(task)}`;
  const extra = [["flops", "FLOPs", "forward step, XLA"], ["kept_bytes", "memory", "bytes a step keeps"]].filter(([key]) => D.runs.some((run) => run[key] != null))
    .map(([key, label, under]) => ({ key, label, under, show: (v) => count(runs(v).find((run) => run[key] != null)?.[key]), value: (variant) => runs(variant).find((run) => run[key] != null)?.[key] }));
  const columns = [variantColumn,
    { key: "mean", label: "mean", under: `on ${D.split}`, value: (v) => of(v).mean, show: (v) => of(v).text, best: true },
    { key: "interval", label: "interval", under: `width, ${100 * D.level} %`, value: (v) => of(v).low == null ? null : of(v).high - of(v).low, show: (v) => of(v).interval, best: true },
    { key: "delta", label: "Δ", under: "to baseline", value: (v) => versus(v, S.task)?.[0] },
    { key: "p", label: "p", under: "Holm", value: (v) => versus(v, S.task)?.[1] },
    { key: "n", label: "n", value: (v) => of(v).n },
    ...(task.criterion ? [{ key: "solved", label: "solved", value: (v) => of(v).solved },
      { key: "sequences", label: "after", under: "sequences", value: (v) => of(v).sequences, show: (v) => count(of(v).sequences) }] : []),
    { key: "diverged", label: "diverged", value: (v) => of(v).diverged, bad: true },
    { key: "failed", label: "failed", value: (v) => of(v).failed, bad: true },
    { key: "parameters", label: "parameters", value: (v) => of(v).parameters, show: (v) => of(v).size },
    { key: "step_ms", label: "ms/step", value: (v) => of(v).step_ms, show: (v) => of(v).time }, ...extra];
  sortable("task-table", columns, visible().filter((v) => runs(v).length), (v) => row(v, columns.slice(1).map((column) =>
    el("td", { class: (column.best && of(v).best && "best") || (column.bad && column.value(v) > 0 && "bad") },
      column.show ? column.show(v) ?? "" : number(column.value(v))))));
}
