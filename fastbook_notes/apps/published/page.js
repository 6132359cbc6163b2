// A page of its own, which works without a connection once the model is there
import { show } from "./answering.js";

const keep = async () => {
  try { await navigator.serviceWorker.register("service-worker.js"); } catch { return false; } // For example in a private window
  return navigator.serviceWorker.ready;
};
show(document.querySelector("#app"), { keep });
