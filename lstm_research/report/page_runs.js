// ---------------------------------------------------------------- settings of two variants, and single runs
const anchor = (run) => "run-" + run.id.split("/").pop();
const PARTS = ["cell", "wrap", "task", "network", "optimizer", "budget"];
const flat = (value, path) => value !== null && typeof value === "object" && !Array.isArray(value)
  ? Object.entries(value).flatMap(([key, item]) => flat(item, path ? `${path}.${key}` : key))
  : [[path, JSON.stringify(value)]];
const settings = (run) => Object.fromEntries(PARTS.flatMap((part) => flat(D.shared[part][run.shared[part]], part)));

function difference() {
  const on = (variant, task) => D.runs.find((run) => run.variant === variant && run.task === task);
  const tasks = [S.task, ...D.tasks.keys()], shared = tasks.find((task) => on(S.left, task) && on(S.right, task));
  const of = (variant) => on(variant, shared ?? S.task) ?? D.runs.find((run) => run.variant === variant);
  const [left, right] = [of(S.left), of(S.right)];
  if (!left || !right) return;
  const [a, b] = [settings(left), settings(right)];
  const keys = unique([...Object.keys(a), ...Object.keys(b)]);
  const other = keys.filter((key) => a[key] !== b[key]);
  $("diff").replaceChildren(
    el("thead", {}, el("tr", {}, ["setting", D.variants[S.left], D.variants[S.right]].map((text) => el("th", { scope: "col", class: "left" }, text)))),
    el("tbody", {}, other.map((key) => el("tr", {}, el("th", { scope: "row" }, key),
      [a, b].map((side) => el("td", { class: "left" }, side[key] ?? "absent"))))),
    el("tfoot", {}, el("tr", {}, el("td", { colspan: 3, class: "quiet" },
      `${other.length} settings differ, ${keys.length - other.length} are equal; on ${D.tasks[left.task].label}`
      + (left.task === right.task ? "" : ` and ${D.tasks[right.task].label}`)))));
}

function told(run) {
  const block = (title, pairs) => {
    const lines = pairs.filter(([, value]) => value != null && value !== "null");
    return lines.length ? el("div", {}, el("h3", {}, title), el("pre", {}, lines.map(([key, value]) => `${key}: ${value}`).join("\n"))) : "";
  };
  const spec = PARTS.map((part) => block(part, flat(D.shared[part][run.shared[part]], "").map(([key, value]) => [key, value])));
  const metrics = Object.entries(run.metrics).map(([split, each]) => block(split, Object.entries(each).map(([name, value]) => [name, value])));
  const numbers = ["steps", "best_step", "solved_at", "diverged_at", "parameters", "step_ms", "compile_s", "train_s", "flops", "kept_bytes"];
  return [
    run.error ? el("p", { class: "bad" }, run.error) : "",
    el("p", { class: "quiet" }, run.path),
    el("div", { class: "columns" }, block("result", numbers.map((key) => [key, typeof run[key] === "number" ? Number(run[key].toPrecision(6)) : run[key]])), metrics, spec,
      block("environment", [["started", run.started], ...flat(D.shared.environment[run.shared.environment], "")]),
      block("inspected", Object.entries(run.inspected ?? {}))),
    ...drawings(run)];
}

const opened = new Set();
function toggle(run, open) {
  const line = $(anchor(run));
  open ? opened.add(run.at) : opened.delete(run.at);
  line.querySelector("button").setAttribute("aria-expanded", open);
  if (line.nextElementSibling?.classList.contains("told")) line.nextElementSibling.remove();
  if (open) line.after(el("tr", { class: "told" }, el("td", { colspan: 9 }, told(run))));
}

function runs() {
  const all = D.runs.map((run, at) => ({ ...run, at }));
  const text = (run) => `${run.id} ${D.variants[run.variant]} ${D.tasks[run.task].label} ${run.status} seed=${run.seed}`;
  const shown = all.filter((run) => matches(D.variants[run.variant], S.filter) && matches(text(run), S.runFilter));
  const columns = [
    { key: "id", label: "run", value: (run) => run.id },
    { key: "variant", label: "variant", value: (run) => D.variants[run.variant], left: true },
    { key: "task", label: "task", value: (run) => D.tasks[run.task].label, left: true },
    { key: "seed", label: "seed", value: (run) => run.seed },
    { key: "status", label: "status", value: (run) => run.status, left: true },
    { key: "value", label: "result", under: `on ${D.split}`, value: (run) => run.value },
    { key: "steps", label: "steps", value: (run) => run.steps },
    { key: "solved_at", label: "solved at", value: (run) => run.solved_at },
    { key: "train_s", label: "train s", value: (run) => run.train_s }];
  $("run-count").textContent = `${shown.length} of ${all.length} runs`;
  sortable("runs", columns, shown, (run) => {
    const open = opened.has(run.at);
    const line = el("tr", { id: anchor(run) },
      el("th", { scope: "row" }, el("button", { type: "button", "aria-expanded": open, onclick: () => toggle(run, !opened.has(run.at)) }, "▸"),
        " ", el("a", { href: "#" + anchor(run) }, run.id)),
      el("td", { class: "left" }, D.variants[run.variant]), el("td", { class: "left" }, D.tasks[run.task].label),
      el("td", {}, String(run.seed ?? "")), el("td", { class: ["diverged", "failed"].includes(run.status) ? "left bad" : "left" }, run.status),
      el("td", {}, number(run.value, 4)), el("td", {}, count(run.steps)), el("td", {}, count(run.solved_at)), el("td", {}, number(run.train_s)));
    return open ? [line, el("tr", { class: "told" }, el("td", { colspan: 9 }, told(run)))] : [line];
  });
}

function visit() {
  const at = D.runs.findIndex((run) => "#" + anchor(run) === location.hash);
  if (at < 0) return;
  if (!$(anchor(D.runs[at]))) { S.filter = S.runFilter = $("filter").value = $("run-filter").value = ""; everything(); }
  toggle({ ...D.runs[at], at }, true);
  $(anchor(D.runs[at])).scrollIntoView();
}

// ---------------------------------------------------------------- controls
const options = (id, names, chosen) => $(id).replaceChildren(...names.map(([value, text]) =>
  el("option", { value, selected: value === chosen }, text)));
const bind = (id, key, redraw, read = (input) => input.value) => $(id).addEventListener("input", (event) => {
  S[key] = read(event.target); keep(); redraw();
});
const whole = (input) => Number(input.value);

function metrics() {
  const names = Object.keys(D.curves[S.task] ?? {}), first = `valid ${D.tasks[S.task].metric}`;
  if (!names.includes(S.metric)) S.metric = names.includes(first) ? first : names.find((name) => name.startsWith("valid")) ?? names[0] ?? "";
  options("metric", names.map((name) => [name, name]), S.metric);
}
function tables() { overview(); single(); runs(); }
function everything() { metrics(); tables(); difference(); charts(); }

function controls() {
  const variants = D.variants.map((text, at) => [at, text]);
  options("task", D.tasks.map((task, at) => [at, task.label]), S.task);
  options("baseline", D.versus.baselines.map((at) => [at, D.variants[at]]), S.baseline);
  options("left", variants, S.left);
  options("right", variants, S.right);
  $("filter").value = S.filter; $("run-filter").value = S.runFilter; $("seeds").checked = S.seeds; $("log").checked = S.log;
  bind("task", "task", everything, whole);
  bind("baseline", "baseline", () => { overview(); single(); }, whole);
  bind("filter", "filter", () => { tables(); charts(); });
  const draws = (hidden) => () => { S.hidden = hidden(visible()); keep(); overview(); single(); charts(); };
  $("draw-all").addEventListener("click", draws((shown) => S.hidden.filter((at) => !shown.includes(at))));
  $("draw-none").addEventListener("click", draws((shown) => unique([...S.hidden, ...shown])));
  bind("run-filter", "runFilter", runs);
  bind("metric", "metric", charts);
  bind("seeds", "seeds", charts, (input) => input.checked);
  bind("log", "log", charts, (input) => input.checked);
  bind("left", "left", difference, whole);
  bind("right", "right", difference, whole);
  const themes = { auto: "◐ auto", light: "☀ light", dark: "☾ dark" };
  const theme = () => {
    document.documentElement.dataset.theme = S.theme;
    $("theme").textContent = themes[S.theme];
    $("theme").setAttribute("aria-label", `colours: ${S.theme}`);
  };
  $("theme").addEventListener("click", () => {
    const names = Object.keys(themes);
    S.theme = names[(names.indexOf(S.theme) + 1) % names.length]; keep(); theme();
  });
  theme();
  document.addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
    if (event.key === "/" && !typing) { event.preventDefault(); $("filter").focus(); }
    if (event.key === "Escape" && document.activeElement?.type === "search") {
      document.activeElement.value = ""; document.activeElement.dispatchEvent(new Event("input"));
    }
  });
}

const statuses = Object.entries(D.runs.reduce((all, run) => ({ ...all, [run.status]: (all[run.status] ?? 0) + 1 }), {}));
$("state").textContent = `${D.runs.length} runs: ${statuses.map(([name, many]) => `${many} ${name}`).join(", ")} · ${D.made}`
  + (D.refresh ? ` · looks for news every ${D.refresh} s` : "");
$("notes").replaceChildren(...D.notes.map((note) => el("li", {}, note)));
controls();
everything();
visit();
addEventListener("hashchange", visit);
if (D.refresh) setInterval(() => { // not under the hands of somebody who types
  if (document.activeElement?.type !== "search") location.reload();
}, 1000 * D.refresh);
