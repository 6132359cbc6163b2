// Teach it yourself: a few photos for each class, whose features a frozen body finds once; a head is trained in the page, tried, judged and taken home
import { answer, begin } from "./answering/answering.js";
import app from "./answering/picture_app.js";
import { folder } from "./take_home.js";

const MOST_CLASSES = 6, MOST_PHOTOS = 50, DOUBTFUL = 4;
const make = (tag, properties = {}, ...children) => {
  const { attributes = {}, ...rest } = properties, made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter(Boolean));
  return made;
};
const soft = (textContent) => make("p", { className: "soft", textContent });
const percent = (share) => `${Math.round(100 * share)}%`;
const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;
const single = (v) => { // From half precision
  const power = (v >> 10) & 31, rest = v & 1023;
  return (v >> 15 ? -1 : 1) * (power ? 2 ** (power - 15) * (1 + rest / 1024) : 2 ** -24 * rest);
};

// ---- what a class starts from: its row among the words, else the mean of all of ImageNet's
const plain = (name) => name.trim().toLowerCase().split(/[\s_-]+/).join(" ");
const wordFor = (name, rows) => [plain(name), plain(name).replace(/s$/, "")].find((form) => form && Object.hasOwn(rows, form)) ?? "";
const startFor = (name, { rows }, numbers) => {
  const width = numbers.length / (1 + Math.max(...Object.values(rows))), row = Float32Array.from(numbers.subarray(rows[wordFor(name, rows)] * width, (rows[wordFor(name, rows)] + 1) * width), single);
  return { weight: row.subarray(0, -1), bias: row.at(-1) };
};

const show = async (el) => {
  const place = new URL(el.dataset.folder, document.baseURI).href, told = await (await fetch(new URL("model.json", place))).json();
  const classes = [], waiting = new Map();
  let next = 0, words = null, trainer = null, taught = null, toTry = null, later = 0;

  // ---- the worker that looks at photos
  const bar = make("div"), ask = begin(bar, place, { ...told, head: told.starts }, (found) => { waiting.get(found.id)(found); waiting.delete(found.id); });
  const look = (bytes, id = `photo ${next++}`, head = null) => new Promise((done) => { waiting.set(id, done); ask({ id, bytes, head }); });

  // ---- the classes
  const list = make("div", { className: "classes" }), problems = make("div", { attributes: { role: "alert" } }), state = make("p", { className: "state", attributes: { role: "status" } });
  const problem = (name, text) => problems.append(make("p", { className: "problem" }, make("strong", { textContent: name }), `: ${text}`));
  const named = () => classes.map(({ input }, i) => input.value.replace(/[\p{Cc}\p{Cs}]/gu, "").trim() || `Class ${i + 1}`);
  const dropPhoto = (one, photo) => {
    one.photos.splice(one.photos.indexOf(photo), 1);
    URL.revokeObjectURL(photo.url);
    photo.item.remove();
    changed();
  };
  const addTile = (one, file) => {
    const photo = { name: file.name, file, features: null, url: "" }, remove = make("button", { type: "button", className: "remove", textContent: "×" });
    photo.item = make("li", {}, make("span", { className: "coming", textContent: "…" }), remove);
    remove.onclick = () => {
      const beside = photo.item.nextElementSibling ?? photo.item.previousElementSibling;
      dropPhoto(one, photo);
      (beside?.querySelector("button") ?? one.picker).focus();
    };
    one.photos.push(photo);
    one.thumbs.append(photo.item);
    return photo;
  };
  const addPhotos = async (one, files) => {
    problems.replaceChildren();
    if (!files.length) problem("What was dropped", "it is no file; save the picture first, then choose it.");
    const room = MOST_PHOTOS - one.photos.length;
    if (files.length > room) problem(count(files.length, "file"), `a class takes at most ${MOST_PHOTOS} photos, so ${room} of them came.`);
    const photos = files.slice(0, room).map((file) => addTile(one, file));
    changed();
    for (const photo of photos) { // One after the other, so that few are in memory
      const bytes = await photo.file.arrayBuffer().catch(() => null), found = bytes ? await look(bytes) : { problem: "it can't be read; is it a folder?" };
      photo.file = null;
      if (!one.photos.includes(photo)) continue;
      if (found.problem) { problem(photo.name, found.problem); dropPhoto(one, photo); continue; }
      photo.features = found.features;
      photo.url = URL.createObjectURL(new Blob([found.pictures[0]], { type: "image/jpeg" }));
      photo.item.firstChild.replaceWith(make("img", { src: photo.url, alt: photo.name, title: photo.name }));
      changed();
    }
  };
  const addClass = (name = "") => {
    const one = { photos: [], input: make("input", { type: "text", value: name, maxLength: 40, autocomplete: "off" }), thumbs: make("ul", { className: "thumbs" }), note: soft("") };
    const file = (more) => { const input = make("input", { type: "file", accept: "image/*", className: "spoken-input", ...more }); input.onchange = () => { addPhotos(one, [...input.files]); input.value = ""; }; return input; };
    one.picker = file({ multiple: true });
    const camera = matchMedia("(pointer: coarse)").matches ? make("label", { className: "button" }, file({ attributes: { capture: "environment" } }), "Take a photo") : null;
    one.remove = make("button", { type: "button", textContent: "Remove the class" });
    one.el = make("section", { className: "panel class" },
      make("div", { className: "naming" }, make("label", {}, make("span", { textContent: "Name" }), one.input), one.remove),
      make("div", { className: "giving" }, make("label", { className: "button" }, one.picker, "Choose photos"), camera, make("span", { className: "soft", textContent: "or drop or paste them here" })),
      one.thumbs, one.note);
    one.input.oninput = () => changed(300);
    one.remove.onclick = () => { classes.splice(classes.indexOf(one), 1); one.photos.forEach(({ url }) => URL.revokeObjectURL(url)); one.el.remove(); more.focus(); changed(); };
    one.el.ondragover = (event) => { event.preventDefault(); one.el.classList.add("over"); };
    one.el.ondragleave = () => one.el.classList.remove("over");
    one.el.ondrop = (event) => { event.preventDefault(); one.el.classList.remove("over"); addPhotos(one, [...event.dataTransfer.files]); };
    one.el.onpaste = (event) => { const files = [...event.clipboardData.files]; if (files.length) { event.preventDefault(); event.stopPropagation(); addPhotos(one, files); } };
    classes.push(one);
    list.append(one.el);
    changed();
    return one;
  };
  const more = make("button", { type: "button", textContent: "Add a class", onclick: () => addClass().input.focus() });
  const fetched = async (name) => new File([await (await fetch(new URL(name, place))).arrayBuffer()], name);
  const sample = make("button", { type: "button", textContent: "Start with drawn cats and dogs" });
  sample.onclick = async () => {
    await Promise.all(Object.entries(told.samples).map(async ([name, files], i) => {
      classes[i].input.value = name;
      await addPhotos(classes[i], await Promise.all(files.map(fetched)));
    }));
  };

  // ---- training, whenever something has changed
  const changed = (wait = 0) => {
    clearTimeout(later);
    later = setTimeout(learn, wait);
    const names = named();
    classes.forEach((one, i) => {
      const word = wordFor(names[i], told.starts.rows), n = one.photos.length;
      one.el.setAttribute("aria-label", `Class ${names[i]}`);
      one.input.placeholder = `Class ${i + 1}`;
      one.remove.hidden = classes.length <= 2;
      one.remove.setAttribute("aria-label", `Remove the class ${names[i]}`);
      const start = word ? `Starts from ImageNet's words for “${word}”.` : one.input.value.trim() ? "No word is known for it: starts from the mean of all of ImageNet's words." : "Give it a name; if it is one of ImageNet's words, it starts from there.";
      one.note.textContent = `${count(n, "photo")}. ${start}`;
      one.photos.forEach(({ item, name }, k) => item.querySelector("button").setAttribute("aria-label", `Remove photo ${k + 1} of ${names[i]}, ${name}`));
    });
    more.hidden = classes.length >= MOST_CLASSES;
    sample.hidden = classes.some(({ photos }) => photos.length);
  };
  const learn = async () => {
    trainer?.terminate();
    trainer = null;
    const all = named(), some = classes.map(({ photos }, i) => ({ name: all[i], photos: photos.filter(({ features }) => features) })).filter(({ photos }) => photos.length);
    const names = some.map(({ name }) => name), photos = some.flatMap(({ photos: own }, label) => own.map((photo) => ({ ...photo, label })));
    const left = classes.flatMap((one) => one.photos).filter(({ features }) => !features).length;
    if (new Set(all).size < all.length) { state.textContent = "Two classes have the same name; give one of them another."; return; }
    if (left) { state.textContent = `Looking at the photos: ${left} to go …`; return; }
    if (names.length < 2) { state.textContent = `Give photos to ${names.length ? "one more class" : "two classes"}; then it learns, and again with each photo.`; forget(); return; }
    words ??= new Uint16Array(await (await fetch(new URL(told.starts.file, place))).arrayBuffer());
    const id = next++, starts = names.map((name) => startFor(name, told.starts, words)), worker = trainer = new Worker(new URL("training.js", import.meta.url), { type: "module" });
    state.textContent = "Learning …";
    worker.onmessage = ({ data }) => {
      if (worker !== trainer) return;
      if (data.heads) learned({ names, photos, heads: data.heads, milliseconds: data.milliseconds });
      else { showJudged(taught, data.judged); worker.terminate(); }
    };
    worker.onerror = () => { state.textContent = "The training can't be started in this browser; try a newer one."; };
    worker.postMessage({ id, features: photos.map(({ features }) => features), labels: photos.map(({ label }) => label), starts, strength: told.strength });
  };
  const forget = () => { taught = null; room.hidden = judgedRoom.hidden = homeRoom.hidden = true; };
  const learned = (made) => {
    const { heads, names, photos, milliseconds } = made, inputs = heads[0].weight.length, weight = new Float32Array(names.length * inputs);
    heads.forEach((head, k) => weight.set(head.weight, k * inputs));
    taught = { ...made, layer: { kind: "linear", inputs, outputs: names.length, weight, bias: Float32Array.from(heads, ({ bias }) => bias) } };
    state.textContent = `Learned ${names.join(", ")} from ${count(photos.length, "photo")}, in ${Math.max(1, Math.round(milliseconds))} ms.`;
    room.hidden = homeRoom.hidden = false;
    if (!toTry) ready();
  };

  // ---- trying it, in the front end of the other apps
  const listeners = [], tell = (content, buffers) => listeners.forEach((listener) => listener(content, buffers));
  const room = make("section", { hidden: true }, make("h2", { textContent: "2. Try it" }), soft("Give it a photo that it hasn't seen."));
  const ready = async () => {
    toTry = [];
    const drawn = Object.keys(told.samples).every((name) => taught.names.includes(name));
    toTry = drawn ? await Promise.all(told.to_try.map(async (name) => (await fetched(name)).arrayBuffer())) : toTry;
    tell({ kind: "ready", about: told.about, table: null, looked: true, samples: told.to_try.slice(0, toTry.length) }, toTry.map((bytes) => bytes.slice()));
  };

  // ---- what it is worth
  const judgedRoom = make("section", { hidden: true }), right = ({ label }, shares) => shares.every((share) => share <= shares[label]);
  const showJudged = (made, shares) => {
    const { names, photos } = made, seen = photos.map((photo, i) => ({ ...photo, shares: shares[i] })).filter(({ shares: own }) => own), alone = photos.length - seen.length;
    judgedRoom.hidden = !seen.length;
    made.measured = seen.length ? { "accuracy on its own photos, each judged without it": seen.filter((photo) => right(photo, photo.shares)).length / seen.length } : {};
    if (!seen.length) return;
    const best = ({ shares: own }) => own.indexOf(Math.max(...own)), cell = (i, k) => seen.filter((photo) => photo.label === i && best(photo) === k).length;
    const table = make("table", { className: "judged" }, make("caption", { textContent: "Rows: what you said. Columns: what it said." }),
      make("thead", {}, make("tr", {}, make("td"), ...names.map((name) => make("th", { textContent: name, scope: "col" })))),
      make("tbody", {}, ...names.map((name, i) => make("tr", {}, make("th", { textContent: name, scope: "row" }), ...names.map((_, k) => make("td", { textContent: cell(i, k), className: i === k ? "same" : cell(i, k) ? "other" : "" }))))));
    const doubtful = [...seen].sort((a, b) => a.shares[a.label] - b.shares[b.label]).slice(0, DOUBTFUL).map((photo) => make("li", {},
      make("img", { src: photo.url, alt: photo.name }), make("span", {}, make("strong", { textContent: `You said ${names[photo.label]}.` }), ` It said ${names[best(photo)]}, ${percent(Math.max(...photo.shares))}.`)));
    judgedRoom.replaceChildren(make("h2", { textContent: "3. How good is it?" }),
      make("p", { textContent: `Of your own ${count(seen.length, "photo")}, each judged by a model that was trained without it, ${seen.filter((photo) => right(photo, photo.shares)).length} are right.` }),
      soft(`${alone ? `${count(alone, "photo")} of a class that has no other can't be judged. ` : ""}So few say little: one more mistake is ${percent(1 / seen.length)} of them. Photos that resemble each other, taken in one room or one after the other, make it look better than it is.`),
      table, make("h3", { textContent: "The most doubtful of them" }), make("ul", { className: "doubtful" }, ...doubtful));
  };

  // ---- taking it home
  const describe = ({ names, photos, measured = {} }) => {
    const { head, data, ...rest } = told.description, counts = names.map((name, k) => `${name} (${photos.filter(({ label }) => label === k).length})`).join(", ");
    const card = ["# My model", "", `**Answers:** ${names.join(", ")}.`, "", `**Data:** ${data.name} Photos of each: ${counts}.`, "", "**Intended use:** To try what a few photos can teach. It was not tested for any use on which something depends.", "",
      "**Limits:**", "", "- It always answers with one of its classes, also when a picture shows none of them.", "- It has seen few photos, perhaps all of one room, one light or one camera.", "",
      `**Errors:** ${Object.entries(measured).map(([name, value]) => `${name}: ${percent(value)}`).join("") || "not measured"}. There were no other photos to measure on.`, ""].join("\n");
    return { ...rest, head: [...head.slice(0, -1), { ...head.at(-1), out_features: names.length }], vocabulary: names, names, data: { ...data, trained: photos.length }, metrics: measured, card };
  };
  const save = make("button", { type: "button", className: "main", textContent: "Download the model" });
  save.onclick = async () => {
    const link = make("a", { href: URL.createObjectURL(await folder("my-model", describe(taught), taught.heads, told.installed)), download: "my-model.zip" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  const code = (text) => make("pre", {}, make("code", { textContent: text }));
  const homeRoom = make("section", { hidden: true }, make("h2", { textContent: "4. Take it home" }),
    make("p", { textContent: "Unpack the file. The folder my-model is a model as all others of these notes: it labels a folder of pictures, and answers in an app." }),
    make("p", {}, save), code("pip install fastbook-notes\nfastbook-notes predict my-model PICTURES\nfastbook-notes app cat_or_dog --model my-model"),
    soft("It holds what you taught, a few kilobytes. The network below is the same for everybody, and comes with the package."));

  el.classList.add("notes-app");
  el.replaceChildren(make("h2", { textContent: "1. Give it photos" }),
    make("p", { textContent: "Name two to six classes and give a few photos to each. They stay on this device: your browser computes everything, and nothing is uploaded." }),
    list, make("div", { className: "row" }, more, sample), bar, problems, state, room, judgedRoom, homeRoom);
  const inner = make("div");
  room.append(inner);
  app.render({
    el: inner,
    model: {
      get: () => told.words,
      on: (_, listener) => listeners.push(listener),
      send: async ({ kind, id, index }, _, buffers) => {
        if (kind === "hello") return;
        const { names, layer } = taught; // What it is at this moment
        tell(...answer(await look(kind === "sample" ? toTry[index].slice() : buffers[0], id, [layer]), { names, several: false, note: "", looked: true }));
      },
    },
  });
  addClass();
  addClass();
};

for (const el of document.querySelectorAll(".teaching")) show(el);
