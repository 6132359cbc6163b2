// What `expected_cost` does, for chances that are sorted already
export const compute = (get) => {
  const chances = get("chances"), all = chances.reduce((a, b) => a + b, 0);
  let caught = 0;
  const cost = [get("mend") * all, ...chances.map((chance, i) => { caught += chance; return get("check") * (i + 1) + get("mend") * (all - caught); })];
  return { cost, best: cost.indexOf(Math.min(...cost)) };
};

export default liveFigure("lever", compute, (model) => {
  const n = model.get("chances").length, minutes = (v) => `${v.toFixed(1)} min`;
  const x = { from: -0.02 * n, to: 1.02 * n, marks: ticks(0, n), label: "answers that a person checks" }, y = (cost) => ({ from: 0, to: Math.max(1, 1.08 * Math.max(...cost)), label: "expected minutes" });
  const chart = plot({ x, y: y([1]), name: "Cost of each setting of the lever; drag the lowest point" });
  chart.onDrag((at) => { // What a check costs, or else a mistake, if it is best to check so many
    const chances = model.get("chances"), { check: [, dearest], mend: [, worst] } = model.get("ranges"), k = Math.round(Math.min(n, Math.max(0, at)));
    const chance = ((k ? chances[k - 1] : 1) + (chances[k] ?? 0)) / 2, mend = Math.min(worst, model.get("mend") || 1, dearest / chance);
    model.set({ check: Math.min(dearest, chance * mend), mend });
    model.save_changes();
  });
  return {
    parts: [chart.figure, slider(model, "check", "A check costs", { step: 0.1, show: minutes }), slider(model, "mend", "A missed mistake costs", { step: 1, show: minutes })],
    show({ cost, best }, get) {
      chart.axes(x, y(cost));
      chart.draw(best === 0 ? "The cost is lowest if nothing is checked" : best === n ? "The cost falls to the end" : `The cost falls and rises; it is lowest at ${best} of ${n} answers`, chart.line(cost.map((c, i) => [i, c])), chart.upright(best), chart.dot(best, cost[best], "second", 6));
      const what = best === 0 ? "Check nothing" : best === n ? "Check everything" : best === 1 ? `Check only the most doubtful of ${n} answers` : `Check the ${best} most doubtful of ${n} answers`;
      return `${what}: that costs ${minutes(cost[best])} in all. Checking none would cost ${minutes(cost[0])}, checking all ${minutes(cost[n])}.`;
    },
  };
});
