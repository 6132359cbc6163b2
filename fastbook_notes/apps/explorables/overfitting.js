// What `head_losses` does, in the same steps
export const compute = (get) => {
  const size = get("size"), most = get("most"), n = Math.min(get("pictures"), most), hurried = Math.floor(get("wrong") * n / 100);
  const x = Float64Array.from(new Float32Array(asBytes(get("numbers")).slice().buffer)), y = get("labels").map((label, i) => i < hurried ? 1 - label : label);
  const z = new Float64Array(y.length), w = new Float64Array(size), training = [], validation = [], missed = [];
  let b = 0;
  const step = () => {
    const slope = new Float64Array(size);
    let bias = 0;
    for (let i = 0; i < n; i++) {
      const error = 1 / (1 + Math.exp(-z[i])) - y[i];
      bias += error;
      for (let j = 0; j < size; j++) slope[j] += error * x[i * size + j];
    }
    for (let j = 0; j < size; j++) w[j] -= 0.5 * slope[j] / n;
    b -= 0.5 * bias / n;
  };
  const measured = (from, to) => { // The loss, and how many answers are wrong
    let loss = 0, wrong = 0;
    for (let i = from; i < to; i++) {
      let logit = b;
      for (let j = 0; j < size; j++) logit += w[j] * x[i * size + j];
      z[i] = logit;
      loss += Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - y[i] * logit;
      wrong += (logit > 0) !== (y[i] === 1);
    }
    return [loss / (to - from), wrong];
  };
  for (let epoch = 0; epoch < get("epochs"); epoch++) {
    step();
    const [loss, wrong] = measured(0, n), [validLoss, validWrong] = measured(most, y.length);
    training.push(loss);
    validation.push(validLoss);
    missed.push([wrong, validWrong]);
  }
  const best = validation.indexOf(Math.min(...validation)), [last, now] = missed.at(-1);
  return { training, validation, best: best + 1, missed: last, missed_then: missed[best][1], missed_now: now };
};

export default liveFigure("overfitting", compute, (model) => {
  const [, longest] = model.get("ranges").epochs, x = { from: 0.94, to: 1.07 * longest, log: true, marks: [1, 2, 5, 10, 20, 50, 100, 200], label: "epoch (logarithmic)" };
  const y = (top) => ({ from: 0, to: Math.max(1, Math.ceil(2 * top) / 2), label: "loss" }), chart = plot({ x, y: y(1), name: "Loss by epoch" });
  chart.onDrag((epoch) => setting(model, "epochs", Math.round(Math.min(longest, Math.max(1, epoch)))));
  return {
    parts: [chart.figure, legend(["first", "training"], ["second", "validation"], ["soft", "validation at its best"]).el,
      slider(model, "wrong", "Wrong labels", { step: 1, show: (v) => `${v}%` }), slider(model, "pictures", "Training pictures", { step: 1, show: (v) => v }),
      slider(model, "epochs", "Epochs", { step: 1, show: (v) => v })],
    show({ training, validation, best, missed, missed_then, missed_now }, get) {
      const epochs = training.length, valid = get("labels").length - get("most"), n = Math.min(get("pictures"), get("most")), turned = best < epochs;
      const share = (count) => `${(100 * count / valid).toFixed(1)}%`, curve = (losses, kind) => [chart.line(losses.map((loss, i) => [i + 1, loss]), kind), chart.dot(epochs, losses.at(-1), kind, 4)];
      chart.axes(x, y(Math.max(...training, ...validation)));
      chart.draw(`The training loss falls to ${short(training.at(-1))}; the validation loss ${turned ? `is lowest after epoch ${best} and rises to` : "still falls, to"} ${short(validation.at(-1))}`,
        ...curve(training, "first"), ...curve(validation, "second"), ...turned ? [chart.upright(best), chart.dot(best, validation[best - 1], "second", 6)] : []);
      const wrong = Math.floor(get("wrong") * n / 100), labels = `${wrong || "None"} of the ${n} training labels ${wrong === 1 ? "is" : "are"} wrong, and the head disagrees with ${missed || "none"} of the ${n}`;
      return turned ? `The validation loss turned after epoch ${best}, while the training loss kept falling. ${labels}. It gets ${share(missed_now)} of the validation pictures wrong; at the turn, it got ${share(missed_then)} wrong.`
        : `After ${epochs} ${epochs === 1 ? "epoch" : "epochs"} the validation loss has not turned. ${labels}. It gets ${share(missed_now)} of the validation pictures wrong.`;
    },
  };
});
