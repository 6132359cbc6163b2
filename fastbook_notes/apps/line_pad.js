// ---- the line, step by step what `line_loss` and `line_step` do in Python
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
export const lineLoss = (w, b, xs, ys) => mean(xs.map((x, i) => (w * x + b - ys[i]) ** 2));
export const lineStep = (w, b, xs, ys, lr) => {
  const errors = xs.map((x, i) => w * x + b - ys[i]);
  return [w - lr * 2 * mean(errors.map((e, i) => e * xs[i])), b - lr * 2 * mean(errors)];
};
export const compute = (get) => {
  const line = ["w", "b", "x", "y"].map(get);
  return { loss: lineLoss(...line), step: lineStep(...line, get("lr")) };
};

const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // Of the colour map viridis
const colour = (share) => {
  const at = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1), i = Math.floor(at);
  return STOPS[i].map((v, k) => v + (STOPS[i + 1][k] - v) * (at - i));
};

export default liveFigure("line-pad", compute, (model) => {
  const get = (name) => model.get(name), xs = get("x"), { w: [w0, w1], b: [b0, b1], y: [y0, y1] } = get("ranges");
  const start = { w: get("w"), b: get("b") }, points = get("y"), loss = (w, b) => lineLoss(w, b, xs, get("y"));
  let trail = [[start.w, start.b]], walking = false, lost = false, picked = 0;
  const restart = () => { if (!walking) { trail = [[get("w"), get("b")]]; lost = false; } };
  model.on("change:w change:b change:y", restart);

  // ---- points that can be moved, and the line
  const [first, last] = [Math.min(...xs), Math.max(...xs)], rim = 0.03 * (last - first), x = { from: Math.min(0, first - rim), to: last + rim, label: "x" };
  const line = plot({ x, y: { from: y0, to: y1, label: "y" }, name: "Points, the line w·x + b, and how far it is from each" });
  const move = (i, value) => setting(model, "y", get("y").map((y, j) => j === i ? Math.min(y1, Math.max(y0, value)) : y));
  line.onDrag((px, py, event) => {
    if (event.type === "pointerdown") {
      const far = xs.map((v, i) => Math.hypot(line.sx(v) - line.sx(px), line.sy(get("y")[i]) - line.sy(py)));
      held = Math.min(...far) < 24 ? far.indexOf(Math.min(...far)) : null;
      if (held !== null) pick(held);
    }
    if (held !== null) move(held, py);
  });
  let held = null, heard = [];
  const pick = (i) => { picked = i; heard.forEach((call) => call()); drawLine(); };
  const handle = { // The same for a keyboard: which point, and how high it is, as if they were settings
    get: (name) => ({ ranges: { point: [1, xs.length], height: [y0, y1] }, point: picked + 1, height: get("y")[picked] })[name],
    set: (name, value) => name === "point" ? pick(Math.round(value) - 1) : move(picked, value),
    save_changes() {},
    on(_, call) { heard.push(call); model.on("change:y", call); },
  };
  const drawLine = () => {
    const w = get("w"), b = get("b"), ys = get("y"), ends = [x.from, x.to];
    line.draw(`${xs.length} points and the line y = ${short(w)} x + ${short(b)}`, ...xs.map((v, i) => line.line([[v, ys[i]], [v, w * v + b]], "gap")),
      line.line(ends.map((v) => [v, w * v + b]), "second"), ...xs.map((v, i) => line.dot(v, ys[i], i === picked ? "fourth" : "first", i === picked ? 7 : 4.5)));
  };

  // ---- the loss of each line, as a surface to walk on, and of each step
  const N = 72, surface = plot({ x: { from: w0, to: w1, label: "w" }, y: { from: b0, to: b1, label: "b" }, name: "The loss: brighter is lower" });
  const ground = svg("image", { x: surface.sx(w0), y: surface.sy(b1), width: surface.sx(w1) - surface.sx(w0), height: surface.sy(b0) - surface.sy(b1), preserveAspectRatio: "none" });
  surface.onDrag((w, b) => { model.set({ w, b }); model.save_changes(); });
  const paintGround = () => {
    const logs = Array.from({ length: N * N }, (_, i) => Math.log(loss(w0 + (i % N + 0.5) / N * (w1 - w0), b1 - (Math.floor(i / N) + 0.5) / N * (b1 - b0))));
    const low = Math.min(...logs), high = Math.max(...logs);
    ground.setAttribute("href", paint(make("canvas", {}), N, N, (i) => colour((high - logs[i]) / (high - low))).toDataURL());
  };
  model.on("change:y", paintGround);
  paintGround();
  const curve = plot({ x: { from: 0, to: 20, label: "step" }, y: { from: 0.1, to: 100, label: "loss", log: true }, height: 200, name: "The loss after each step" });
  const drawCurve = (losses) => {
    const decade = (v, up) => 10 ** (Math.floor(Math.log10(Math.max(v, 1e-9))) + up), steps = Math.max(20, losses.length - 1);
    curve.axes({ from: 0, to: steps, label: "step", marks: [0, steps / 4, steps / 2, 3 * steps / 4, steps].filter(Number.isInteger) },
      { from: decade(Math.min(...losses), 0), to: decade(Math.max(...losses), 1), label: "loss", log: true, show: (v) => v < 1e3 ? `${+v.toPrecision(1)}` : `10${[...`${Math.round(Math.log10(v))}`].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).join("")}` });
    curve.draw(`${losses.length - 1} steps`, curve.line(losses.map((v, i) => [i, v])), curve.dot(losses.length - 1, losses.at(-1), "second", 6));
  };

  const walk = (n) => {
    [walking, lost] = [true, false];
    for (let i = 0; i < n; i++) {
      const [w, b] = lineStep(get("w"), get("b"), xs, get("y"), get("lr"));
      if (lost = loss(w, b) > 1e6 * (loss(start.w, start.b) + 1)) break;
      trail.push([w, b]);
      model.set({ w, b });
    }
    walking = false;
    model.save_changes();
  };
  const again = (values) => { model.set(values); restart(); model.save_changes(); };
  const now = make("output", { className: "loss" }), sliders = [slider(model, "w", "Weight w"), slider(model, "b", "Bias b"), slider(model, "lr", "Learning rate", { show: (v) => v.toFixed(3) })];
  return {
    parts: [make("div", { className: "columns" },
      make("div", {}, line.figure, make("p", { className: "now" }, "Loss (mean squared error): ", now), ...sliders,
        make("div", { className: "row" }, button("One step", () => walk(1), "main"), button("20 steps", () => walk(20)), button("Start over", () => again(start)))),
      make("div", {}, surface.figure, curve.figure,
        make("fieldset", {}, make("legend", { textContent: "Drag a point in the drawing, or move it here" }), slider(handle, "point", "Point", { step: 1, show: String }),
          slider(handle, "height", "Its y"), button("Points as they were", () => again({ y: points })))))],
    show({ loss: found }) {
      const here = [get("w"), get("b")], steps = trail.length - 1;
      drawLine();
      surface.draw(`Each weight across, each bias upwards; marked: ${short(here[0])}, ${short(here[1])}`, ground, surface.line(trail, "halo"), surface.line(trail, "walk"),
        ...trail.map(([w, b]) => surface.dot(w, b, "walk", 3)), surface.dot(...here, "second", 8));
      drawCurve(trail.map(([w, b]) => loss(w, b)));
      now.textContent = short(found);
      if (lost) return "The loss grows and grows: take a lower learning rate, and start over.";
      return steps ? `After ${steps} step${steps > 1 ? "s" : ""}: loss ${short(found)}` : "Move the sliders, or let gradient descent take a step.";
    },
  };
});
