// ---------------------------------------------------------------- charts: the rows each one asks for by name
const unique = (values) => [...new Set(values)];
const runsOf = (variants) => D.runs.map((run, at) => ({ ...run, at }))
  .filter((run) => run.task === S.task && variants.includes(run.variant));
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
  const spec = structuredClone(D.charts[id]), mine = drawing, names = drawn().map((at) => D.variants[at]);
  spec.datasets = rows;
  for (const layer of spec.layer?.flatMap((each) => each.layer ?? [each]) ?? [spec]) {
    for (const channel of [layer.encoding.color, layer.encoding.fill?.condition]) {
      if (channel?.field === "variant") channel.scale = { domain: names, range: drawn().map(colour) };
    }
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
const axes = (spec, channel, change) => spec.layer.flatMap((each) => each.layer ?? [each]).forEach((layer) => {
  if (layer.encoding[channel]) change(layer.encoding[channel]);
});

async function charts() {
  drawing += 1;
  const variants = drawn(), task = D.tasks[S.task];
  const entries = variants.filter((v) => D.entries[v][S.task]?.mean != null)
    .map((v) => ({ ...D.entries[v][S.task], variant: D.variants[v] }));
  const guides = task.chance == null ? [] : [{ name: "chance", value: task.chance }];
  const results = runsOf(variants).filter((run) => run.value != null).map((run) => (
    { variant: D.variants[run.variant], seed: run.seed, value: run.value, status: run.status }));
  const lines = curveRows(variants), log = S.log && lines.some((row) => row.value > 0);
  const least = Math.min(...lines.filter((row) => row.value > 0).map((row) => row.value));
  const cut = sliceRows(variants), along = unique(cut.map((row) => `${row.metric} against ${row.along}`)).join(", ");
  const ends = task.criterion ? solvedRows(variants) : [];
  $("slices-section").hidden = !cut.length;
  $("slices-title").textContent = along[0]?.toUpperCase() + along.slice(1);
  $("solved-section").hidden = !ends.length;
  $("curves-section").hidden = !Object.keys(D.curves[S.task] ?? {}).length;
  const common = { student: D.student, seeds: S.seeds };
  await Promise.all([
    draw("results", { entries, results, guides }, (spec) => axes(spec, "x", (x) => { x.title = titled(task); })),
    draw("curves", { curves: log ? lines.filter((row) => row.value > 0) : lines }, (spec) => axes(spec, "y", (y) => {
      y.title = S.metric;
      y.scale = { type: log ? "log" : "linear", zero: false };
    }), { ...common, floor: log ? least / 2 : -1e300 }),
    draw("slices", { slices: cut, guides: guides.filter(() => cut[0]?.metric === task.metric) }, (spec) => {
      axes(spec, "x", (x) => { x.title = cut[0]?.along; });
      axes(spec, "y", (y) => { y.title = cut[0]?.metric; });
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
