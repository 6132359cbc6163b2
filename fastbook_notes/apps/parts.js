// What every app uses. Each widget's script is this file and its own, one after the other.
const make = (tag, properties = {}, ...children) => {
  const { dataset = {}, style = {}, attributes = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  Object.assign(made.style, style);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};
const percent = (share) => `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)}%`;
const numbered = (() => { // An id that is free, in a page of several widgets too
  const own = Math.random().toString(36).slice(2, 10);
  let n = 0;
  return (name) => `notes-${name}-${own}-${++n}`;
})();

// A row of a bar chart, which a screen reader reads as text
const barRow = (label, share, { best = false, note = percent(share) } = {}) => make("li", { className: best ? "best" : "" },
  make("span", { className: "label", textContent: label }),
  make("span", { className: "track", attributes: { "aria-hidden": "true" } }, make("span", { className: "bar", style: { width: `${100 * Math.min(1, Math.max(0, share))}%` } })),
  make("span", { className: "number", textContent: note }));
const bars = (pairs) => {
  const most = Math.max(...pairs.map(([, share]) => share));
  return make("ul", { className: "bars" }, ...pairs.map(([label, share]) => barRow(label, share, { best: share === most && share > 0 })));
};

// Numbers from -1 to 1 as red, grey of the page's middle, blue; the same in light and dark
const diverging = (v) => {
  const t = Math.min(1, Math.abs(v)), [r, g, b] = v < 0 ? [178, 24, 43] : [33, 102, 172];
  return [247 + (r - 247) * t, 247 + (g - 247) * t, 247 + (b - 247) * t];
};
const paint = (canvas, width, height, colourOf) => {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...colourOf(i), 255], 4 * i);
  context.putImageData(image, 0, 0);
  return canvas;
};
const asBytes = (view) => new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
const button = (textContent, onclick, className = "") => make("button", { type: "button", textContent, onclick, className });

// Drawings and the numbers on them
const svg = (tag, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const minus = (text) => `${text}`.replace("-", "−");
const powers = (text) => text.replace(/e\+?(-?\d+)/, (_, power) => ` · 10${[...power].map((c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}`); // Of ten
const short = (v) => minus(powers(Math.abs(v) < 1000 ? v.toFixed(2) : v.toExponential(1)));
const ticks = (low, high) => {
  const size = 10 ** Math.floor(Math.log10(high - low)), gap = (high - low) / size > 5 ? 2 * size : (high - low) / size > 2 ? size : size / 2;
  return Array.from({ length: 20 }, (_, i) => (Math.ceil(low / gap) + i) * gap).filter((v) => v <= high + gap / 1e6);
};
