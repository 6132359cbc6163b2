// What `line_step` and `line_loss` do, step by step; the border lies at 2 divided by the largest curvature
const average = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const bowl = (x, y) => { // Its bottom, and its second derivatives: by the slope, by both, by the intercept
  const across = average(x), up = average(y), wide = average(x.map((v) => (v - across) ** 2));
  const slope = average(x.map((v, i) => (v - across) * (y[i] - up))) / wide;
  return { best: [slope, up - slope * across], bends: [2 * average(x.map((v) => v * v)), 2 * across, 2] };
};
export const compute = (get) => {
  const x = get("x"), y = get("y"), rate = 10 ** get("power"), path = [[get("slope"), get("intercept")]];
  const errors = ([slope, intercept]) => x.map((v, i) => slope * v + intercept - y[i]);
  for (let i = 0; i < get("steps"); i++) {
    const at = path[i], wrong = errors(at);
    path.push([at[0] - rate * 2 * average(wrong.map((e, j) => e * x[j])), at[1] - rate * 2 * average(wrong)]);
  }
  const { best, bends: [a, b, d] } = bowl(x, y), from = (at) => Math.hypot(at[0] - best[0], at[1] - best[1]);
  return { path, losses: path.map((at) => average(errors(at).map((e) => e * e))), best, left: from(path.at(-1)) / Math.max(from(path[0]), 1e-9),
    border: 4 / (a + d + Math.hypot(a - d, 2 * b)) };
};

export default liveFigure("descent", compute, (model) => {
  const [slopes, intercepts] = ["slope", "intercept"].map((name) => ({ from: model.get("ranges")[name][0], to: model.get("ranges")[name][1], label: name }));
  const map = plot({ x: slopes, y: intercepts, width: 400, height: 350, name: "The bowl from above: each ring inwards is a lower loss" });
  const byStep = plot({ x: { from: 0, to: model.get("ranges").steps[1], label: "step" }, y: { from: 0.01, to: 1000, log: true, label: "loss" }, width: 400, height: 350, name: "Loss by step" });
  map.onDrag((slope, intercept) => { model.set({ slope, intercept }); model.save_changes(); });
  const { best, bends: [a, b, d] } = bowl(model.get("x"), model.get("y")), narrow = Math.sqrt(d - b * b / a);
  const ring = (size) => Array.from({ length: 73 }, (_, i) => { // Where the loss is `size` squared above the lowest
    const up = Math.SQRT2 * size * Math.sin(i * Math.PI / 36) / narrow;
    return [best[0] + (Math.SQRT2 * size * Math.cos(i * Math.PI / 36) - up * b / Math.sqrt(a)) / Math.sqrt(a), best[1] + up];
  });
  const rings = Array.from({ length: 16 }, (_, i) => map.line(ring(0.25 * (16 - i)), "ring"));
  const [cx, cy] = [map.sx(best[0]), map.sy(best[1])], cross = svg("path", { class: "line cross", d: `M${cx - 6},${cy - 6}l12,12m0,-12l-12,12` });
  return {
    parts: [slider(model, "power", "Learning rate", { step: 0.01, show: (v) => (10 ** v).toPrecision(3) }), slider(model, "steps", "Steps", { step: 1, show: String }),
      make("div", { className: "columns" }, map.figure, byStep.figure), slider(model, "slope", "Slope at the start", { step: 0.1 }), slider(model, "intercept", "Intercept at the start", { step: 0.1 })],
    show({ path, losses, left, border }, get) {
      const rate = 10 ** get("power"), factor = Math.abs(1 - 2 * rate / border), now = `${short(losses.at(-1))} after ${path.length - 1} step${path.length > 2 ? "s" : ""}`;
      const over = rate > 1.0005 * border, even = !over && rate > 0.9995 * border, bounces = rate > border / 2, rest = `${percent(left)} of the distance is left`;
      map.draw(`A path of ${path.length - 1} steps; ${rest}`, ...rings, map.line(path, "second"), ...path.map((at) => map.dot(...at, "second", 3.5)), cross, map.dot(...path[0], "first", 8),
        svg("text", { class: "said", x: map.sx(path[0][0]), y: map.sy(path[0][1]) + (path[0][1] > intercepts.from + 0.6 ? 24 : -14), "text-anchor": path[0][0] < best[0] ? "start" : "end" }, "start"));
      byStep.draw(`From ${short(losses[0])} to ${now}`, byStep.line(losses.map((loss, i) => [i, loss]), "second"), ...losses.map((loss, i) => byStep.dot(i, loss, "second", 3)));
      if (over) return `${losses.at(-1) < losses[0] ? "It will climb out" : "It climbs out"}: along the steepest direction each step lands on the other side, ${factor.toFixed(2)} times as far out as before. The loss is ${now}. The border is 2 divided by the bowl's largest curvature, ${(2 / border).toFixed(2)}: a rate of ${border.toFixed(2)}.`;
      if (even) return `Right on the border: along the steepest direction each step jumps to the other side, no nearer and no farther, for ever. The loss is ${now}.`;
      if (left < 0.02) return `It arrives${bounces ? `, bouncing from side to side along the steepest direction, each time ${factor.toFixed(2)} times as far` : ""}: ${rest}, and the loss is ${now}.`;
      return `${bounces ? `Along the steepest direction it bounces from side to side, each time ${factor.toFixed(2)} times as far out` : "It walks down without a bounce"}, and hasn't arrived: ${rest}, and the loss is ${now}.`;
    },
  };
});
