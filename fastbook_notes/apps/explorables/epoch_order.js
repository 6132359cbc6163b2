// What chapter 4 says about the activations that were written down after a step, for both orders
const average = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const slope = (z) => { const p = 1 / (1 + Math.exp(-z)); return p * (1 - p); };
const read = (get) => { // The activations by order, step and picture
  const numbers = new Float32Array(asBytes(get("activations")).slice().buffer), n = get("targets").length, steps = numbers.length / n / 2;
  return [0, 1].map((order) => Array.from({ length: steps }, (_, step) => [...numbers.subarray((order * steps + step) * n, (order * steps + step + 1) * n)]));
};
const judged = (z, targets) => ({ called: average(z.map((v) => +(v > 0))), mean: average(z), accuracy: average(z.map((v, i) => +((v > 0) === (targets[i] === 1)))),
  slope: average(z.filter((_, i) => !targets[i]).map(slope)) / 0.25 });
const side = (found) => Object.fromEntries(Object.keys(found[0]).map((name) => [name, found.map((each) => each[name])]));
export const compute = (get) => side(read(get).map((run) => judged(run[Math.min(get("step"), run.length - 1)], get("targets"))));

export default liveFigure("epoch_order", compute, (model) => {
  const targets = model.get("targets"), orders = model.get("orders").map((name) => name[0].toUpperCase() + name.slice(1)), batches = model.get("batches"), runs = read((name) => model.get(name)), last = batches[0].length;
  const byStep = runs.map((run) => run.map((z) => judged(z, targets))), all = runs.flat(2), FLAT = Math.log(99), whole = (share) => `${100 * share}%`;
  const words = { called: "share called a 3", mean: "mean activation", accuracy: "accuracy" };
  const axis = { from: Math.floor(Math.min(-6, ...all)), to: Math.ceil(Math.max(6, ...all)), label: "activation (right of 0 is called a 3)" };
  const strips = orders.map((order) => plot({ x: axis, y: { from: 0, to: 2, label: "", marks: [0.5, 1.5], show: (v) => v > 1 ? "3s" : "7s" }, width: 400, height: 190, name: `${order}. Each dot is a validation picture; shaded: the sigmoid is flat` }));
  const held = orders.map((order) => plot({ x: { from: 0.5, to: last + 0.5, label: "step", marks: last < 20 ? Array.from({ length: last }, (_, i) => i + 1) : null }, y: { from: 0, to: 1, label: "", marks: [0, 1], show: whole }, width: 400, height: 110, name: `${order}. 3s (below, blue) and 7s (above) in each batch` }));
  const steps = { from: 0, to: last, label: "step" }, spread = byStep.flat().map((each) => each.mean);
  const heights = (measure) => measure === "mean" ? { from: Math.floor(Math.min(...spread)), to: Math.ceil(Math.max(...spread)), label: words.mean } : { from: 0, to: 1.05, label: words[measure], marks: [0, 0.5, 1], show: whole };
  const chart = plot({ x: steps, y: heights("called"), width: 400, height: 230, name: `By step (solid: ${model.get("orders").join("; dashed: ")})` });
  const go = (step) => { model.set("step", Math.min(last, Math.max(0, Math.round(step)))); model.save_changes(); };
  [...held, chart].forEach((each) => each.onDrag(go));
  return {
    parts: [slider(model, "step", "Steps done", { step: 1, show: (v) => `${v} of ${last}` }),
      make("div", { className: "row", style: { marginBottom: ".6rem" } }, button("Next step", () => go(model.get("step") + 1), "main"), button("Start over", () => go(0))),
      make("div", { className: "columns" }, ...orders.map((_, i) => make("div", {}, strips[i].figure, held[i].figure))),
      make("div", { className: "columns" }, chart.figure, choices(model, "measure", "What the curves show", words))],
    show({ called, mean, accuracy, slope }, get) {
      const step = Math.min(get("step"), last);
      orders.forEach((order, i) => {
        const flat = [strips[i].bar(axis.from, -FLAT, 2, "soft"), strips[i].bar(FLAT, axis.to, 2, "soft")];
        flat.forEach((each) => each.setAttribute("fill-opacity", 0.15));
        strips[i].draw(`${percent(called[i])} are right of 0`, ...flat, strips[i].upright(0),
          ...runs[i][step].map((z, j) => strips[i].dot(z, targets[j] + 0.12 + 0.76 * (j * 0.618 % 1), targets[j] ? "first" : "second", 3.5)));
        held[i].draw(step ? `Step ${step}: ${batches[i][step - 1].join(" 3s, ")} 7s` : "Before the first", ...batches[i].flatMap(([threes, sevens], at) => {
          const share = threes / (threes + sevens), bars = [held[i].bar(at + 0.58, at + 1.42, 1, "second"), held[i].bar(at + 0.58, at + 1.42, share, "first")];
          bars[0].setAttribute("height", held[i].sy(share) - held[i].sy(1));
          bars.forEach((bar) => bar.setAttribute("fill-opacity", at + 1 === step ? 1 : 0.35));
          return bars;
        }));
      });
      chart.axes(steps, heights(get("measure")));
      const lines = byStep.map((run, i) => chart.line(run.map((each, at) => [at, each[get("measure")]]), ["third", "fourth"][i]));
      lines[1].setAttribute("stroke-dasharray", "7 4");
      chart.draw(orders.map((order, i) => `${order} ${short(byStep[i][step][get("measure")])}`).join(", "), chart.upright(step), ...lines, ...byStep.map((run, i) => chart.dot(step, run[step][get("measure")], ["third", "fourth"][i], 6)));
      if (!step) return `Before the first step both are the same: ${percent(called[0])} of ${targets.length} pictures are called a 3, and ${percent(accuracy[0])} are right.`;
      return `Step ${step}. ` + orders.map((order, i) => `${order}: after a batch of ${batches[i][step - 1].map((n) => n || "no").join(" 3s and ")} 7s, ${percent(called[i])} are called a 3, ${percent(accuracy[i])} are right; for the 7s the sigmoid keeps ${percent(slope[i])} of its steepest slope`).join(". ") + ".";
    },
  };
});
