// `softmax` in both forms, and `cross_entropy`. The plain form rounds to 32 bits at each step, as its Python twin does.
export const compute = (get) => {
  const x = ["first", "second", "third", "fourth"].map((name) => get("scale") * get(name) + get("offset"));
  const most = Math.max(...x), powers = x.map((v) => Math.exp(v - most)), sum = powers.reduce((a, b) => a + b);
  const rounded = x.map((v) => Math.fround(Math.fround(Math.E) ** Math.fround(v))), whole = rounded.reduce((a, b) => Math.fround(a + b));
  const plain = rounded.map((v) => Math.fround(v / whole));
  return {
    activations: x, probabilities: powers.map((v) => v / sum), plain, overflows: !(plain.reduce((a, b) => a + b) > 0.5),
    loss: most + Math.log(sum) - x[get("right")],
  };
};

export default liveFigure("softmax-bars", compute, (model) => {
  const names = model.get("names"), settings = ["first", "second", "third", "fourth"], limit = Math.log(3.4028234e38);
  const one = (v) => minus(v.toFixed(1)), x = (show) => ({ from: -0.5, to: 3.5, label: "", marks: [0, 1, 2, 3], show });
  const reach = (get) => { // Room for every activation at this scale and offset, and for the words at the limit
    const top = 1.12 * Math.max(1, get("offset") + 5 * get("scale"));
    return { from: Math.min(0, get("offset") - 5 * get("scale")), to: top < limit ? top : Math.max(top, 1.12 * limit), label: "activation" };
  };
  const left = plot({ x: x((i) => names[i]), y: reach((name) => model.get(name)), name: "Activations: drag the bars", height: 250 });
  const right = plot({ x: x((i) => names[i]), y: { from: 0, to: 1.1, label: "probability", marks: [0, 0.5, 1] }, name: "Probabilities", height: 250 });
  const block = (chart, a, b, v, kind) => svg("rect", { class: `bar ${kind}`, x: chart.sx(a), width: chart.sx(b) - chart.sx(a), y: Math.min(chart.sy(v), chart.sy(0)), height: Math.abs(chart.sy(v) - chart.sy(0)) });
  const above = (chart, a, v, words) => svg("text", { x: chart.sx(a), y: chart.sy(v) - 5, "text-anchor": "middle" }, words);
  const swatch = (kind) => svg("svg", { class: "plot", viewBox: "0 0 16 16", style: "display:inline;width:.9em;height:.9em;vertical-align:-.1em", "aria-hidden": "true" }, svg("rect", { class: `bar ${kind}`, width: 16, height: 16 }));
  right.figure.append(make("p", { style: { color: "var(--soft)", fontSize: ".9rem" } }, swatch("first"), " stable form  ", swatch("second"), " plain form in 32-bit floats"));
  left.onDrag((a, v) => {
    const i = Math.min(3, Math.max(0, Math.round(a))), scale = model.get("scale");
    if (scale > 0) setting(model, settings[i], Math.min(5, Math.max(-5, (v - model.get("offset")) / scale)));
  });
  const words = Object.fromEntries(names.map((name, i) => [i, name]));
  return {
    parts: [make("div", { className: "columns" }, left.figure, right.figure), make("div", { className: "columns" },
      make("div", {}, slider(model, "scale", "Scale (times)", { step: 0.05 }), slider(model, "offset", "Offset (plus)", { step: 0.5, show: one })),
      make("div", {}, ...settings.map((name, i) => slider(model, name, names[i], { step: 0.1, show: one })))),
    choices(model, "right", "The right class, whose probability makes the loss", words)],
    show({ activations, probabilities, plain, overflows, loss }, get) {
      left.axes(x((i) => names[i]), reach(get));
      left.draw(names.map((name, i) => `${name} ${one(activations[i])}`).join(", "), ...activations.flatMap((v, i) => [block(left, i - 0.3, i + 0.3, v, "first"), above(left, i, Math.max(v, 0), one(v))]),
        left.across(0), left.across(limit, "second"), above(left, 1.5, limit, `exp overflows above ${one(limit)}`));
      right.draw(names.map((name, i) => `${name} ${percent(probabilities[i])}, by the plain form ${Number.isNaN(plain[i]) ? "nan" : percent(plain[i])}`).join("; "),
        ...probabilities.flatMap((p, i) => [block(right, i - 0.38, i - 0.02, p, "first"), above(right, i - 0.2, p, percent(p))]),
        ...plain.map((p, i) => (Number.isNaN(p) ? above(right, i + 0.2, 0, "nan") : block(right, i + 0.02, i + 0.38, p, "second"))));
      const chosen = get("right"), highest = Math.max(...probabilities), most = probabilities.indexOf(highest);
      const leader = probabilities.filter((p) => highest - p < 1e-9).length > 1 ? `The highest probability is shared: ${percent(highest)} each.` : `${names[most]} has the highest probability, ${percent(highest)}.`;
      const state = !overflows ? "Both forms of softmax agree." : plain.some(Number.isNaN)
        ? `The plain form has overflowed: e to the power of ${one(Math.max(...activations))} is more than a 32-bit float can hold, and infinity divided by infinity is nan. The stable form still works.`
        : "The plain form has overflowed: its sum is more than a 32-bit float can hold, so all its answers are 0. The stable form still works.";
      return `${leader} If ${names[chosen]} is right, the loss is ${loss.toFixed(2)}: minus the logarithm of ${+probabilities[chosen].toPrecision(3)}. ${state}`;
    },
  };
});
