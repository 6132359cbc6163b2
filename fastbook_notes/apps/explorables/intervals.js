// What `wilson_interval`, `simple_interval` and `coverage` do
export const compute = (get) => {
  const n = get("items"), errors = Math.min(get("errors"), n), z = get("z")[get("confidence")], rates = [...get("rates"), get("rate")];
  const recipes = {
    wilson(k) {
      const p = k / n, middle = p + z * z / (2 * n), reach = z * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)), by = 1 + z * z / n;
      return [k === 0 ? 0 : (middle - reach) / by, k === n ? 1 : (middle + reach) / by];
    },
    textbook(k) {
      const p = k / n, reach = z * Math.sqrt(p * (1 - p) / n);
      return [p - reach, p + reach];
    },
  };
  const ways = [0]; // The logarithm of how many ways there are to choose k of n
  for (let k = 1; k <= n; k++) ways.push(ways[k - 1] + Math.log((n - k + 1) / k));
  const chances = rates.map((p) => ways.map((way, k) => Math.exp(way + k * Math.log(p) + (n - k) * Math.log1p(-p))));
  const found = Object.entries(recipes).map(([name, recipe]) => {
    const ends = ways.map((_, k) => recipe(k)), coverage = rates.map((p, i) => ends.reduce((sum, [low, high], k) => low <= p && p <= high ? sum + chances[i][k] : sum, 0));
    return [name, { interval: ends[errors], coverage: coverage.slice(0, -1), here: coverage.at(-1) }];
  });
  return { errors, ...Object.fromEntries(found) };
};

export default liveFigure("intervals", compute, (model) => {
  const per = (v) => `${Math.round(100 * v)}%`, to1 = (v) => `${(100 * v).toFixed(1)}%`, both = (ends) => { const digits = ends.some((v) => Math.abs(v) > 0.0995) ? 0 : 1; return ends.map((v) => minus(`${(100 * v).toFixed(digits)}%`.replace(/^-(0(\.0)?%)$/, "$1"))).join(" to "); }, [least, most] = model.get("ranges").rate, recipes = [["wilson", "Wilson", "first", 2], ["textbook", "textbook", "second", 0.8]];
  const ends = plot({ x: { from: -0.15, to: 1.15, marks: [0, 0.25, 0.5, 0.75, 1], label: "error rate", show: per }, y: { from: 0, to: 3.4, marks: [], label: "" }, height: 190, name: "What a count says" });
  const kept = plot({ x: { from: 0, to: most + 0.016, marks: [0, 0.1, 0.2, 0.3, 0.4, 0.5], label: "true error rate", show: per }, y: { from: 0, to: 1.03, marks: [0, 0.25, 0.5, 0.75, 1], label: "coverage" }, name: "How often an interval contains the true rate" });
  ends.onDrag((rate) => setting(model, "errors", Math.round(Math.min(1, Math.max(0, rate)) * model.get("items"))));
  kept.onDrag((rate) => setting(model, "rate", Math.min(most, Math.max(least, rate))));
  const errors = slider(model, "errors", "Errors", { step: 1, show: (v) => v }), within = () => { if (model.get("errors") > model.get("items")) setting(model, "errors", model.get("items")); };
  model.on("change:items", within);
  model.on("change:errors", within);
  return {
    parts: [make("div", { className: "columns" }, make("div", {}, ends.figure, slider(model, "items", "Pictures", { step: 1, show: (v) => v }), errors, choices(model, "confidence", "Promised", Object.fromEntries(model.get("ranges").confidence.map((c) => [c, per(c)])))),
      make("div", {}, kept.figure, legend(["first", "Wilson"], ["second", "textbook"], ["soft", "promised; the true rate"]).el, slider(model, "rate", "True error rate", { step: 0.001, show: to1 })))],
    show(found, get) {
      const n = get("items"), rate = get("rate"), promised = get("confidence"), row = ([name, words, kind, y]) => {
        const [low, high] = found[name].interval, end = (v) => ends.line([[v, y - 0.2], [v, y + 0.2]], kind);
        return [ends.line([[low, y], [high, y]], kind), end(low), end(high), ends.dot(found.errors / n, y, kind), ends.text(0.5, y + 0.4, `${words}: ${both([low, high])}`)];
      };
      errors.querySelector("input").max = n;
      const said = recipes.map(([name, words]) => `${words} ${both(found[name].interval)}`).join(", ");
      ends.draw(said, ends.upright(rate), ends.text(rate + 0.1, 3, "true rate"), ...recipes.flatMap(row));
      kept.draw(`At a true rate of ${to1(rate)}: Wilson ${to1(found.wilson.here)}, textbook ${to1(found.textbook.here)}`, kept.across(promised), kept.upright(rate),
        ...recipes.toReversed().flatMap(([name, , kind]) => [kept.line(get("rates").map((p, i) => [p, found[name].coverage[i]]), kind), kept.dot(rate, found[name].here, kind)]));
      const [low, high] = found.textbook.interval, odd = low === high ? " The textbook recipe claims certainty." : low < 0 || high > 1 ? ` The textbook interval reaches ${low < 0 ? "below 0%" : "above 100%"}, where no rate can be.` : "";
      return `${found.errors || "No"} ${found.errors === 1 ? "error" : "errors"} in ${n} pictures: ${said}.${odd} If the true rate is ${to1(rate)}, Wilson's interval contains it in ${to1(found.wilson.here)} of cases and the textbook's in ${to1(found.textbook.here)}; both promise ${per(promised)}.`;
    },
  };
});
