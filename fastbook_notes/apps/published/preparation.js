// A photo as a model sees it: what `open_picture` and `PictureSteps` do in Python, in the same arithmetic.
// Rows and columns are treated apart, so a step is two axes: for each pixel that comes out, which go in (`at`) and how much of each (`by`).

const sinc = (x) => (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1);
const FILTERS = { // How far each one reaches and its weights, as in Pillow
  box: [0.5, (x) => Number(x > -0.5 && x <= 0.5)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, (x) => (Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0)],
  bicubic: [2, (x) => (Math.abs(x) < 1 ? (1.5 * Math.abs(x) - 2.5) * x * x + 1 : Math.abs(x) < 2 ? ((2.5 - 0.5 * Math.abs(x)) * Math.abs(x) - 4) * Math.abs(x) + 2 : 0)],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};
const FINEST = 2 ** 22; // Pillow's weights are whole numbers of such parts, and a half is rounded up
const whole = (sum) => Math.floor(sum + 0.5), same = (sum) => sum;
const clamp = (i, low, high) => Math.min(Math.max(i, low), high);
const axis = (size, taps) => Array.from({ length: size }, (_, i) => {
  const kept = taps(i).filter(([at]) => at >= 0);
  return { at: Int32Array.from(kept, ([at]) => at), by: Float64Array.from(kept, ([, by]) => by) };
});

// From n pixels to `size` of them; `source` says where each of the n comes from, -1 for nowhere
export const filtered = (n, size, filter, source = (i) => i) => axis(size, (i) => {
  const scale = n / size, centre = (i + 0.5) * scale, wide = Math.max(scale, 1);
  if (filter === "nearest") return [[source(clamp(Math.floor(centre), 0, n - 1)), 1]];
  const [reach, weight] = FILTERS[filter], first = Math.max(0, Math.floor(centre - reach * wide + 0.5));
  const taps = Array.from({ length: Math.min(n, Math.floor(centre + reach * wide + 0.5)) - first }, (_, k) => [first + k, weight((first + k - centre + 0.5) * (1 / wide))]);
  const total = taps.reduce((sum, [, by]) => sum + by, 0);
  return taps.map(([at, by]) => [source(at), Math.round(FINEST * by / total) / FINEST]);
});

// A part of n pixels that begins at `corner` and may reach beyond them
const cut = (n, corner, size, pad) => {
  const low = Math.max(corner, 0), length = Math.min(corner + size, n) - low, period = Math.max(2 * length - 2, 1);
  return (i) => {
    const at = corner + i - low, around = ((at % period) + period) % period;
    if (at >= 0 && at < length) return low + at;
    if (pad === "zeros") return -1;
    return low + (pad === "border" ? clamp(at, 0, length - 1) : around < length ? around : period - around);
  };
};

// The means of parts, and what `affine_grid` and `grid_sample` make of a batch when nothing is turned
const averaged = (n, size) => axis(size, (i) => {
  const first = Math.floor(i * n / size), last = Math.ceil((i + 1) * n / size);
  return Array.from({ length: last - first }, (_, k) => [first + k, 1 / (last - first)]);
});
const sampled = (n, size, { mode, align_corners: corners, pad }) => axis(size, (i) => {
  const at = corners ? (size > 1 ? i * (n - 1) / (size - 1) : 0) : (i + 0.5) * n / size - 0.5, low = Math.floor(at);
  const taps = mode === "nearest" ? [[Math.round(at), 1]] : [[low, 1 + low - at], [low + 1, at - low]];
  return taps.map(([j, by]) => [pad === "zeros" && (j < 0 || j >= n) ? -1 : clamp(j, 0, n - 1), by]);
});

const STEPS = { // From width and height to the axes, across and down, of one pass or two
  resize: ({ size, method, pad, filter }, sides) => {
    if (method === "squish") return [sides.map((n, k) => filtered(n, size[k], filter))];
    const scale = Math[method === "pad" ? "max" : "min"](...sides.map((n, k) => n / size[k]));
    return [sides.map((n, k) => {
      const part = Math.max(Math.trunc(scale * size[k]), 1);
      return filtered(part, size[k], filter, cut(n, Math.trunc(0.5 * (n - part)), part, pad));
    })];
  },
  crop: ({ size, pad }, sides) => [sides.map((n, k) => filtered(size[k], size[k], "box", cut(n, Math.floor((n - size[k]) / 2), size[k], pad)))],
  resample: (step, sides) => {
    const size = [step.size[1], step.size[0]], passes = [], shrink = Math.min(...sides.map((n, k) => n / size[k])) / 2;
    if (step.mode === "bilinear" && shrink > Math.max(1, step.align_corners ? 1 : 1 / (1 - 1 / Math.max(...size)))) {
      const fewer = sides.map((n) => Math.floor(n / shrink));
      passes.push(sides.map((n, k) => averaged(n, fewer[k])));
      sides = fewer;
    }
    return [...passes, sides.map((n, k) => sampled(n, size[k], step))];
  },
};

// Rows of `stride` numbers a pixel, of which the first `channels` count, along one axis
const along = (data, width, height, stride, channels, taps, out, row) => {
  const rounded = out instanceof Uint8ClampedArray ? whole : same;
  for (let y = 0; y < height; y++) {
    for (let x = 0, o = (row + y) * taps.length * channels; x < taps.length; x++) {
      const { at, by } = taps[x];
      let first = 0, second = 0, third = 0; // Sums of the only channel, or of three
      for (let k = 0; k < at.length; k++) {
        const i = (y * width + at[k]) * stride, share = by[k];
        first += share * data[i];
        if (channels === 3) { second += share * data[i + 1]; third += share * data[i + 2]; }
      }
      out[o++] = rounded(first);
      if (channels === 3) { out[o++] = rounded(second); out[o++] = rounded(third); }
    }
  }
};
const down = (data, length, taps, out) => {
  const sum = new Float64Array(length);
  taps.forEach(({ at, by }, y) => {
    sum.fill(0);
    for (let k = 0; k < at.length; k++) for (let i = 0, from = at[k] * length; i < length; i++) sum[i] += by[k] * data[from + i];
    out.set(out instanceof Uint8ClampedArray ? sum.map(whole) : sum, y * length);
  });
};

// Whole numbers from 0 to 255 stay whole ones, as in Pillow
export const resample = ({ width, height, channels, data }, [across, downwards], Numbers = Uint8ClampedArray) => {
  const between = new Numbers(height * across.length * channels), out = new Numbers(downwards.length * across.length * channels);
  along(data, width, height, channels, channels, across, between, 0);
  down(between, across.length * channels, downwards, out);
  return { width: across.length, height: downwards.length, channels, data: out };
};

// The first step reads the picture in strips, on white, so that a large one is never in memory twice
const STRIP = 256;
export const easel = (options) => { // One canvas for all pictures, so that nothing waits to be collected
  let context = null;
  return (width, height) => {
    context ??= new OffscreenCanvas(1, 1).getContext("2d", options);
    Object.assign(context.canvas, { width, height });
    return context;
  };
};
const strips = easel({ willReadFrequently: true });
const read = (bitmap, channels, [across, downwards]) => {
  const { width, height } = bitmap, between = new Uint8ClampedArray(height * across.length * channels);
  const context = strips(width, Math.min(STRIP, height));
  for (let top = 0; top < height; top += STRIP) {
    const rows = Math.min(STRIP, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, rows);
    if (channels === 1) for (let i = 0; i < data.length; i += 4) data[i] = (19595 * data[i] + 38470 * data[i + 1] + 7471 * data[i + 2] + 32768) >> 16;
    along(data, width, rows, 4, channels, across, between, top);
  }
  const out = new Uint8ClampedArray(downwards.length * across.length * channels);
  down(between, across.length * channels, downwards, out);
  return { width: across.length, height: downwards.length, channels, data: out };
};

// From an `ImageBitmap` to normalised numbers: a channel after the other
export const prepare = (bitmap, { steps, mean, std }) => {
  const channels = mean.length;
  let seen = bitmap;
  for (const step of steps) {
    for (const axes of STEPS[step.step](step, [seen.width, seen.height])) {
      seen = seen === bitmap ? read(bitmap, channels, axes) : resample(seen, axes, step.step === "resample" ? Float32Array : Uint8ClampedArray);
    }
  }
  const n = seen.width * seen.height, out = new Float32Array(channels * n);
  for (let c = 0; c < channels; c++) for (let i = 0; i < n; i++) out[c * n + i] = (seen.data[i * channels + c] / 255 - mean[c]) / std[c];
  return { width: seen.width, height: seen.height, data: out };
};
