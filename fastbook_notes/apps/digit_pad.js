const SIDE = 28, INNER = 20, FINE = 8, PEN = 2.4; // Pixels of the picture, of the digit in it, of the drawing for each of these, and how wide a stroke is

// ---- from ink to the picture that a model sees, step by step what `centred_digit` does in Python
const overlaps = (from, to) => { // (to x from) shares by which each old pixel is part of a new one
  const rows = [];
  for (let i = 0; i < to; i++) {
    const start = i * from / to, end = (i + 1) * from / to, row = new Float64Array(from);
    for (let j = Math.floor(start); j < Math.min(from, Math.ceil(end)); j++) row[j] = Math.max(0, Math.min(end, j + 1) - Math.max(start, j)) / (end - start);
    rows.push(row);
  }
  return rows;
};
const inked = (shares) => [shares.findIndex((v) => v > 0), shares.findLastIndex((v) => v > 0) + 1];
export const centred = (ink, width, height) => { // Numbers from 0 to 1, row by row; gives 784 of them
  const picture = new Float64Array(SIDE * SIDE), down = new Float64Array(height), across = new Float64Array(width);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (ink[y * width + x] > 0) { down[y] = 1; across[x] = 1; }
  const [top, bottom] = inked(down), [left, right] = inked(across), h = bottom - top, w = right - left;
  if (h <= 0) return picture;
  const scale = INNER / Math.max(h, w), rows = Math.max(1, Math.floor(h * scale + 0.5)), columns = Math.max(1, Math.floor(w * scale + 0.5));
  const byRow = overlaps(h, rows), byColumn = overlaps(w, columns), small = [];
  let sum = 0, sumY = 0, sumX = 0;
  for (let i = 0; i < rows; i++) {
    const line = new Float64Array(w);
    for (let y = 0; y < h; y++) if (byRow[i][y]) for (let x = 0; x < w; x++) line[x] += byRow[i][y] * ink[(top + y) * width + left + x];
    for (let j = 0; j < columns; j++) {
      let v = 0;
      for (let x = 0; x < w; x++) v += byColumn[j][x] * line[x];
      small.push(v);
      sum += v; sumY += v * (i + 0.5); sumX += v * (j + 0.5);
    }
  }
  const place = (middle, size) => Math.min(SIDE - size, Math.max(0, Math.ceil(SIDE / 2 - middle - 1e-6)));
  const y0 = place(sumY / sum, rows), x0 = place(sumX / sum, columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) picture[(y0 + i) * SIDE + x0 + j] = small[i * columns + j];
  return picture;
};

// ---- the models
export const unpack = (models, bytes) => { // Each layer's weights (inputs x outputs) and biases, as views of the bytes
  const numbers = new Float32Array(bytes.slice().buffer);
  let at = 0;
  const take = (n) => numbers.subarray(at, at += n);
  return models.map((model) => ({ ...model, layers: model.layers.map(([inputs, outputs]) => ({ inputs, outputs, weights: take(inputs * outputs), bias: take(outputs) })) }));
};
export const probabilities = (model, picture) => { // One for each of the model's classes
  let values = picture;
  model.layers.forEach(({ inputs, outputs, weights, bias }, layer) => {
    const next = Float64Array.from(bias);
    for (let i = 0; i < inputs; i++) if (values[i]) for (let o = 0; o < outputs; o++) next[o] += values[i] * weights[i * outputs + o];
    values = layer + 1 < model.layers.length ? next.map((v) => Math.max(0, v)) : next;
  });
  if (values.length === 1) { const yes = 1 / (1 + Math.exp(-values[0])); return [yes, 1 - yes]; }
  const top = Math.max(...values), powers = [...values].map((v) => Math.exp(v - top)), sum = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / sum);
};

// ---- the drawing
const drawStrokes = (context, strokes, width, place = (p) => p) => {
  Object.assign(context, { lineWidth: width, lineCap: "round", lineJoin: "round", strokeStyle: "#fff", fillStyle: "#fff" });
  for (const stroke of strokes) {
    const [first, ...rest] = stroke.map(place);
    context.beginPath();
    context.moveTo(...first);
    for (const point of rest.length ? rest : [[first[0] + 0.01, first[1]]]) context.lineTo(...point);
    context.stroke();
  }
};
export const pictureOf = (strokes) => { // Strokes of [x, y] from 0 to 1, scaled first, so that a small digit has no thicker lines than a large one
  const points = strokes.flat(), side = SIDE * FINE;
  if (!points.length) return new Float64Array(SIDE * SIDE);
  const [xs, ys] = [0, 1].map((axis) => points.map((p) => p[axis]));
  const left = Math.min(...xs), top = Math.min(...ys), extent = Math.max(Math.max(...xs) - left, Math.max(...ys) - top, 0.2);
  const scale = (INNER - PEN) * FINE / extent, margin = PEN * FINE;
  const canvas = make("canvas", { width: side, height: side }), context = canvas.getContext("2d", { willReadFrequently: true });
  drawStrokes(context, strokes, PEN * FINE, ([x, y]) => [margin + (x - left) * scale, margin + (y - top) * scale]);
  const { data } = context.getImageData(0, 0, side, side);
  return centred(Float64Array.from({ length: side * side }, (_, i) => data[4 * i + 3] / 255), side, side);
};

const column = ({ weights, outputs }, output) => Array.from({ length: SIDE * SIDE }, (_, i) => weights[i * outputs + output]);
const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1;
const tile = (values, title, most = largest(values)) => make("figure", {},
  paint(make("canvas", { className: "pixels", attributes: { role: "img", "aria-label": `Weights ${title}` } }), SIDE, SIDE, (i) => diverging(values[i] / most)),
  make("figcaption", { textContent: title }));

function render({ model, el }) {
  const models = unpack(model.get("models"), asBytes(model.get("weights"))), examples = asBytes(model.get("examples"));
  const games = [...new Set(models.map((m) => m.game))];
  let game = games.includes(model.get("game")) ? model.get("game") : games[0], strokes = [], current = null, pen = null, picture = new Float64Array(SIDE * SIDE), shown = -1, real = false;

  const pad = make("canvas", { className: "pad", width: 280, height: 280, tabIndex: 0, attributes: { role: "application", "aria-roledescription": "drawing pad",
    "aria-label": "Draw a digit. With the keyboard: arrow keys move the pen, the space bar puts it down or lifts it, Delete clears." } });
  const seen = make("canvas", { className: "seen pixels", attributes: { role: "img", "aria-label": "The 28 by 28 pixels that the models see" } });
  const undo = make("button", { type: "button", textContent: "Undo" }), clear = make("button", { type: "button", textContent: "Clear" });
  const example = make("button", { type: "button", textContent: "Show a real one" });
  const said = make("p", { className: "spoken", attributes: { role: "status" } }), results = make("div", { className: "results" });
  const linear = make("section", {}), hidden = make("details", {}), multiply = make("input", { type: "checkbox" });
  const weights = make("div", { className: "weights" }, linear, make("label", { className: "choice" }, multiply, "Multiply by the pixels of this drawing"), hidden);
  const name = numbered("game"), choices = games.map((title) => {
    const input = make("input", { type: "radio", name, value: title, checked: title === game });
    input.onchange = () => { game = title; model.set("game", game); model.save_changes(); showWeights(); update(true); };
    return make("label", { className: "choice" }, input, title);
  });

  const showPad = () => {
    const context = pad.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, 280, 280);
    if (real) {
      context.imageSmoothingEnabled = false;
      context.drawImage(seen, 0, 0, 280, 280);
      return;
    }
    drawStrokes(context, strokes, 20, ([x, y]) => [280 * x, 280 * y]);
    if (!strokes.length && !pen) {
      Object.assign(context, { fillStyle: "#b8c0c8", font: "18px system-ui, sans-serif", textAlign: "center" });
      context.fillText("Draw a digit here", 140, 146);
    }
    if (pen) {
      Object.assign(context, { strokeStyle: pen.down ? "#ffb454" : "#8ab4ff", lineWidth: 3 });
      context.beginPath();
      context.arc(280 * pen.at[0], 280 * pen.at[1], 12, 0, 7);
      context.stroke();
    }
  };
  const showAnswers = (finished) => {
    const empty = !picture.some((v) => v > 0);
    const answers = models.filter((m) => m.game === game).map((m) => ({ m, shares: empty ? m.classes.map(() => 0) : probabilities(m, picture) }));
    results.replaceChildren(...answers.map(({ m, shares }) => make("section", { className: "model", dataset: { model: m.name } },
      make("h3", { textContent: m.title }), bars(m.classes.map((label, i) => [label, shares[i]])), make("p", { className: "soft", textContent: m.note }))));
    if (multiply.checked) showLinear();
    if (finished) said.textContent = empty ? "The pad is empty." : answers.map(({ m, shares }) => { const best = Math.max(...shares); return `${m.title}: ${m.classes[shares.indexOf(best)]}, ${percent(best)}`; }).join("; ");
  };
  const update = (finished) => {
    if (!real) picture = pictureOf(strokes);
    paint(seen, SIDE, SIDE, (i) => Array(3).fill(Math.round(255 * picture[i])));
    showPad();
    showAnswers(finished);
    undo.disabled = clear.disabled = !strokes.length && !real;
    undo.disabled ||= real;
    if (finished) { model.set("drawn", new DataView(Uint8Array.from(picture, (v) => Math.round(255 * v)).buffer)); model.save_changes(); }
  };
  const tiles = (size, all) => make("div", { className: "tiles", style: { gridTemplateColumns: `repeat(${size < 60 ? "auto-fill" : Math.min(5, all.length)}, minmax(0, ${size}px))` } }, ...all);
  const showLinear = () => { // The weights, or each times its pixel
    const { title, classes, layers: [layer] } = models.find((m) => m.game === game && m.layers.length === 1), single = layer.outputs === 1, [one, other] = classes, times = multiply.checked;
    const values = Array.from({ length: layer.outputs }, (_, o) => column(layer, o).map((w, i) => times ? w * picture[i] : w)), most = times ? largest(values.flat()) : undefined;
    const sum = (o) => times ? `: ${short(values[o].reduce((a, b) => a + b, layer.bias[o]))}` : "";
    linear.replaceChildren(make("h3", { textContent: `The weights of ${title}${times ? ", times this drawing" : ""}` }),
      make("p", { className: "soft", textContent: `${single ? `Blue pixels speak for a ${one}, red ones for a ${other}.` : "Blue pixels speak for a digit, red ones against it."}${times ? " Below each picture, the sum of its products and the bias: the activation." : ""}` }),
      tiles(single ? 140 : 96, values.map((v, o) => tile(v, `${single ? `${one} or ${other}` : classes[o]}${sum(o)}`, most))));
  };
  multiply.onchange = showLinear;
  const showWeights = () => {
    const deep = models.find((m) => m.game === game && m.layers.length > 1), units = deep?.layers[0].outputs;
    showLinear();
    hidden.replaceChildren(...deep ? [make("summary", { textContent: `The ${units} hidden units of ${deep.title}` }), tiles(56, Array.from({ length: units }, (_, o) => tile(column(deep.layers[0], o), `${o + 1}`)))] : []);
  };

  // ---- mouse, finger, pen
  const spot = (event) => { const box = pad.getBoundingClientRect(); return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.min(1, Math.max(0, v))); };
  let waiting = false;
  const soon = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; update(false); }); } };
  const begin = (at) => { if (real) { real = false; strokes = []; } current = [at]; strokes.push(current); };
  pad.onpointerdown = (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    pen = null;
    begin(spot(event));
    soon();
    event.preventDefault();
    pad.focus({ preventScroll: true });
  };
  pad.onpointermove = (event) => {
    if (!current || !pad.hasPointerCapture(event.pointerId)) return;
    for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) current.push(spot(each));
    soon();
  };
  pad.onpointerup = pad.onpointercancel = () => { if (current && !pen) { current = null; update(true); } };

  // ---- keyboard
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pad.onkeydown = (event) => {
    if (event.key === "Delete" || event.key === "Backspace" || event.key === "Escape") { clear.onclick(); event.preventDefault(); event.stopPropagation(); return; }
    if (!(event.key in ways) && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    pen ||= { at: [0.5, 0.2], down: false };
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) begin([...pen.at]); else current = null;
      update(!pen.down);
      return;
    }
    pen.at = pen.at.map((v, axis) => Math.min(0.95, Math.max(0.05, v + 0.05 * ways[event.key][axis])));
    if (pen.down) current.push([...pen.at]);
    update(pen.down);
  };
  pad.onblur = () => { if (pen) { pen = current = null; showPad(); } };
  undo.onclick = () => { strokes.pop(); update(true); };
  clear.onclick = () => { strokes = []; current = pen = null; real = false; update(true); };
  example.onclick = () => {
    const wanted = new Set(models.filter((m) => m.game === game).flatMap((m) => m.classes)), labels = model.get("example_labels");
    do shown = (shown + 1) % labels.length; while (!wanted.has(labels[shown]));
    strokes = []; current = pen = null; real = true;
    picture = Float64Array.from(examples.subarray(shown * SIDE * SIDE, (shown + 1) * SIDE * SIDE), (v) => v / 255);
    update(true);
  };
  example.hidden = !model.get("example_labels").length;

  el.append(make("div", { className: "notes-app digit-pad" },
    make("fieldset", { hidden: games.length < 2 }, make("legend", { textContent: "Which digits" }), make("div", { className: "row" }, ...choices)),
    make("div", { className: "board" },
      make("div", { className: "drawing" }, pad, make("div", { className: "row under" }, undo, clear, example)),
      make("figure", { className: "sight" }, seen, make("figcaption", { textContent: "What the models see: 28 × 28 pixels, scaled and centred as in MNIST" })),
      results),
    weights, said));
  const restored = asBytes(model.get("drawn"));
  if (restored.length && restored.some((v) => v > 0)) { real = true; picture = Float64Array.from(restored, (v) => v / 255); }
  showWeights();
  update(false);
}
export default { render };
