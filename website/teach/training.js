// A linear head for the features of a few photos: softmax regression with a pull towards where it starts.
// A class's weights move only along the photos' features, so what is trained is a number for each class and photo: how far along.

const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };
const times = (rows, vector) => Float64Array.from(rows, (row) => dot(row, vector));
const softmax = (activations) => {
  const most = Math.max(...activations), powers = activations.map((a) => Math.exp(a - most)), sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
};
const inverted = (matrix) => { // Symmetric and positive: Gauss and Jordan, in place
  matrix.forEach((pivot, p) => {
    const scale = 1 / pivot[p];
    pivot[p] = 1;
    for (let j = 0; j < pivot.length; j++) pivot[j] *= scale;
    matrix.forEach((row, i) => {
      const factor = row[p];
      if (i === p || !factor) return;
      row[p] = 0;
      for (let j = 0; j < row.length; j++) row[j] -= factor * pivot[j];
    });
  });
  return matrix;
};

// What is the same for every training on these photos. Without the mean photo the way to the minimum is shorter, and the bias makes up
// for it; that is a feature of its own, the same for each photo, and so large that the pull on it is nothing.
const CONSTANT = 1e4;
export const survey = (features, starts) => {
  const mean = Float64Array.from(features[0], (_, j) => features.reduce((sum, f) => sum + f[j], 0) / features.length);
  const centred = features.map((f) => Float64Array.from(f, (v, j) => v - mean[j]));
  const alike = centred.map((a) => Float64Array.from(centred, (b) => dot(a, b) + CONSTANT));
  return { mean, centred, alike, first: starts.map(({ weight, bias }) => Float64Array.from(features, (f) => dot(weight, f) + bias)) };
};

// Descent on all photos at once. The steps are Newton's for the steepest curvature that there can be (Böhning 1992), with momentum
// that is lost whenever the loss rises (Nesterov 1983; O'Donoghue and Candès 2015).
const MOST_STEPS = 2000, CLOSE = 2e-6;
const descend = (alike, first, labels, strength, moves) => {
  const n = labels.length, curved = inverted(alike.map((row, i) => row.map((v, j) => v / (2 * n) + (i === j ? 2 * strength : 0))));
  let ahead = moves, speed = 1, last = Infinity, steps = 0, steep = Infinity;
  while (steep > CLOSE && steps++ < MOST_STEPS) {
    const moved = ahead.map((move) => times(alike, move)), slopes = ahead.map((move) => move.map((v) => 2 * strength * v));
    let loss = strength * ahead.reduce((sum, move, k) => sum + dot(move, moved[k]), 0);
    labels.forEach((label, i) => {
      const shares = softmax(first.map((z, k) => z[i] + moved[k][i]));
      loss -= Math.log(Math.max(shares[label], 1e-300)) / n;
      shares.forEach((p, k) => { slopes[k][i] += (p - Number(k === label)) / n; });
    });
    steep = slopes.reduce((most, slope) => slope.reduce((m, v) => Math.max(m, Math.abs(v)), most), 0);
    const next = ahead.map((move, k) => { const step = times(curved, slopes[k]); return move.map((v, i) => v - step[i]); });
    const faster = loss > last ? 1 : (1 + Math.sqrt(1 + 4 * speed * speed)) / 2, carry = loss > last ? 0 : (speed - 1) / faster;
    ahead = next.map((move, k) => move.map((v, i) => v + carry * (v - moves[k][i])));
    [moves, speed, last] = [next, faster, loss];
  }
  return { moves, steps };
};

// The head that all photos make
export const train = (labels, starts, strength, known) => { // With what `survey` found
  const { mean, centred, alike, first } = known;
  const found = descend(alike, first, labels, strength, starts.map(() => new Float64Array(labels.length)));
  const heads = starts.map(({ weight, bias }, k) => {
    const way = Float64Array.from(mean, (_, j) => centred.reduce((sum, f, i) => sum + found.moves[k][i] * f[j], 0));
    const shift = CONSTANT * found.moves[k].reduce((a, b) => a + b) - dot(way, mean);
    return { weight: Float32Array.from(weight, (w, j) => w + way[j]), bias: bias + shift };
  });
  return { ...found, heads };
};

// What each photo is judged to be by a head that was trained without it, at most so many heads; null for the only photo of a class
const MOST_HEADS = 20;
export const judge = (labels, strength, { alike, first }, { moves }) => { // With what `survey` and `train` found
  const order = [...labels.keys()].sort((i, j) => labels[i] - labels[j] || i - j), heads = Math.min(MOST_HEADS, order.length), judged = [];
  for (let head = 0; head < heads; head++) {
    const used = order.filter((_, at) => at % heads !== head), seen = used.map((i) => labels[i]);
    const of = (row) => Float64Array.from(used, (i) => row[i]);
    const found = descend(used.map((i) => of(alike[i])), first.map(of), seen, strength, moves.map(of));
    for (const i of order.filter((_, at) => at % heads === head)) {
      judged[i] = seen.includes(labels[i]) ? softmax(first.map((z, k) => z[i] + dot(of(alike[i]), found.moves[k]))) : null;
    }
  }
  return judged;
};

// In a thread of its own: the head first, then what it is worth
if (!globalThis.document && globalThis.postMessage) {
  globalThis.onmessage = ({ data: { features, labels, starts, strength } }) => {
    const begun = performance.now(), known = survey(features, starts), found = train(labels, starts, strength, known);
    postMessage({ heads: found.heads, milliseconds: performance.now() - begun });
    postMessage({ judged: judge(labels, strength, known, found) });
  };
}
