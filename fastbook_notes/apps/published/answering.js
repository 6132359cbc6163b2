// The front end of the picture apps, with a worker in place of Python
import app from "./picture_app.js";

// What a worker has to do with, and a bar that says how much of it has come
export const begin = (
  el, // Where the bar goes
  place, told, // An address, and the model.json that is there
  heard, // Called with what comes of each photo: `problem`, or `features`, `shares` and `pictures`
  keep = null, // What to do once the model is there, so that the page works without a connection
) => { // Takes what the worker is asked
  const megabytes = [told.engine, told.body, told.head, told.others].reduce((sum, file) => sum + (file ? file.bytes / 1e6 : 0), 0);
  const loading = document.createElement("div");
  loading.className = "loading";
  loading.innerHTML = `<button type="button">Load the model (${megabytes.toFixed(1)} MB)</button><progress aria-label="Loading the model" hidden></progress>
    <p class="soft" role="status">It is fetched once: now, or when you choose a photo.</p>`;
  const [button, progress, status] = loading.children;
  const early = () => { if (!worker) button.click(); }; // While a photo is chosen or on its way
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault()); // Else the browser would leave the page for the file
  addEventListener("dragenter", ({ dataTransfer }) => { if (dataTransfer?.types.includes("Files")) early(); });
  el.append(loading);
  const waiting = new Set(); // Ids of photos
  let worker = null;

  const came = (share) => {
    button.hidden = true;
    progress.hidden = share === 1;
    progress.value = share;
    status.textContent = share < 1 ? `Loading the model: ${Math.floor(100 * share)}%` : "Starting the model …";
  };
  const loaded = async () => {
    status.textContent = "The model is here.";
    if (await keep?.()) status.textContent = "The model is here. From now on, this page also works without a connection.";
  };
  const done = (found) => { if (waiting.delete(found.id)) heard(found); };
  const failed = (text, ...ids) => {
    button.hidden = false;
    progress.hidden = true;
    status.textContent = text;
    for (const id of ids) done({ id, problem: "it wasn't looked at, because the model couldn't be loaded." });
  };
  const ask = (content) => {
    if (!worker) {
      worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
      worker.onerror = () => { worker = null; failed("The model can't be started in this browser, or without a connection; try again, or a newer browser.", ...waiting); };
      worker.onmessage = ({ data }) => {
        if (data.share !== undefined) came(data.share);
        else if (data.loaded) loaded();
        else if (data.failed) failed(data.failed, data.id);
        else done(data);
      };
    }
    if (content.bytes) waiting.add(content.id);
    worker.postMessage({ ...content, place }, content.bytes ? [content.bytes] : []);
  };
  button.onclick = () => { came(0); ask({}); };
  document.addEventListener("click", ({ target }) => { if (target.matches?.("input[type=file]")) early(); });
  return ask;
};

// What the front end is told of a photo
export const answer = ({ id, problem, shares, neither = "", pictures }, { names, several, note, looked }) => {
  if (problem) return [{ kind: "problem", id, text: problem }];
  const order = shares.map((_, i) => i).sort((a, b) => shares[b] - shares[a]).slice(0, several ? undefined : 5);
  const bars = order.map((i) => [names[i], shares[i]]);
  return [{ kind: "answer", id, headline: `${bars.filter(([, share]) => bars[0][1] - share < 1e-6).map(([name]) => name).join(" or ")}, ${Math.round(100 * bars[0][1])}%`, neither, bars, note, heat: looked, beside: [] }, pictures];
};

export const show = async (
  el, // Where the app goes
  { folder = "./", keep = null } = {}, // Where model.json is; as in `begin`
) => {
  const place = new URL(folder, document.baseURI).href, told = await (await fetch(new URL("model.json", place))).json(), listeners = [];
  const tell = (content, buffers) => listeners.forEach((listener) => listener(content, buffers));
  const samples = await Promise.all((told.samples ?? []).map(async ({ file }) => (await fetch(new URL(file, place))).arrayBuffer())).catch(() => []);
  const names = told.names.map((name) => name.replaceAll("_", " ")), room = document.createElement("div");
  el.classList.add("notes-app");
  const ask = begin(el, place, told, (found) => tell(...answer(found, { ...told, names })), keep);
  el.append(room);
  app.render({
    el: room,
    model: {
      get: () => told.words,
      on: (_, listener) => listeners.push(listener),
      send: ({ kind, id, index }, _, buffers) => {
        if (kind === "hello") tell({ kind: "ready", about: told.about, table: told.table, threshold: told.threshold, looked: told.looked, samples: samples.map((_, i) => told.samples[i].title) }, samples);
        else ask({ id, bytes: kind === "sample" ? samples[index].slice() : buffers[0] });
      },
    },
  });
};
