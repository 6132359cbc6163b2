// Widgets that work without Python. Each is an anywidget: its own script, and a model that here lives in the page alone.
(() => {
  "use strict";
  const root = document.querySelector('meta[name="smalldocs:offset"]').content;
  const load = (src) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src, onload: resolve, onerror: () => reject(new Error(`${src} is missing`)) });
    document.head.append(script);
  });

  // ---- the models of this page, from the state that is stored with the notebook
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const restored = ({ state, buffers = [] }) => {
    const values = structuredClone(state);
    for (const { path, data } of buffers) path.slice(0, -1).reduce((at, key) => at[key], values)[path.at(-1)] = bytes(data);
    return values;
  };
  class Model {
    constructor(values) { this.values = values; this.listeners = []; this.changed = new Set(); }
    get(name) { return this.values[name]; }
    set(name, value) {
      const pairs = typeof name === "string" ? { [name]: value } : name;
      for (const [key, now] of Object.entries(pairs)) {
        if (this.values[key] === now) continue;
        this.values[key] = now;
        this.changed.add(key);
        this.emit(`change:${key}`, this, now);
      }
      if (this.changed.size) { this.changed.clear(); this.emit("change", this); }
    }
    save_changes() {}
    send() {}
    on(events, call) { for (const event of events.split(/\s+/)) this.listeners.push([event, call]); }
    off(events, call) {
      const gone = events ? events.split(/\s+/) : null;
      this.listeners = this.listeners.filter(([event, c]) => (gone && !gone.includes(event)) || (call && c !== call));
    }
    emit(event, ...values) { for (const [heard, call] of [...this.listeners]) if (heard === event) call(...values); }
    get widget_manager() { return { get_model: async (id) => model(id.replace("IPY_MODEL_", "")) }; }
  }
  const models = {};
  const model = (id) => models[id] ||= new Model(restored(window.widgetModels[id]));

  // ---- one widget
  const scripts = {};
  const definition = (source) => scripts[source] ||= (async () => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const made = (await import(url)).default;
    return typeof made === "function" ? made() : made;
  })();
  const styles = new Set();
  const addStyle = (text) => {
    if (!text || styles.has(text)) return;
    styles.add(text);
    document.head.insertBefore(Object.assign(document.createElement("style"), { textContent: text }), document.querySelector('link[href*="answering/page.css"]')); // Which says more of the same parts
  };
  const showOurs = async (place, id) => {
    const own = model(id), made = await definition(own.get("_esm"));
    addStyle(own.get("_css"));
    if (!own.initialized) { own.initialized = true; await made.initialize?.({ model: own }); }
    const el = document.createElement("div");
    await made.render?.({ model: own, el, signal: new AbortController().signal });
    const still = document.createElement("div"); // What stood here is what is printed
    still.className = "on-paper";
    still.append(...place.childNodes);
    place.replaceChildren(el, ...(still.querySelector("img") ? [still] : []));
  };

  // ---- widgets that are put together from several, by Jupyter's own library, which is large
  let library = null;
  const showWithLibrary = async (place, id) => {
    const view = document.createElement("div");
    view.innerHTML = `<script type="application/vnd.jupyter.widget-view+json">${JSON.stringify({ version_major: 2, version_minor: 0, model_id: id })}<\/script>`;
    place.replaceChildren(view);
    library ||= (async () => {
      const state = document.createElement("script");
      state.type = "application/vnd.jupyter.widget-state+json";
      state.textContent = JSON.stringify({ version_major: 2, version_minor: 0, state: window.widgetModels });
      document.body.append(state);
      window.require = { baseUrl: `${root}assets`, paths: { anywidget: "anywidget/nbextension/index" } };
      await load(`${root}assets/requirejs/require.js`);
      await load(`${root}assets/html-manager/dist/embed-amd.js`);
    })();
    await library;
  };

  const show = async (place) => {
    const id = place.dataset.model;
    place.classList.add("loading");
    try {
      if (!window.widgetModels) await load(place.dataset.models);
      await (window.widgetModels[id].state._esm ? showOurs : showWithLibrary)(place, id);
    } catch (error) {
      console.error(error);
      place.append(Object.assign(document.createElement("p"), { textContent: `This widget could not be started: ${error.message}` }));
    }
    place.classList.remove("loading");
  };

  // The text comes first: a widget starts when it comes near
  const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    near.unobserve(entry.target);
    show(entry.target);
  }), { rootMargin: "600px" });
  addEventListener("load", () => document.querySelectorAll(".live-widget").forEach((place) => near.observe(place)));
})();
