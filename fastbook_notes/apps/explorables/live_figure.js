// What live figures share: settings to drag, axes, and a new drawing whenever a setting has changed. Each figure exports
// `compute(get)`, which returns for the settings in `get(name)` what the class's `computed` returns in Python.

// ---- settings, whose range or values come from Python as `ranges`
const setting = (model, name, value) => { model.set(name, value); model.save_changes(); };
const slider = (model, name, label, { step = null, show = short } = {}) => {
  const [from, to] = model.get("ranges")[name], id = numbered(name), leap = step ?? (to - from) / 200;
  const input = make("input", { type: "range", id, min: from, max: to, step: step ?? "any" }), value = make("output", { htmlFor: id });
  input.oninput = () => setting(model, name, +input.value);
  input.onkeydown = (event) => {
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!way) return;
    event.preventDefault();
    setting(model, name, Math.min(to, Math.max(from, +input.value + way * leap)));
  };
  const update = () => {
    const now = model.get(name);
    if (+input.value !== now) input.value = now;
    value.textContent = show(now);
    input.setAttribute("aria-valuetext", value.textContent);
  };
  model.on(`change:${name}`, update);
  update();
  return make("div", { className: "slider" }, make("label", { htmlFor: id }, label), input, value);
};
const choices = (model, name, legend, words = {}) => { // Radio buttons; `words` says what a value is called
  const group = numbered(name);
  const inputs = model.get("ranges")[name].map((value) => make("input", { type: "radio", name: group, onchange: () => setting(model, name, value) }));
  const update = () => model.get("ranges")[name].forEach((value, i) => { inputs[i].checked = value === model.get(name); });
  model.on(`change:${name}`, update);
  update();
  return make("fieldset", {}, make("legend", { textContent: legend }), make("div", { className: "row" },
    ...model.get("ranges")[name].map((value, i) => make("label", { className: "choice" }, inputs[i], `${words[value] ?? value}`))));
};
const checkbox = (model, name, label) => {
  const input = make("input", { type: "checkbox", onchange: () => setting(model, name, input.checked) });
  const update = () => { input.checked = model.get(name); };
  model.on(`change:${name}`, update);
  update();
  return make("label", { className: "choice" }, input, label);
};

const decades = (low, high) => { // At most six powers of ten
  const first = Math.ceil(Math.log10(low) - 1e-9), n = Math.floor(Math.log10(high) + 1e-9) - first, gap = Math.ceil((n + 1) / 6);
  return Array.from({ length: Math.floor(n / gap) + 1 }, (_, i) => 10 ** (first + gap * i));
};

// ---- a drawing with axes; x and y are { from, to, label, log, marks, show }, and may be others at each drawing
const plot = ({ x, y, width = 440, height = 270, name }) => {
  const left = 52, right = 12, top = 12, bottom = 42, clip = numbered("clip");
  const axes = svg("g", { class: "axes", "aria-hidden": "true" }), inside = svg("g", { "clip-path": `url(#${clip})` });
  const el = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img" },
    svg("clipPath", { id: clip }, svg("rect", { x: left, y: top, width: width - left - right, height: height - top - bottom })), axes, inside);
  const share = (axis, v) => axis.log ? Math.log(v / axis.from) / Math.log(axis.to / axis.from) : (v - axis.from) / (axis.to - axis.from);
  const sx = (v) => left + share(x, v) * (width - left - right), sy = (v) => height - bottom - share(y, v) * (height - top - bottom);
  const marks = (axis) => axis.marks ?? ((axis.log ? decades : ticks)(axis.from, axis.to));
  const written = (axis, v) => axis.show ? axis.show(v) : minus(+v.toPrecision(6));
  const drawAxes = () => axes.replaceChildren(
    ...marks(x).map((v) => svg("text", { x: sx(v), y: height - bottom + 17, "text-anchor": "middle" }, written(x, v))),
    ...marks(y).map((v) => svg("text", { x: left - 7, y: sy(v) + 4, "text-anchor": "end" }, written(y, v))),
    ...marks(y).map((v) => svg("path", { class: "grid", d: `M${left},${sy(v)}H${width - right}` })),
    svg("text", { class: "label", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.label),
    svg("text", { class: "label", transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label),
    svg("path", { class: "frame", d: `M${left},${top}V${height - bottom}H${width - right}` }));
  drawAxes();
  return {
    el, sx, sy,
    figure: make("figure", {}, make("figcaption", { textContent: name }), el),
    axes(newX, newY) { x = newX; y = newY; drawAxes(); },
    draw(words, ...shapes) { el.setAttribute("aria-label", `${name}. ${words}`); inside.replaceChildren(...shapes); },
    line: (points, kind = "first") => svg("path", { class: `line ${kind}`, d: points.map(([a, b], i) => `${i ? "L" : "M"}${sx(a).toFixed(2)},${sy(b).toFixed(2)}`).join("") }),
    dot: (a, b, kind = "first", r = 5) => svg("circle", { class: `dot ${kind}`, cx: sx(a), cy: sy(b), r }),
    bar: (a0, a1, b, kind = "first") => svg("rect", { class: `bar ${kind}`, x: sx(a0), width: Math.max(0, sx(a1) - sx(a0)), y: Math.min(sy(b), sy(y.from)), height: Math.abs(sy(y.from) - sy(b)) }),
    across: (b, kind = "soft") => svg("path", { class: `line ${kind}`, d: `M${left},${sy(b)}H${width - right}` }),
    upright: (a, kind = "soft") => svg("path", { class: `line ${kind}`, d: `M${sx(a)},${top}V${height - bottom}` }),
    text: (a, b, words, kind = "") => svg("text", { class: `said ${kind}`, x: sx(a), y: sy(b), "text-anchor": "middle" }, words),
    at(event) { // Where a pointer is, in the units of the axes
      const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(el.getScreenCTM().inverse()), back = (axis, s) => axis.log ? axis.from * (axis.to / axis.from) ** s : axis.from + s * (axis.to - axis.from);
      const within = (v) => Math.min(1, Math.max(0, v));
      return [back(x, within((spot.x - left) / (width - left - right))), back(y, within((height - bottom - spot.y) / (height - top - bottom)))];
    },
    onDrag(call) { // `call(x, y, event)` where the pointer is pressed and moved; the sliders say the same to a keyboard
      el.classList.add("draggable");
      el.onpointerdown = (event) => { el.setPointerCapture(event.pointerId); call(...this.at(event), event); };
      el.onpointermove = (event) => { if (el.hasPointerCapture(event.pointerId)) call(...this.at(event), event); };
    },
  };
};

// ---- the figure: `build(model)` returns its parts, and `show(found, get)`, which draws what `compute` found and says it in a sentence
const liveFigure = (kind, compute, build) => ({
  render({ model, el }) {
    const get = (name) => model.get(name), { parts, show } = build(model);
    const said = make("p", { className: "said", attributes: { role: "status" } });
    const update = () => { said.textContent = show(compute(get), get); };
    let waiting = false;
    model.on("change", () => { if (!waiting) { waiting = true; queueMicrotask(() => { waiting = false; update(); }); } });
    el.append(make("div", { className: `notes-app live-figure ${kind}` }, make("p", { className: "try" }, make("strong", { textContent: "Try it. " }), get("try_this")), ...parts, said));
    update();
  },
});

// ---- a legend that says numbers, too: `entries` are pairs of a line's kind and its name, and `say` takes a text for each
const legend = (...entries) => {
  const values = entries.map(() => make("strong", {}));
  const key = (kind) => svg("svg", { viewBox: "0 0 34 8", class: "key", "aria-hidden": "true" }, svg("path", { class: `line ${kind}`, d: "M0,4H34" }));
  return {
    el: make("ul", { className: "legend" }, ...entries.map(([kind, name], i) => make("li", {}, key(kind), ` ${name} `, values[i]))),
    say(...texts) { texts.forEach((text, i) => { values[i].textContent = text; }); },
  };
};
