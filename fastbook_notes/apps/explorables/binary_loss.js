// Floating-point types: how a number is rounded to them, and how many binary digits they have
export const half = (v) => { // To float16, half to even, as `numpy.float16` does
  if (!(Math.abs(v) < 65520)) return v * Infinity;
  const ulp = 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(v))) - 10), large = 1.5 * 2 ** 52 * ulp;
  return v + large - large;
};
const TYPES = { float16: [half, 11, 4], float32: [Math.fround, 24, 8], float64: [(v) => v, 53, 16] };
const GRID = Array.from({ length: 601 }, (_, i) => -45 + i * 0.15);

// The three forms of the loss, each step rounded; `with_logits` is exact and rounded once
const losses = (activation, y, r) => {
  const x = r(activation), e = r(Math.exp(-x)), sum = r(1 + e), p = r(1 / sum), rest = r(1 - p), cut = (v) => Math.max(v, -100);
  const log_p = r(Math.log(p)), log_rest = r(Math.log(rest));
  return { e, sum, p, rest, log_p, log_rest, plain: -r(r(y * log_p) + r((1 - y) * log_rest)),
    clamped: -r(y * cut(log_p) + (1 - y) * cut(r(Math.log1p(-p)))), with_logits: r(Math.max(y ? -x : x, 0) + Math.log1p(Math.exp(-Math.abs(x)))) };
};
export const compute = (get) => {
  const [r, digits] = TYPES[get("precision")], y = get("target"), line = GRID.map((x) => losses(x, y, r));
  const curves = Object.fromEntries(["plain", "clamped", "with_logits"].map((name) => [name, line.map((found) => found[name])]));
  return { ...losses(get("activation"), y, r), breaks: digits * Math.LN2, curves };
};

export default liveFigure("binary-loss", compute, (model) => {
  const x = { from: -45, to: 45, label: "activation x", marks: [-40, -20, 0, 20, 40] }, y = { from: -4, to: 105, label: "loss", marks: [0, 20, 40, 60, 80, 100] };
  const kinds = { with_logits: "first wide", clamped: "second", plain: "points" }, chart = plot({ x, y, name: "Three ways to compute the loss" });
  const key = legend([kinds.plain, "plain formula:"], [kinds.clamped, "through the probability, cut off at 100:"], [kinds.with_logits, "with logits:"]);
  const steps = ["e⁻ˣ", "1 + e⁻ˣ", "p = 1/(1 + e⁻ˣ)", "1 − p", "log p", "log(1 − p)"], cells = steps.map(() => make("td", {}));
  const table = make("table", {}, make("caption", { textContent: "The plain formula, step by step" }), ...steps.map((step, i) => make("tr", {}, make("th", { scope: "row", textContent: step }), cells[i])));
  chart.onDrag((at) => setting(model, "activation", Math.round(10 * at) / 10));
  return {
    parts: [make("div", { className: "columns" },
      make("div", {}, chart.figure, slider(model, "activation", "Activation", { step: 0.1, show: (v) => minus(v.toFixed(1)) }), key.el),
      make("div", {}, choices(model, "precision", "Type of the numbers"), choices(model, "target", "The right answer", { 0: "0, not there", 1: "1, there" }), table))],
    show(found, get) {
      const type = get("precision"), [, digits, figures] = TYPES[type], at = get("activation"), { plain, rest, p, sum, breaks, with_logits } = found;
      const written = (v, n = figures) => {
        if (!Number.isFinite(v)) return Number.isNaN(v) ? "not a number" : v > 0 ? "∞" : "−∞";
        return minus(powers(v !== 0 && Math.abs(v) < 1e-4 ? v.toExponential(n - 1).replace(/\.?0*e/, "e") : `${+v.toPrecision(n)}`));
      };
      const line = (name) => chart.line(GRID.map((a, i) => [a, found.curves[name][i]]).filter(([, v]) => Number.isFinite(v)), kinds[name]);
      chart.draw(`At ${at}: plain ${written(plain, 4)}, through the probability ${written(found.clamped, 4)}, with logits ${written(with_logits, 4)}`,
        chart.upright(breaks), chart.text(breaks - 18, 84, "1 − p is 0 from here"), line("with_logits"), line("clamped"), line("plain"),
        chart.dot(at, found.clamped, "second", 5), chart.dot(at, with_logits, "first", 7));
      key.say(...[plain, found.clamped, with_logits].map((v) => written(v, 4)));
      [found.e, sum, p, rest, found.log_p, found.log_rest].forEach((v, i) => { cells[i].textContent = written(v); });
      const right = (at > 0) === (get("target") === 1), off = Math.abs(plain / with_logits - 1);
      const limit = `${type} has ${digits} binary digits, so 1 − p is 0 from an activation of ${breaks.toFixed(2)}.`;
      const broken = `and its logarithm −∞. The plain formula gives ${Number.isNaN(plain) ? "zero times −∞, which is not a number," : "∞,"} ${right ? "though the answer is right" : `where ${written(with_logits, 4)} is right`}. ${limit}`;
      if (rest === 0) return `1 + e⁻ˣ is rounded to 1, so 1 − p is 0 ${broken}`;
      if (p === 0) return `e⁻ˣ is too large for ${type}, so p is 0 ${broken}`;
      if (off > 0.01) return `The plain formula is off by ${percent(off)}, because p or 1 − p is too close to 1 to keep the digits of the other. ${limit}`;
      return `Here all three agree to within 1%. ${limit}`;
    },
  };
});
