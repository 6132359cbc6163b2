// ---- the line, step by step what `line_loss` and `line_step` do in Python
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
export const lineLoss = (w, b, xs, ys) => mean(xs.map((x, i) => (w * x + b - ys[i]) ** 2));
export const lineStep = (w, b, xs, ys, lr) => {
  const errors = xs.map((x, i) => w * x + b - ys[i]);
  return [w - lr * 2 * mean(errors.map((e, i) => e * xs[i])), b - lr * 2 * mean(errors)];
};

const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // Of the colour map viridis
const colour = (share) => {
  const at = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1), i = Math.floor(at);
  return STOPS[i].map((v, k) => v + (STOPS[i + 1][k] - v) * (at - i));
};
function render({ model, el }) {
  const xs = model.get("x"), ys = model.get("y"), [w0, w1] = model.get("w_range"), [b0, b1] = model.get("b_range");
  const start = [model.get("w"), model.get("b")], loss = (w, b) => lineLoss(w, b, xs, ys);
  let trail = [start], steps = 0;

  // ---- points and line
  const W = 360, H = 300, M = { left: 34, right: 10, top: 10, bottom: 38 };
  const xLow = Math.min(0, ...xs), xHigh = Math.max(...xs) + 0.03 * (Math.max(...xs) - Math.min(...xs)), spread = Math.max(...ys) - Math.min(...ys), yLow = Math.min(0, Math.min(...ys) - 0.1 * spread), yHigh = Math.max(...ys) + 0.1 * spread;
  const sx = (x) => M.left + (x - xLow) / (xHigh - xLow) * (W - M.left - M.right), sy = (y) => H - M.bottom - (y - yLow) / (yHigh - yLow) * (H - M.top - M.bottom);
  const clip = numbered("clip"), line = svg("line", { class: "fit" }), gaps = svg("g", { class: "gaps" });
  const plot = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img" },
    svg("clipPath", { id: clip }, svg("rect", { x: M.left, y: M.top, width: W - M.left - M.right, height: H - M.top - M.bottom })),
    ...ticks(xLow, xHigh).map((v) => svg("text", { x: sx(v), y: H - M.bottom + 16, "text-anchor": "middle" }, `${+v.toFixed(2)}`)),
    ...ticks(yLow, yHigh).map((v) => svg("text", { x: M.left - 6, y: sy(v) + 4, "text-anchor": "end" }, `${+v.toFixed(2)}`)),
    svg("text", { x: (W + M.left) / 2, y: H - 4, "text-anchor": "middle" }, "x"), svg("text", { x: 8, y: M.top + 10 }, "y"),
    svg("path", { class: "axes", d: `M${M.left},${M.top}V${H - M.bottom}H${W - M.right}` }),
    svg("g", { "clip-path": `url(#${clip})` }, gaps, ...xs.map((x, i) => svg("circle", { class: "point", cx: sx(x), cy: sy(ys[i]), r: 3.5 })), line));

  // ---- the surface
  const N = 72, ground = make("canvas", {}), over = make("canvas", { className: "surface", width: 300, height: 300, attributes: { role: "img" } });
  const cell = (i) => loss(w0 + (i % N + 0.5) / N * (w1 - w0), b1 - (Math.floor(i / N) + 0.5) / N * (b1 - b0));
  const logs = Array.from({ length: N * N }, (_, i) => Math.log(cell(i))), low = Math.min(...logs), high = Math.max(...logs);
  paint(ground, N, N, (i) => colour((high - logs[i]) / (high - low)));
  const at = ([w, b]) => [(w - w0) / (w1 - w0) * 300, (b1 - b) / (b1 - b0) * 300];
  const showSurface = () => {
    const context = over.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.drawImage(ground, 0, 0, 300, 300);
    const path = trail.map(at);
    for (const [width, ink] of [[4, "#000"], [2, "#fff"]]) {
      Object.assign(context, { lineWidth: width, strokeStyle: ink, lineJoin: "round" });
      context.beginPath();
      path.forEach((p) => context.lineTo(...p));
      context.stroke();
    }
    for (const p of path) { context.beginPath(); context.arc(...p, 2.5, 0, 7); context.fillStyle = "#fff"; context.fill(); }
    Object.assign(context, { lineWidth: 3, strokeStyle: "#000", fillStyle: "#ff7a1a" });
    context.beginPath();
    context.arc(...at([model.get("w"), model.get("b")]), 8, 0, 7);
    context.fill();
    context.stroke();
  };

  // ---- sliders, buttons, numbers
  const slider = (name, label, from, to) => {
    const id = numbered(name), input = make("input", { type: "range", id, min: from, max: to, step: "any" }), value = make("output", { htmlFor: id });
    input.value = model.get(name);
    input.onkeydown = (event) => {
      const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (!way) return;
      event.preventDefault();
      input.value = +input.value + way * (to - from) / 200;
      input.dispatchEvent(new Event("input"));
    };
    input.oninput = () => { model.set(name, +input.value); if (name !== "lr") { trail = [[model.get("w"), model.get("b")]]; steps = 0; } model.save_changes(); };
    return { input, value, el: make("div", { className: "slider" }, make("label", { htmlFor: id }, label), input, value) };
  };
  const sliders = { w: slider("w", "Weight w", w0, w1), b: slider("b", "Bias b", b0, b1), lr: slider("lr", "Learning rate", 0.005, 0.2) };
  const figure = make("output", { className: "loss" }), said = make("p", { className: "soft", attributes: { role: "status" } });
  const walk = (n) => {
    for (let i = 0; i < n; i++) {
      const next = lineStep(model.get("w"), model.get("b"), xs, ys, model.get("lr"));
      if (loss(...next) > 1e6 * (loss(...start) + 1)) { said.textContent = "The loss grows and grows: take a lower learning rate, and start over."; break; }
      steps += 1;
      trail.push(next);
      model.set({ w: next[0], b: next[1] });
    }
    model.save_changes();
  };
  const update = () => {
    const w = model.get("w"), b = model.get("b"), now = loss(w, b);
    for (const [name, each] of Object.entries(sliders)) {
      const value = model.get(name);
      if (+each.input.value !== value) each.input.value = value;
      each.value.textContent = name === "lr" ? value.toFixed(3) : short(value);
      each.input.setAttribute("aria-valuetext", each.value.textContent);
    }
    const ends = [xLow, xHigh];
    for (const [name, value] of Object.entries({ x1: sx(ends[0]), y1: sy(w * ends[0] + b), x2: sx(ends[1]), y2: sy(w * ends[1] + b) })) line.setAttribute(name, value);
    gaps.replaceChildren(...xs.map((x, i) => svg("line", { x1: sx(x), x2: sx(x), y1: sy(ys[i]), y2: sy(w * x + b) })));
    figure.textContent = short(now);
    plot.setAttribute("aria-label", `${xs.length} points and the line y = ${short(w)} x + ${short(b)}`);
    over.setAttribute("aria-label", `The loss for each weight from ${w0} to ${w1} (across) and each bias from ${b0} to ${b1} (upwards); brighter is lower. Marked: ${short(w)}, ${short(b)}`);
    if (steps) said.textContent = `After ${steps} step${steps > 1 ? "s" : ""}: loss ${short(now)}`;
    else said.textContent = "Move the sliders, or let gradient descent take a step.";
    showSurface();
  };
  over.onclick = (event) => {
    const box = over.getBoundingClientRect(), point = [w0 + (event.clientX - box.left) / box.width * (w1 - w0), b1 - (event.clientY - box.top) / box.height * (b1 - b0)];
    trail = [point];
    steps = 0;
    model.set({ w: point[0], b: point[1] });
    model.save_changes();
  };
  let waiting = false;
  model.on("change:w change:b change:lr", () => { if (!waiting) { waiting = true; queueMicrotask(() => { waiting = false; update(); }); } });

  el.append(make("div", { className: "notes-app line-pad" },
    make("div", { className: "columns" },
      make("figure", { className: "left" }, make("figcaption", { textContent: "Points, the line w·x + b, and how far it is from each" }), plot),
      make("figure", { className: "right" }, make("figcaption", { textContent: "The loss: brighter is lower" }),
        make("div", { className: "framed" }, make("span", { className: "bias", textContent: `b from ${minus(b0)} to ${minus(b1)}` }), over, make("span", { className: "weight", textContent: `w from ${minus(w0)} to ${minus(w1)}` })))),
    make("p", { className: "now" }, "Loss (mean squared error): ", figure),
    make("div", { className: "sliders" }, sliders.w.el, sliders.b.el, sliders.lr.el),
    make("div", { className: "row" }, button("One step", () => walk(1), "main"), button("20 steps", () => walk(20)),
      button("Start over", () => { trail = [start]; steps = 0; model.set({ w: start[0], b: start[1] }); model.save_changes(); update(); })),
    said));
  update();
}
export default { render };
