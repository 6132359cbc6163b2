// The model, in a thread of its own: loads what the page's reader asked for, then takes photos and gives probabilities and where it looked
import * as ort from "./engine/ort.wasm.bundle.min.mjs";
import { easel, filtered, prepare, resample } from "./preparation.js";

const SIDE = 320, photos = easel(), glows = easel();
const storing = []; // What the browser's cache still takes in, meanwhile
let model = null, session = null, layers = null, others = null;

// ---- files: from the browser's cache, or fetched once with word of how much has come
const away = () => { throw new Error("there is no connection, or the server doesn't answer"); };
const fetched = async ({ file, bytes, digest }, place, came) => {
  const address = new URL(`${file}?${digest}`, place);
  const cache = await self.caches?.open(`fastbook-notes ${new URL(".", address).pathname}`).catch(() => null); // None in a private window, or by plain http
  const kept = await cache?.match(address);
  if (kept) { came(bytes); return new Uint8Array(await kept.arrayBuffer()); }
  const answer = await fetch(address).catch(away);
  if (!answer.ok) throw new Error(`${file} isn't there (${answer.status})`);
  const parts = [], reader = answer.body.getReader();
  for (let part = await reader.read().catch(away); !part.done; part = await reader.read().catch(away)) { parts.push(part.value); came(part.value.length); }
  const whole = new Blob(parts);
  const store = async () => {
    for (const old of await cache.keys()) if (new URL(old.url).pathname === address.pathname) await cache.delete(old);
    await cache.put(address, new Response(whole));
  };
  if (cache) storing.push(store().catch(() => {})); // A full disk only means that it comes again next time
  return new Uint8Array(await whole.arrayBuffer());
};
const unpacked = async (bytes) => (bytes[0] === 0x1f && bytes[1] === 0x8b // A server may have done it
  ? new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer()) : bytes);
const single = (bytes) => Float32Array.from(new Uint16Array(bytes.buffer), (v) => { // From half precision
  const sign = v >> 15 ? -1 : 1, power = (v >> 10) & 31, rest = v & 1023;
  return sign * (power ? 2 ** (power - 15) * (1 + rest / 1024) : 2 ** -24 * rest);
});

const load = async (place, told) => {
  model ??= await (await fetch(new URL("model.json", place)).catch(away)).json();
  const files = [model.engine, model.body, model.head, model.others].filter(Boolean), total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let came = 0;
  const outcomes = await Promise.allSettled(files.map((file) => fetched(file, place, (n) => { came += n; told(Math.min(1, came / total)); })));
  for (const { reason } of outcomes) if (reason) throw reason;
  const [engine, body, head, rest] = outcomes.map(({ value }) => value);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked(engine);
  // The exporter has folded what can be folded, so to look for more would only take time
  session = await ort.InferenceSession.create(await unpacked(body), { executionProviders: ["wasm"], graphOptimizationLevel: "disabled" });
  const numbers = head && single(head);
  let at = 0;
  const take = (n) => numbers.subarray(at, at += n);
  layers = model.layers.map(({ kind, inputs, outputs }) => ({ kind, inputs, outputs, weight: take(kind === "linear" ? inputs * outputs : kind === "scale" ? inputs : 0), bias: take(kind === "relu" ? 0 : outputs) }));
  others = rest && readOthers(await unpacked(rest));
};
// ImageNet's classifier: whole numbers by row, their scales, the biases, and the words
const WORDS = 1000, FEATURES = 1280;
const readOthers = (bytes) => {
  const n = WORDS * FEATURES, halves = single(bytes.slice(n, n + 4 * WORDS));
  return { rows: new Int8Array(bytes.buffer, 0, n), scale: halves.subarray(0, WORDS), bias: halves.subarray(WORDS), words: new TextDecoder().decode(bytes.subarray(n + 4 * WORDS)).split("\n") };
};

// ---- the head, forwards, and backwards for the places that speak for a label
const FORWARD = {
  linear: (x, { inputs, weight, bias }) => bias.map((b, i) => { let sum = b; for (let j = 0, k = i * inputs; j < inputs; j++, k++) sum += weight[k] * x[j]; return sum; }),
  scale: (x, { weight, bias }) => x.map((v, i) => weight[i] * v + bias[i]),
  relu: (x) => x.map((v) => Math.max(0, v)),
};
const BACKWARD = {
  linear: (slope, _, { inputs, weight }) => { const out = new Float32Array(inputs); slope.forEach((s, i) => { if (s) for (let j = 0; j < inputs; j++) out[j] += s * weight[i * inputs + j]; }); return out; },
  scale: (slope, _, { weight }) => slope.map((s, i) => s * weight[i]),
  relu: (slope, x) => slope.map((s, i) => (x[i] > 0 ? s : 0)),
};
const pooled = ({ data, dims }, pools = model.pools) => {
  const places = dims.slice(2).reduce((a, b) => a * b, 1), maps = Array.from({ length: dims[1] }, (_, i) => data.subarray(i * places, (i + 1) * places));
  return Float32Array.from(pools.flatMap((pool) => maps.map((map) => (pool === "max" ? Math.max(...map) : map.reduce((a, b) => a + b) / places))));
};
const probabilities = (activations) => {
  const scaled = Array.from(activations, (a, i) => a / (model.temperature[i] ?? model.temperature));
  if (model.several) return scaled.map((a) => 1 / (1 + Math.exp(-a)));
  const most = Math.max(...scaled), powers = scaled.map((a) => Math.exp(a - most)), sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
};
const oneColour = (planes) => [0, 1, 2].every((c) => { const n = planes.length / 3, plane = planes.subarray(c * n, (c + 1) * n); return plane.every((v) => v === plane[0]); });
// ImageNet's word for a picture if it shows none of the classes
const neither = (maps) => {
  const x = pooled(maps, ["mean"]), powers = others.words.map((_, i) => {
    let sum = 0;
    for (let j = 0, k = i * FEATURES; j < FEATURES; j++, k++) sum += others.rows[k] * x[j];
    return Math.exp(others.scale[i] * sum + others.bias[i]);
  });
  const meant = model.neither.meant.reduce((sum, i) => sum + powers[i], 0) / powers.reduce((a, b) => a + b);
  return meant < model.neither.threshold ? model.neither.sentence.replace("{word}", () => others.words[powers.indexOf(Math.max(...powers))]) : "";
};
const places = ({ data, dims: [, channels, rows, columns] }, inputs, label) => {
  let slope = Float32Array.from({ length: layers.at(-1).outputs }, (_, i) => Number(i === label));
  for (let i = layers.length - 1; i >= 0; i--) slope = BACKWARD[layers[i].kind](slope, inputs[i], layers[i]);
  const map = new Float32Array(rows * columns), n = map.length;
  slope.forEach((s, j) => { for (let i = 0; i < n; i++) map[i] += s * data[(j % channels) * n + i]; });
  const most = Math.max(1e-12, ...map);
  return { width: columns, height: rows, channels: 1, data: Uint8ClampedArray.from(map, (v) => Math.floor(255 * Math.max(0, v) / most)) };
};

// ---- pictures for the page: what was looked at, and red where it mattered
const shown = (bitmap) => {
  const { width, height } = bitmap, side = Math.min(width, height), scale = Math.min(1, SIDE / Math.max(width, height));
  const from = model.several ? [0, 0, width, height] : [(width - side) / 2, (height - side) / 2, side, side];
  const size = model.several ? [width, height].map((n) => Math.max(1, Math.round(scale * n))) : [SIDE, SIDE];
  const context = photos(...size);
  context.fillStyle = "white";
  context.fillRect(0, 0, ...size);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, ...from, 0, 0, ...size);
  return context.canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
};
const heat = (map) => {
  const { data } = resample(map, [map.width, map.height].map((n) => filtered(n, SIDE, "bicubic"))), context = glows(SIDE, SIDE);
  const image = context.createImageData(SIDE, SIDE), pixels = image.data;
  for (let i = 0, at = 0; i < data.length; i++, at += 4) {
    pixels[at] = 255;
    pixels[at + 1] = 200 * (1 - data[i] / 255);
    pixels[at + 3] = 190 * data[i] / 255;
  }
  context.putImageData(image, 0, 0);
  return context.canvas.convertToBlob({ type: "image/png" });
};

const run = (data, height, width) => session.run({ pictures: new ort.Tensor("float32", data, [1, model.picture.mean.length, height, width]) });
const answer = async (bytes) => {
  let bitmap;
  try { bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none", imageOrientation: "from-image" }); } catch {
    const kind = new TextDecoder("latin1").decode(new Uint8Array(bytes, 0, Math.min(12, bytes.byteLength))).slice(4);
    const reason = !bytes.byteLength ? "it is empty" : /^ftyp(he[iv]|mif|msf)/.test(kind) ? "it is HEIC, which this browser can't open" : "it isn't a picture that this browser can open";
    return { problem: `${reason}; save it as JPEG or PNG.` };
  }
  try {
    const { width, height, data } = prepare(bitmap, model.picture);
    const { features } = await run(data, height, width);
    const inputs = [pooled(features)], found = { features: inputs[0] }, pictures = [await shown(bitmap)];
    if (layers.length) {
      for (const layer of layers) inputs.push(FORWARD[layer.kind](inputs.at(-1), layer));
      const shares = found.shares = probabilities(inputs.pop());
      if (model.looked) pictures.push(await heat(places(features, inputs, shares.indexOf(Math.max(...shares)))));
    }
    if (others) found.neither = oneColour(data) ? model.neither.flat : neither(features);
    return { ...found, pictures: await Promise.all(pictures.map((picture) => picture.arrayBuffer())) };
  } finally { bitmap.close(); }
};

// One thing after the other, in the order in which they were asked
let last = Promise.resolve();
const take = async ({ data: { id, bytes, place, head } }) => {
  try {
    if (!session) {
      await load(place, (share) => postMessage({ share }));
      Promise.all(storing).then(() => postMessage({ loaded: true }));
    }
    if (head) layers = head; // One that was taught in the page
    if (bytes) postMessage({ id, ...await answer(bytes) });
    else if (!head) await run(new Float32Array(model.picture.mean.length * model.picture.size[0] * model.picture.size[1]), ...model.picture.size); // The first run compiles
  } catch (error) {
    postMessage({ id, failed: `The model can't be loaded or run (${error.message}); try again.` });
  }
};
onmessage = (message) => { last = last.then(() => take(message)); };
