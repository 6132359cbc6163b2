// What NumPy's histogram and chapter 4's `sigmoid` do
const REACH = 20, BARS = { activations: [-REACH, REACH, 40], sigmoids: [0, 1, 20] };
const average = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const histogram = (values, [from, to, n]) => {
  const shares = Array(n).fill(0);
  for (const v of values) shares[Math.min(n - 1, Math.max(0, Math.floor((v - from) / (to - from) * n)))] += 1 / values.length;
  return shares;
};
export const compute = (get) => {
  const std = 10 ** get("power"), a = get("activations").map((z) => std * z), p = a.map((z) => 1 / (1 + Math.exp(-z))), middle = average(a);
  return { activations: histogram(a, BARS.activations), sigmoids: histogram(p, BARS.sigmoids), spread: Math.sqrt(average(a.map((z) => (z - middle) ** 2))),
    saturated: average(p.map((v) => +(Math.abs(v - 0.5) > 0.49))), slope: average(p.map((v) => v * (1 - v))) / 0.25 };
};

export default liveFigure("first_weights", compute, (model) => {
  const [low, high] = model.get("ranges").power, inputs = model.get("inputs"), scaled = inputs ** -0.5, std = (v) => (10 ** v).toPrecision(3);
  const slopeAt = (power) => compute((name) => name === "power" ? power : model.get(name)).slope;
  const curve = Array.from({ length: 71 }, (_, i) => low + i / 70 * (high - low)).map((power) => [10 ** power, slopeAt(power)]);
  const sides = { activations: { from: -REACH, to: REACH, label: "activation" }, sigmoids: { from: 0, to: 1, label: "its sigmoid" } };
  const whole = (share) => `${Math.round(100 * share)}%`, upwards = (shares) => ({ from: 0, to: 1.08 * Math.max(...shares), label: "share", show: whole });
  const charts = Object.entries(sides).map(([name, x]) => [name, x, plot({ x, y: upwards([1]), width: 400, height: 205, name: { activations: "Activations (dashed: where the sigmoid is 0.01 and 0.99)", sigmoids: "Their sigmoids" }[name] })]);
  const left = plot({ x: { from: 10 ** low, to: 10 ** high, log: true, label: "standard deviation of the weights" }, y: { from: 0, to: 1.05, label: "slope left", marks: [0, 0.25, 0.5, 0.75, 1], show: whole }, width: 400, height: 310,
    name: `How much of the sigmoid's slope is left, on average (dashed: 1/√${inputs})` });
  left.onDrag((v) => { model.set("power", Math.min(high, Math.max(low, Math.log10(v)))); model.save_changes(); });
  return {
    parts: [slider(model, "power", "Standard deviation", { step: 0.01, show: std }), make("div", { className: "columns" }, left.figure, make("div", {}, ...charts.map(([, , chart]) => chart.figure)))],
    show(found, get) {
      for (const [name, x, chart] of charts) {
        const shares = found[name], wide = (x.to - x.from) / shares.length, most = shares.indexOf(Math.max(...shares));
        chart.axes(x, upwards(shares));
        chart.draw(`The highest bar is from ${minus(x.from + most * wide)} to ${minus(x.from + (most + 1) * wide)}: ${percent(shares[most])}`,
          ...shares.map((share, i) => chart.bar(x.from + i * wide, x.from + (i + 0.9) * wide, share)), ...(name === "activations" ? [-Math.log(99), Math.log(99)].map((v) => chart.upright(v)) : []));
      }
      const now = 10 ** get("power"), times = now / scaled;
      left.draw(`At ${std(get("power"))} it is ${percent(found.slope)}`, left.upright(scaled), left.line(curve), left.dot(now, found.slope, "second", 8));
      const where = found.slope < 0.4 ? "Mostly flat" : found.slope < 0.9 ? "Partly flat" : "In the steep middle";
      return `${where}: the activations spread by ${short(found.spread)}, ${found.saturated < 0.0005 ? "none" : percent(found.saturated)} of their sigmoids are within 0.01 of an end, and ${percent(found.slope)} of the slope is left. This standard deviation is ${times < 0.1 ? times.toPrecision(2) : times.toFixed(1)} times 1/√${inputs}.`;
    },
  };
});
