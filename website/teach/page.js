// Teach it yourself: a frozen body finds the features of a few photos once; a head is trained in the page, tried, judged and taken home
import { answer, begin } from "../answering/answering.js";
import app from "../answering/picture_app.js";
import { classCard } from "./cards.js";
import { button, count, make, text } from "./parts.js";
import { describe, folder } from "./take_home.js";
import { verdict } from "./verdict.js";
import { startFor, wordFor } from "./words.js";

const MOST_CLASSES = 6, HOME = "my-model";

const show = async (el) => {
  const place = new URL(el.dataset.folder, document.baseURI).href, told = await (await fetch(new URL("model.json", place))).json();
  const fetched = async (name) => (await fetch(new URL(name, place))).arrayBuffer();
  const cards = [], waiting = new Map(), listeners = [];
  let unsaved = false, next = 0, words = null, trainer = null, taught = null, toTry = null, later = 0;

  // ---- the worker that looks at photos, at those to try with the head that was taught
  const bar = make("div"), ask = begin(bar, place, { ...told, head: told.starts }, (found) => {
    waiting.get(found.id)(found);
    waiting.delete(found.id);
  });
  const look = (bytes, id = `photo ${next++}`, head = null) => new Promise((done) => { waiting.set(id, done); ask({ id, bytes, head }); });

  // ---- the classes
  const list = make("div", { className: "classes" }), problems = make("div", { attributes: { role: "alert" } });
  const state = make("p", { className: "state", attributes: { role: "status" } }), say = (words) => { state.textContent = words; };
  const problem = (name, why) => {
    if (name) problems.append(make("p", { className: "problem" }, make("strong", { textContent: name }), `: ${why}`));
    else problems.replaceChildren();
  };
  const removed = (card) => { cards.splice(cards.indexOf(card), 1); more.focus(); changed(); };
  const add = () => {
    const card = classCard({ look, changed, problem, removed, known });
    cards.push(card);
    list.append(card.el);
    changed();
    return card;
  };
  const more = button("Add a class", () => add().input.focus());
  const sample = button("Start with drawn cats and dogs", () => Promise.all(Object.entries(told.samples).map(async ([name, files], i) => {
    cards[i].input.value = name;
    await cards[i].give(await Promise.all(files.map(async (file) => new File([await fetched(file)], file))));
  })));
  const named = () => cards.map(({ input }, i) => input.value.replace(/[\p{Cc}\p{Cs}]/gu, "").trim() || `Class ${i + 1}`);

  const known = (features) => named()[cards.findIndex(({ photos }) => photos.some((photo) => photo.features?.every((v, j) => v === features[j])))]; // The class of the same photo

  // ---- it learns whenever something has changed
  const changed = (wait = 0) => {
    unsaved = cards.some(({ photos }) => photos.length);
    clearTimeout(later);
    later = setTimeout(learn, wait);
    const names = named();
    cards.forEach((card, i) => card.describe(names[i], `Class ${i + 1}`, wordFor(names[i], told.starts.rows), cards.length <= 2));
    more.hidden = cards.length >= MOST_CLASSES;
    sample.hidden = cards.some(({ photos }) => photos.length);
  };
  const learn = async () => {
    trainer?.terminate();
    trainer = null;
    const all = named(), given = cards.map(({ photos }, i) => ({ name: all[i], photos })).filter(({ photos }) => photos.length);
    const names = given.map(({ name }) => name), photos = given.flatMap((one, label) => one.photos.map((photo) => ({ ...photo, label })));
    const left = photos.filter(({ features }) => !features).length;
    if (new Set(all).size < all.length) return say("Two classes have the same name; give one of them another.");
    if (left) return say(`Looking at the photos: ${left} to go …`);
    if (names.length < 2) {
      taught = null;
      tryIt.hidden = judged.hidden = home.hidden = true;
      return say(`Give photos to ${names.length ? "one more class" : "two classes"}; then it learns, and again with each photo.`);
    }
    const worker = trainer = new Worker(new URL("training.js", import.meta.url), { type: "module" });
    say("Learning …");
    worker.onerror = () => say("The training can't be started in this browser; try a newer one.");
    worker.onmessage = ({ data }) => {
      if (worker !== trainer) return;
      if (data.heads) learned({ names, photos, ...data });
      else judge(data.judged);
    };
    words ??= await fetched(told.starts.file).then((rows) => new Uint16Array(rows)).catch(() => null);
    if (!words) return say("There is no connection. Once there is one, change something, and the model learns.");
    const starts = names.map((name) => startFor(name, told.starts.rows, words));
    const features = photos.map((photo) => photo.features), labels = photos.map(({ label }) => label);
    worker.postMessage({ features, labels, starts, strength: told.strength });
  };
  const learned = (made) => {
    const { heads, names, photos, milliseconds } = made, inputs = heads[0].weight.length, weight = new Float32Array(names.length * inputs);
    heads.forEach((head, k) => weight.set(head.weight, k * inputs));
    const bias = Float32Array.from(heads, (head) => head.bias);
    taught = { ...made, layer: { kind: "linear", inputs, outputs: names.length, weight, bias } };
    say(`Learned ${names.join(", ")} from ${count(photos.length, "photo")}, in ${Math.max(1, Math.round(milliseconds))} ms.`);
    tryIt.hidden = home.hidden = false;
    if (!toTry) ready();
  };

  // ---- trying it, in the front end of the other apps
  const tell = (content, buffers) => listeners.forEach((listener) => listener(content, buffers)), front = make("div");
  const tryIt = make("section", { hidden: true }, make("h2", { textContent: "2. Try it" }),
    text("Give it a photo that it hasn't seen.", "soft"), front);
  const ready = async () => {
    toTry = [];
    const samples = Object.keys(told.samples).every((name) => taught.names.includes(name)) ? told.to_try : [];
    toTry = await Promise.all(samples.map(fetched));
    tell({ kind: "ready", about: told.about, table: null, looked: true, samples }, toTry.map((bytes) => bytes.slice()));
  };
  const send = async ({ kind, id, index }, _, buffers) => {
    if (kind === "hello") return;
    const { names, layer } = taught; // What it is at this moment
    const found = await look(kind === "sample" ? toTry[index].slice() : buffers[0], id, [layer]);
    tell(...answer(found, { names, several: false, note: "", looked: true }));
  };

  // ---- what it is worth, and home
  const judged = make("section", { hidden: true }), judge = (shares) => {
    const { n, share, shown } = verdict(taught, shares);
    if (n) taught.accuracy = share;
    judged.replaceChildren(...shown);
    judged.hidden = !n;
  };
  const save = button("Download the model", async () => {
    const packed = await folder(HOME, describe(told.description, taught), taught.heads, told.installed);
    const link = make("a", { href: URL.createObjectURL(packed), download: `${HOME}.zip` });
    link.click();
    unsaved = false;
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "main");
  const lines = `pip install fastbook-notes\nfastbook-notes predict ${HOME} PICTURES\nfastbook-notes app cat_or_dog --model ${HOME}`;
  const byHttps = "A browser can make the file only if the page was loaded by https.";
  const home = make("section", { hidden: true }, make("h2", { textContent: "4. Take it home" }),
    text(`Unpack the file. The folder ${HOME} is a model like all others here: it can label a folder of pictures, and answer in an app.`),
    make("p", {}, globalThis.crypto?.subtle ? save : byHttps), make("pre", {}, make("code", { textContent: lines })),
    text("It holds what you taught, in a few kilobytes. The network below that is the same for everybody, and comes with the package.", "soft"));

  el.classList.add("notes-app");
  el.replaceChildren(make("h2", { textContent: "1. Give it photos" }),
    text("Name two to six classes and give a few photos to each. They stay on this device: your browser computes everything, and nothing "
      + "is uploaded. A reload or another page forgets them, so take the model home first."),
    list, make("div", { className: "row" }, more, sample), bar, problems, state, tryIt, judged, home);
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  app.render({ el: front, model: { get: () => told.words, on: (_, listener) => listeners.push(listener), send } });
  add();
  add();
};

for (const el of document.querySelectorAll(".teaching")) show(el);
