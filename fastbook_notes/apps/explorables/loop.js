// What `feedback_loop` does without the luck of the draw, and what `amplification` makes of it
export const compute = (get) => {
  const strength = get("strength"), explore = get("explore"), share = [get("first_share")];
  for (let round = 0; round < get("rounds"); round++) {
    const now = share[round], ahead = Math.max(now, 1 - now), one = (now / ahead) ** strength, other = ((1 - now) / ahead) ** strength;
    share.push((1 - explore) * one / (one + other) + explore * 0.5);
  }
  const bias = share.map((s) => Math.abs(s - 0.5) < 1e-12 ? 0 : Math.abs(s - 0.5));
  return { share, bias, built_in: strength * (1 - explore), measured: (bias[3] / bias[0]) ** (1 / 3) };
};

export default liveFigure("loop", compute, (model) => {
  const rounds = model.get("rounds"), asBias = model.get("as_bias"), per = (v) => `${Math.round(100 * v)}%`, { strength: [weak, strong], explore: [, most] } = model.get("ranges");
  const map = plot({ x: { from: -0.03, to: most + 0.03, label: "shown by chance", show: per }, y: { from: weak - 0.1, to: strong + 0.1, marks: [1, 2, 3], label: "preference" }, name: "Where a small bias grows" });
  const y = asBias ? { from: 0.001, to: 0.8, log: true, marks: [0.001, 0.01, 0.1, 0.5], label: "bias (logarithmic)" } : { from: -0.03, to: 1.03, marks: [0, 0.25, 0.5, 0.75, 1], label: "share of cats" };
  const chart = plot({ x: { from: -0.3, to: rounds + 0.3, marks: [0, 4, 8, 12].filter((v) => v <= rounds), label: "round" }, y, name: asBias ? "The bias, round after round" : "Cats in the data, round after round" });
  const within = (v, from, to) => Math.min(to, Math.max(from, v));
  map.onDrag((explore, strength) => { setting(model, "explore", within(explore, 0, most)); setting(model, "strength", within(strength, weak, strong)); });
  const edge = Array.from({ length: 91 }, (_, i) => [most * i / 90, 1 / (1 - most * i / 90)]);
  const grows = svg("path", { class: "zone second", d: `${edge.map(([a, b], i) => `${i ? "L" : "M"}${map.sx(a)},${map.sy(b)}`).join("")}V0H${map.sx(0)}Z` });
  return {
    parts: [make("div", { className: "columns" }, map.figure, make("div", {}, chart.figure, legend(["first", asBias ? "the bias" : "the share"], ["soft", asBias ? "the factor of the first rounds, kept up" : "what visitors like"]).el)),
      slider(model, "strength", "Preference", { step: 0.05 }), slider(model, "explore", "Shown by chance", { step: 0.01, show: per })],
    show({ share, bias, built_in, measured }, get) {
      const strength = get("strength"), explore = get("explore"), still = Math.abs(built_in - 1) < 0.01, way = still ? "it hardly changes" : built_in > 1 ? "it grows" : "it shrinks";
      const values = asBias ? bias.map((b) => Math.max(b, 1e-6)) : share, aside = asBias ? chart.line(share.map((_, i) => [i, Math.max(1e-6, bias[0] * measured ** i)]), "soft") : chart.across(0.5);
      map.draw(`A preference of ${short(strength)} with ${per(explore)} by chance; a small bias: ${way}`, grows, map.line(edge, "second"), map.text(0.2 * most, strong - 0.12 * (strong - weak), "grows"), map.text(0.7 * most, weak + 0.1 * (strong - weak), "shrinks"), map.dot(explore, strength, "first", 8));
      chart.draw(`From ${short(values[0])} to ${short(values.at(-1))}`, aside, chart.line(values.map((v, i) => [i, v])), ...values.map((v, i) => chart.dot(i, v, "first", 3.5)));
      const end = asBias ? `This one began at ${bias[0].toPrecision(2)}; measured over the first three rounds, its factor is ${short(measured)}; after ${rounds} rounds the bias is ${bias.at(-1) < 0.0005 ? "below 0.001" : bias.at(-1).toPrecision(2)}.` : `After ${rounds} rounds the share of cats is ${percent(share.at(-1))}.`;
      return `A preference of ${short(strength)}, in the ${per(1 - explore)} of decisions that aren't left to chance, multiplies a small bias by ${short(built_in)} in each round: ${way}. ${end}`;
    },
  };
});
