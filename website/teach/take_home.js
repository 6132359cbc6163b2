// What a taught model is taken home in: a model folder, packed without compression
import { percent } from "./parts.js";

const bytes = (text) => new TextEncoder().encode(text);
const numbers = (...values) => new Uint8Array(Uint32Array.from(values).buffer); // Little-endian, as all machines with browsers are
const joined = async (parts) => new Uint8Array(await new Blob(parts).arrayBuffer());
const hexadecimal = (buffer) => [...new Uint8Array(buffer)].map((v) => v.toString(16).padStart(2, "0")).join("");

// Weights in the format safetensors, with the description and the digest that `load_model` asks for; the body is named, not held
const modelFile = async (description, heads, body) => {
  const text = JSON.stringify(description), classes = heads.length, inputs = heads[0].weight.length;
  const bias = Float32Array.from(heads, (head) => head.bias), weight = await joined(heads.map((head) => head.weight));
  const signed = [text, `\n1.2.bias torch.float32 [${classes}]\n`, bias, `\n1.2.weight torch.float32 [${classes}, ${inputs}]\n`, weight];
  const sha256 = hexadecimal(await crypto.subtle.digest("SHA-256", await joined(signed)));
  const end = bias.byteLength + weight.byteLength, tensor = (shape, ...places) => ({ dtype: "F32", shape, data_offsets: places });
  const header = bytes(JSON.stringify({
    __metadata__: { format: "pt", description: text, sha256, body },
    "1.2.bias": tensor([classes], 0, bias.byteLength), "1.2.weight": tensor([classes, inputs], bias.byteLength, end),
  }));
  const padding = new Uint8Array(-header.length & 7).fill(32);
  return joined([numbers(header.length + padding.length, 0), header, padding, bias, weight]);
};

const checksum = (data) => { // CRC-32
  let sum = -1;
  for (const byte of data) { sum ^= byte; for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1)); }
  return ~sum >>> 0;
};
// Version 2.0, names in UTF-8, stored, of 1 January 1980
const facts = (name, data) => Uint8Array.of(20, 0, 0, 8, 0, 0, 0, 0, 33, 0, ...numbers(checksum(data), data.length, data.length),
  name.length & 255, name.length >> 8, 0, 0);
const zipped = (files) => { // By name
  const parts = [], list = [], added = (to, ...more) => { to.push(...more); return more.reduce((sum, part) => sum + part.length, 0); };
  let at = 0, length = 0;
  for (const [path, data] of Object.entries(files)) {
    const name = bytes(path), entry = facts(name, data);
    length += added(list, numbers(0x02014b50), Uint8Array.of(20, 0), entry, new Uint8Array(10), numbers(at), name);
    at += added(parts, numbers(0x04034b50), entry, name, data);
  }
  const count = Object.keys(files).length;
  const end = [numbers(0x06054b50, 0), Uint8Array.of(count, 0, count, 0), numbers(length, at), new Uint8Array(2)];
  return new Blob([...parts, ...list, ...end], { type: "application/zip" });
};
// A model without its weights, from one that lacks its classes and what was measured
export const describe = ({ head, data, ...rest }, { names, photos, accuracy = null }) => {
  const counts = names.map((name, k) => `${name} (${photos.filter(({ label }) => label === k).length})`).join(", ");
  const right = `${percent(accuracy)} of its own photos are right, each judged by a model that was trained without it.`;
  const card = ["# My model", `**Answers:** ${names.join(", ")}.`, `**Data:** ${data.name} Photos of each: ${counts}.`,
    "**Intended use:** To try what a few photos can teach. It was not tested for any use on which something depends.", "**Limits:**",
    "- It always answers with one of its classes, even when a picture shows none of them.\n"
    + "- It has seen few photos, perhaps all of one room.",
    `**Errors:** ${accuracy === null ? "not measured." : right} It has met no other photos.\n`].join("\n\n");
  const metrics = accuracy === null ? {} : { "accuracy on its own photos, each judged without it": accuracy };
  return { ...rest, card, metrics, vocabulary: names, names, data: { ...data, trained: photos.length },
    head: [...head.slice(0, -1), { ...head.at(-1), out_features: names.length }] };
};

// The folder of a model; its name, README.md and model.json are for people
export const folder = async (name, description, heads, body) => {
  const { card, ...rest } = description;
  return zipped({
    [`${name}/model.safetensors`]: await modelFile(description, heads, body),
    [`${name}/model.json`]: bytes(`${JSON.stringify(rest, null, 1)}\n`),
    [`${name}/README.md`]: bytes(card),
  });
};
