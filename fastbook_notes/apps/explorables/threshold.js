// What `threshold_table`, `best_threshold` and `decode_one_hot` say of the stored activations
const TRIED = Array.from({ length: 99 }, (_, i) => (i + 1) / 100), MEASURES = ["accuracy", "precision", "recall", "f1"];
export const compute = (get) => {
  const chances = Array.from(new Float32Array(asBytes(get("inputs")).slice().buffer), (a) => 1 / (1 + Math.exp(-a)));
  const there = asBytes(get("targets")), all = there.length, nThere = there.reduce((a, b) => a + b, 0), vocab = get("vocab"), t = get("threshold");
  const scores = (cut) => {
    let named = 0, hits = 0;
    for (let i = 0; i < all; i++) if (chances[i] > cut) { named += 1; hits += there[i]; }
    return { accuracy: (all - named - nThere + 2 * hits) / all, precision: hits / named, recall: hits / nThere, f1: 2 * hits / (named + nThere), named, hits };
  };
  const now = scores(t), tried = TRIED.map(scores), curves = Object.fromEntries(MEASURES.map((name) => [name, tried.map((s) => s[name])]));
  const best = Object.fromEntries(["accuracy", "f1"].map((name) => {
    const most = Math.max(...curves[name]), ties = TRIED.filter((_, i) => curves[name][i] === most);
    return [name, ties[Math.floor(ties.length / 2)]];
  }));
  const verdicts = get("rows").map((row) => [[true, 1], [false, 1], [true, 0]].map(([named, is]) =>
    vocab.filter((_, j) => (chances[row * vocab.length + j] > t) === named && there[row * vocab.length + j] === is)));
  return { now, there: nThere, curves, best, always_no: 1 - nThere / all, verdicts };
};

export default liveFigure("threshold", compute, (model) => {
  const share = (from, to, label) => ({ from, to, label, marks: [0, 0.2, 0.4, 0.6, 0.8, 1] }), names = ["accuracy", "precision", "recall", "F1"];
  const kinds = ["first", "second dashed", "third dotted", "fourth"], key = legend(...kinds.map((kind, i) => [kind, names[i]]));
  const chart = plot({ x: share(0, 1, "threshold"), y: share(0, 1.02, "share"), name: "Four measures of the answers, by threshold" });
  chart.onDrag((x) => setting(model, "threshold", Math.round(100 * x) / 100));
  const n = asBytes(model.get("targets")).length / model.get("vocab").length;
  const captions = model.get("pictures").map(() => make("figcaption", {}));
  const pictures = model.get("pictures").map((src, i) => make("figure", {}, make("img", { src, alt: `Picture ${i + 1}` }), captions[i]));
  const verdict = (sign, word, labels) => labels.length ? make("div", {}, make("strong", { textContent: `${sign} ${word}: ` }),
    labels.slice(0, 4).join(", ") + (labels.length > 4 ? ` and ${labels.length - 4} more` : "")) : null;
  const written = (v) => Number.isFinite(v) ? v.toFixed(3) : "none";
  return {
    parts: [make("div", { className: "columns" },
      make("div", {}, chart.figure, slider(model, "threshold", "Threshold", { step: 0.01 }), key.el), make("div", { className: "thumbs" }, ...pictures))],
    show({ now, there, curves, best, always_no, verdicts }, get) {
      const t = get("threshold"), top = Math.max(...curves.f1), values = MEASURES.map((name) => now[name]);
      chart.draw(`At ${short(t)}: ${names.map((name, i) => `${name} ${written(values[i])}`).join(", ")}`, chart.upright(t),
        ...MEASURES.map((name, i) => chart.line(TRIED.map((c, j) => [c, curves[name][j]]).filter(([, v]) => Number.isFinite(v)), kinds[i])),
        ...values.map((v, i) => Number.isFinite(v) ? chart.dot(t, v, kinds[i].split(" ")[0]) : svg("g", {})));
      key.say(...values.map(written));
      verdicts.forEach(([right, missed, wrong], i) => captions[i].replaceChildren(...[verdict("✓", "right", right), verdict("−", "missed", missed),
        verdict("+", "not there", wrong)].filter(Boolean)));
      const f1 = now.f1 > top - 5e-5 ? "None of the thresholds tried has a higher F1." : `F1 is ${(top - now.f1).toFixed(4)} below its highest.`;
      return `At ${t.toFixed(2)} the model names ${now.named} labels on ${n} pictures: ${now.hits} are right, ${now.named - now.hits} are not there, and ${there - now.hits} others are missed. ` +
        `${percent(now.accuracy)} of all answers are right; saying no to everything would reach ${percent(always_no)}. ${f1}`;
    },
  };
});
