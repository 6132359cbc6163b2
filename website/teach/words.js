// What a class starts from: the row of its name among the words, else the mean of all of ImageNet's

const plain = (name) => name.trim().toLowerCase().split(/[\s_-]+/).join(" ");
export const wordFor = (name, rows) => [plain(name), plain(name).replace(/s$/, "")].find((form) => form && Object.hasOwn(rows, form)) ?? "";

const single = (v) => { // From half precision
  const power = (v >> 10) & 31, rest = v & 1023;
  return (v >> 15 ? -1 : 1) * (power ? 2 ** (power - 15) * (1 + rest / 1024) : 2 ** -24 * rest);
};
export const startFor = (name, rows, numbers) => {
  const width = numbers.length / (1 + Math.max(...Object.values(rows))), from = rows[wordFor(name, rows)] * width;
  const row = Float32Array.from(numbers.subarray(from, from + width), single);
  return { weight: row.subarray(0, -1), bias: row.at(-1) };
};
