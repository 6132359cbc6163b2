// Where the two errors together are smallest; otherwise everything is looked up
const least = (rows) => rows.reduce((best, row, i) => (row[1] + row[2] < rows[best][1] + rows[best][2] ? i : best), 0);
export const compute = (get) => ({
  pull: get("pulls")[get("strength")].slice(1), average: get("averages")[get("alpha")].slice(1),
  best: [least(get("pulls")), least(get("averages"))],
});

export default liveFigure("forgetting", compute, (model) => {
  const pulls = model.get("pulls"), averages = model.get("averages"), all = [...pulls, ...averages];
  const axis = (at, label) => {
    const values = all.map((row) => row[at]), gap = Math.max(0.02, 0.08 * (Math.max(...values) - Math.min(...values)));
    return { from: Math.max(0, Math.min(...values) - gap), to: Math.min(1.02, Math.max(...values) + gap), label, show: (v) => `${+(100 * v).toFixed(1)}%` };
  };
  const chart = plot({ x: axis(1, "error on breeds with pictures"), y: axis(2, "error on breeds without"), name: "What is learned, and what is forgotten" });
  const square = ([, a, b], r = 4) => svg("rect", { class: "dot second", x: chart.sx(a) - r, y: chart.sy(b) - r, width: 2 * r, height: 2 * r });
  const circle = ([, a, b], r = 4) => chart.dot(a, b, "first", r);
  const mark = (shape) => svg("svg", { class: "plot", viewBox: "0 0 16 16", style: "display:inline;width:1em;height:1em;vertical-align:-.12em", "aria-hidden": "true" }, shape);
  const legend = make("p", { style: { color: "var(--soft)", fontSize: ".9rem" } }, mark(svg("circle", { class: "dot first", cx: 8, cy: 8, r: 6 })), " a pull towards the start ",
    mark(svg("rect", { class: "dot second", x: 2, y: 2, width: 12, height: 12 })), " an average of start and end. Down and to the left is better; the large marks are the chosen settings.");
  chart.onDrag((a, b) => { // The measured point that is nearest on the screen
    const away = ([, p, q]) => Math.hypot(chart.sx(p) - chart.sx(a), chart.sy(q) - chart.sy(b));
    const near = (rows) => rows.reduce((best, row, i) => (away(row) < away(rows[best]) ? i : best), 0);
    const p = near(pulls), q = near(averages);
    if (away(pulls[p]) <= away(averages[q])) setting(model, "strength", p); else setting(model, "alpha", q);
  });
  const share = (v) => `${(100 * v).toFixed(1)}%`, both = ([a, b]) => `${share(a)} wrong on breeds with pictures, ${share(b)} on breeds without`;
  return {
    parts: [chart.figure, legend, slider(model, "strength", "Strength of the pull", { step: 1, show: (i) => `${pulls[i][0]}` }),
      slider(model, "alpha", "Alpha of the average", { step: 1, show: (i) => `${averages[i][0]}` })],
    show({ pull, average, best }, get) {
      const p = get("strength"), q = get("alpha"), more = pull[0] + pull[1] - average[0] - average[1];
      chart.draw(`Chosen: the pull, ${both(pull)}; the average, ${both(average)}`, chart.line(averages.map((row) => row.slice(1)), "second"), chart.line(pulls.map((row) => row.slice(1))),
        ...averages.map((row) => square(row)), ...pulls.map((row) => circle(row)), square(averages[q], 10), circle(pulls[p], 7));
      const verdict = p === best[0] ? "No other pull measured here makes the two together smaller." : `The two together are smallest at a pull of ${pulls[best[0]][0]}.`;
      const against = Math.abs(more) < 5e-4 ? "together as much" : more < 0 ? "together more" : "together less";
      return `A pull of ${pulls[p][0]}: ${both(pull)}. ${verdict} An average with alpha ${averages[q][0]}: ${share(average[0])} and ${share(average[1])}, ${against}.`;
    },
  };
});
