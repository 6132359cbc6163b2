// The same front end as in a notebook; here a worker answers in place of Python
import app from "./picture_app.js";

const told = await (await fetch("model.json")).json(), listeners = [], find = (selector) => document.querySelector(selector);
const tell = (content, buffers) => listeners.forEach((listener) => listener(content, buffers));
const spoken = (name) => name.replaceAll("_", " ");
let worker = null;

const offline = async () => {
  try { await navigator.serviceWorker.register("service-worker.js"); } catch { return; } // For example in a private window
  await navigator.serviceWorker.ready;
  find(".loading [role=status]").textContent = "The model is here. From now on, this page also works without a connection.";
};
const loading = (share) => {
  find("#load").hidden = true;
  find("progress").hidden = share === 1;
  find("progress").value = share;
  find(".loading [role=status]").textContent = share < 1 ? `Loading the model: ${Math.floor(100 * share)}%` : "Starting the model …";
};
const ended = (id, text) => {
  find("#load").hidden = false;
  find("progress").hidden = true;
  find(".loading [role=status]").textContent = text;
  if (id !== undefined) tell({ kind: "problem", id, text: "it wasn't looked at, because the model isn't here." });
};
const answered = ({ id, shares, pictures }) => {
  const order = shares.map((_, i) => i).sort((a, b) => shares[b] - shares[a]).slice(0, told.several ? undefined : 5);
  const bars = order.map((i) => [spoken(told.names[i]), shares[i]]);
  tell({ kind: "answer", id, headline: `${bars[0][0]}, ${Math.round(100 * bars[0][1])}%`, neither: "", bars, note: told.note, heat: told.looked, beside: [] }, pictures);
};
const ask = (content) => {
  if (!worker) {
    worker = new Worker("worker.js", { type: "module" });
    worker.onerror = () => { worker = null; ended(content.id, "The model can't be started in this browser; try a newer one."); };
    worker.onmessage = ({ data }) => {
      if (data.share !== undefined) loading(data.share);
      else if (data.loaded) { find(".loading [role=status]").textContent = "The model is here."; offline(); }
      else if (data.failed) ended(data.id, data.failed);
      else if (data.problem) tell({ kind: "problem", id: data.id, text: data.problem });
      else answered(data);
    };
  }
  worker.postMessage(content);
};

app.render({
  el: find("#app"),
  model: {
    get: () => told.words,
    on: (_, listener) => listeners.push(listener),
    send: ({ kind, id }, _, buffers) => {
      if (kind === "hello") tell({ kind: "ready", about: told.about, table: told.table, threshold: told.threshold, looked: told.looked, samples: [] });
      else ask({ id, bytes: buffers[0] });
    },
  },
});
find("#load").onclick = () => { loading(0); ask({}); };
