// ---------------------------------------------------------------- charts: the rows each one asks for by name
const unique = (values) => [...new Set(values)];
const runsOf = (variants) => D.runs.map((run, at) => ({ ...run, at }))
  .filter((run) => run.task === S.task && variants.includes(run.variant));
const drawnHere = () => drawn().filter((variant) => D.runs.some((run) => run.variant === variant && run.task === S.task));
const stopped = (run) => run.status === "solved" || run.status === "finished";

function curveRows(variants) {
  const series = D.curves[S.task]?.[S.metric];
  if (!series) return [];
  return runsOf(variants).flatMap((run) => {
    const values = series.values[run.at] ?? [];
    const ends = values.length && stopped(run) ? series.steps.length : values.length;
    return series.steps.slice(0, ends).map((step, at) => ({
      variant: D.variants[run.variant], seed: run.seed, step, held: at >= values.length, bin: "",
      value: at < values.length ? values[at] : values[values.length - 1] })).filter((row) => row.value != null);
  });
}

function sliceRows(variants) {
  return runsOf(variants).flatMap((run) => Object.entries(run.metrics[D.split] ?? {}).flatMap(([name, value]) => {
    const found = /^(.+)@(.+)=(\d+)(?:-(\d+))?$/.exec(name);
    if (!found || value == null) return [];
    const [, metric, along, low, high = low] = found;
    return [{ variant: D.variants[run.variant], seed: run.seed, value, metric, along, held: false,
      at: (Number(low) + Number(high)) / 2, bin: `${along} ${low === high ? low : `${low}–${high}`}` }];
  }));
}

function solvedRows(variants) {
  return runsOf(variants).filter((run) => run.steps != null && run.status !== "failed").map((run) => ({
    variant: D.variants[run.variant], seed: run.seed, step: run.solved_at ?? run.steps,
    how: run.solved_at != null ? "solved" : "stopped" }));
}

let drawing = 0; // the latest request wins
async function draw(id, rows, patch = () => {}, parameters = {}) {
  const shown = Object.values(rows)[0].length > 0;
  $(id).hidden = !shown;
  if (!shown) return;
  const spec = pruned(structuredClone(D.charts[id]), rows), mine = drawing, present = drawnHere();
  const names = present.map((at) => D.variants[at]);
  spec.datasets = rows;
  if (spec.height?.step) spec.height = spec.height.step * names.length; // the width is the page's, so no step
  for (const layer of layers(spec)) {
    for (const channel of [layer.encoding.color, layer.encoding.fill?.condition]) {
      if (channel?.field === "variant") channel.scale = { domain: names, range: present.map(colour) };
    }
    if (layer.encoding.y?.field === "variant") layer.encoding.y.sort = names;
  }
  for (const parameter of spec.params ?? []) {
    if (parameter.name in parameters) parameter.value = parameters[parameter.name];
  }
  patch(spec);
  const place = el("div", {});
  place.style.width = $(id).clientWidth + "px";
  const old = [...$(id).children];
  $(id).append(place);
  try {
    const made = await vegaEmbed(place, spec, { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } });
    place.style.width = "";
    (views[id] ??= []).push(made);
    if (mine !== drawing) { made.finalize(); place.remove(); return; }
    old.forEach((each) => each.remove());
    views[id].splice(0, views[id].length - 1).forEach((each) => each.finalize());
  } catch (error) {
    place.replaceChildren(el("p", { class: "bad" }, `This chart cannot be drawn: ${error.message}`));
    console.error(error);
  }
}
const views = {};
const layers = (spec) => spec.layer?.flatMap((each) => each.layer ?? [each]) ?? [spec];
const axes = (spec, channel, change) => layers(spec).forEach((layer) => {
  if (layer.encoding[channel]) change(layer.encoding[channel]);
});
const around = (rows, log) => { // the range of the seeds; bands are cut there
  const values = rows.map((row) => row.value).filter((value) => !log || value > 0);
  const [low, high] = [Math.min(...values), Math.max(...values)], room = 0.03 * (high - low) || 0.05 * Math.abs(high) || 1;
  return log ? [low / 1.1, high * 1.1] : [low - room, high + room];
};
const pruned = (part, rows) => { // without single seeds unless they are asked for, and without what has no rows
  const stays = (each) => (S.seeds || !each.name?.startsWith("single")) && (!each.data || rows[each.data.name].length > 0);
  if (part.layer) part.layer = part.layer.filter(stays).map((each) => pruned(each, rows));
  return part;
};

async function charts() {
  drawing += 1;
  const variants = drawnHere(), task = D.tasks[S.task];
  const entries = variants.filter((v) => D.entries[v][S.task]?.mean != null)
    .map((v) => ({ ...D.entries[v][S.task], variant: D.variants[v] }));
  const guides = task.chance == null ? [] : [{ name: "chance", value: task.chance }];
  const results = runsOf(variants).filter((run) => run.value != null).map((run) => (
    { variant: D.variants[run.variant], seed: run.seed, value: run.value, status: run.status }));
  const reached = [...results.map((row) => row.value), ...entries.flatMap((each) => [each.low, each.high])].filter((value) => value != null);
  const [low, high] = [Math.min(...reached), Math.max(...reached)]; // a guess far from all would squeeze them
  const lines = curveRows(variants), log = S.log && lines.some((row) => row.value > 0);
  const least = Math.min(...lines.filter((row) => row.value > 0).map((row) => row.value));
  const cut = sliceRows(variants), along = unique(cut.map((row) => `${row.metric} against ${row.along}`)).join(", ");
  const ends = task.criterion ? solvedRows(variants) : [];
  $("slices-section").hidden = !cut.length;
  $("slices-title").textContent = along[0]?.toUpperCase() + along.slice(1);
  $("solved-section").hidden = !ends.length;
  $("curves-section").hidden = !Object.keys(D.curves[S.task] ?? {}).length;
  const level = guides.filter(() => cut[0]?.metric === task.metric);
  const common = { student: D.student };
  await Promise.all([
    draw("results", { entries, results, guides: guides.filter(({ value }) => value > low - (high - low) && value < high + (high - low)) }, (spec) => axes(spec, "x", (x) => { x.title = titled(task); })),
    draw("curves", { curves: log ? lines.filter((row) => row.value > 0) : lines }, (spec) => axes(spec, "y", (y) => {
      y.title = S.metric;
      y.scale = { ...(log ? { type: "log" } : { zero: false }), domain: around(lines, log) };
    }), { ...common, floor: log ? least / 2 : -1e300 }),
    draw("slices", { slices: cut, guides: level }, (spec) => {
      axes(spec, "x", (x) => { x.title = cut[0]?.along; });
      axes(spec, "y", (y) => {
        y.title = cut[0]?.metric;
        y.scale = { zero: false, domain: around([...cut, ...level]) };
      });
    }, common),
    draw("solved", { solved: ends }),
  ]);
  pictures(variants);
}

function pictures(variants) {
  const runs = runsOf(variants).filter((run) => D.pictures[run.at]);
  const first = unique(runs.map((run) => run.variant)).map((variant) => runs.find((run) => run.variant === variant));
  $("pictures-section").hidden = !first.length;
  $("pictures").replaceChildren(...first.map((run) => el("div", {},
    el("h3", {}, `${D.variants[run.variant]}, seed ${run.seed} `, el("a", { href: "#" + anchor(run) }, run.id)), drawings(run))));
}
const drawings = (run) => (D.pictures[run.at] ?? []).map((picture) => el("figure", {},
  el("img", { src: picture.source, alt: `${picture.name} of ${D.variants[run.variant]}`, loading: "lazy" }),
  el("figcaption", {}, picture.name)));
