// What the pages do besides smalldocs' own script: search that also works from a folder, and what scrolls is reached by keyboard.
(() => {
  "use strict";
  const root = document.querySelector('meta[name="smalldocs:offset"]').content;

  // ---- what scrolls sideways can be focused, and so be scrolled with the arrow keys
  const scrollers = "pre, .cell-output-display, .sd-table, .math.display, #quarto-sidebar, #quarto-margin-sidebar";
  const markScrollers = () => {
    const boxes = [...document.querySelectorAll(scrollers)]; // All are measured before any is changed
    const scroll = boxes.map((box) => box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight);
    boxes.forEach((box, i) => { if (scroll[i]) box.tabIndex = 0; else if (box.hasAttribute("tabindex")) box.removeAttribute("tabindex"); });
  };
  let waiting = 0;
  const markSoon = () => { clearTimeout(waiting); waiting = setTimeout(markScrollers, 150); };
  addEventListener("load", markSoon);
  addEventListener("resize", markSoon);
  document.addEventListener("toggle", markSoon, true);
  document.addEventListener("shown.bs.collapse", markSoon);

  // ---- the menu is longer than most screens; the page's own entry is in sight
  const menu = document.querySelector("#quarto-sidebar"), here = menu?.querySelector(".sidebar-link.active");
  if (here) {
    const below = here.getBoundingClientRect().bottom - menu.getBoundingClientRect().bottom;
    if (below > 0) menu.scrollTop += below + menu.clientHeight / 3;
  }

  // ---- search: MiniSearch finds, also what is mistyped; a question is asked without its small words, and with others for some of them
  const small = new Set(("a about an and any are as at be by can could do does for from get give have how i if in into is it its me my no not of off "
    + "on or our should so some than that the their them then there these they this to use using was we what when where which who why will with "
    + "without would you your").split(" "));
  const alike = [["heatmap", "heat map", "activation map", "looked"], ["accuracy", "error rate"], ["resume", "interrupted", "checkpoint"],
    ["upload", "drop", "photo", "camera"], ["augmentation", "augmented"], ["photo", "picture", "image"], ["gpu", "cuda"], ["speed", "fast", "quick", "seconds"], ["bias", "fairness", "ethics"],
    ["install", "pip"], ["deploy", "publish", "app"], ["lr", "learning rate"], ["map", "average precision"], ["roc", "auc", "threshold", "precision recall"], ["cam", "activation map"], ["relu", "rectified"], ["csv", "excel", "table"],
    ["multilabel", "several labels"], ["offline", "network"], ["memory", "gigabytes"], ["overfit", "overfitting"], ["dataset", "data set"]];
  const tokenize = (text) => (text.match(/[\p{L}\p{N}_.]+(\+\+)?/gu) ?? []).map((word) => word.replace(/^\.+|\.+$/g, ""))
    .flatMap((word) => /[_.]/.test(word) ? [word, ...word.split(/[_.]+/)] : [word]).filter(Boolean);
  let index = null;
  const loadIndex = () => index ||= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = root + "assets/search-index.js";
    script.onload = async () => {
      const entries = window.searchIndex.map(([href, title, section, text], id) => ({ id, href, title, section, text, name: section || title }));
      const search = new window.MiniSearch({ fields: ["name", "title", "text"], tokenize, searchOptions: {
        boost: { name: 8, title: 3 }, prefix: (word) => word.length > 1, fuzzy: (word) => word.length > 4 && 0.2 } });
      await search.addAllAsync(entries, { chunkSize: 50 });
      resolve({ entries, search });
    };
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
  const find = (site, query) => {
    if (!site) return [];
    const whole = query.trim().toLowerCase(), asked = whole.split(/\s+/).map((word) => word.replace(/[?!,.:;]+$/, "")).filter(Boolean);
    const words = asked.filter((word) => !small.has(word)), wanted = words.length ? words : asked;
    const queries = wanted.map((word) => ({ combineWith: "OR", queries: [word, ...alike.filter((same) => same.includes(word)).flat().map((same) => ({ combineWith: "AND", queries: [same] }))] }));
    const parts = wanted.flatMap(tokenize), identifier = /^[\w.]*[_.][\w.]*$/;
    const weight = ({ id, score, terms }) => { // Whole words before beginnings of words and typos; headings before lists, figures' pages and code
      const { name, href } = site.entries[id], exact = name.toLowerCase() === whole, aside = href.startsWith("exports.html") ? (exact ? 0.05 : 0.03) : href.startsWith("apps/explorables/") ? 0.05 : identifier.test(name) ? 0.7 : 1;
      return score * aside * (exact ? 20 : 1) * 4 ** (parts.filter((part) => terms.includes(part)).length / parts.length);
    };
    const search = (combineWith) => site.search.search({ combineWith, queries }).map((hit) => [weight(hit), hit]).sort((a, b) => b[0] - a[0]).map(([, hit]) => hit);
    const all = search("AND");
    return (all.length ? all : search("OR")).slice(0, 12).map(({ id, terms }) => [site.entries[id], excerpt(site.entries[id], terms), terms]);
  };
  const excerpt = (entry, words) => {
    const text = entry.text.toLowerCase(), at = Math.min(...words.map((word) => text.indexOf(word)).filter((i) => i >= 0), entry.text.length);
    const from = at === entry.text.length ? 0 : Math.max(0, at - 50);
    return (from ? "…" : "") + entry.text.slice(from, from + 130);
  };
  const marked = (element, text, words) => { // The words are marked without writing HTML
    const pattern = new RegExp("(" + words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|") + ")", "ig");
    text.split(pattern).forEach((part, i) => {
      if (i % 2) { const mark = document.createElement("mark"); mark.textContent = part; element.append(mark); } else element.append(part);
    });
    return element;
  };
  window.searchSite = async (query) => find(await loadIndex(), query).map(([entry]) => entry.href);

  const setUp = (box) => {
    const input = box.querySelector("input"), list = box.querySelector("ul"), status = box.querySelector('[role="status"]');
    let chosen = -1;
    const items = () => [...list.children];
    const close = () => { list.hidden = true; box.classList.remove("nothing"); input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); chosen = -1; };
    const choose = (i) => {
      chosen = i;
      items().forEach((item, n) => item.setAttribute("aria-selected", String(n === i)));
      if (i >= 0) { input.setAttribute("aria-activedescendant", items()[i].id); items()[i].scrollIntoView({ block: "nearest" }); }
    };
    const go = (item) => { close(); input.blur(); location.href = root + item.dataset.href; };
    const show = async () => {
      const query = input.value.trim();
      if (query.length < 2) { close(); status.textContent = ""; return; }
      const site = await loadIndex();
      if (query !== input.value.trim()) return;
      const found = find(site, query);
      list.replaceChildren(...found.map(([entry, text, words], i) => {
        const item = document.createElement("li");
        Object.assign(item, { id: `found-${i}` });
        item.setAttribute("role", "option"); item.setAttribute("aria-selected", "false"); item.dataset.href = entry.href;
        const where = document.createElement("small");
        where.textContent = entry.section ? entry.title : "";
        item.append(marked(document.createElement("b"), entry.name, words), where, marked(document.createElement("small"), text, words));
        item.addEventListener("mousedown", (event) => { event.preventDefault(); go(item); });
        return item;
      }));
      status.textContent = found.length ? `${found.length} found` : `Nothing found for ${query}`;
      list.hidden = !found.length; box.classList.toggle("nothing", !found.length); input.setAttribute("aria-expanded", String(found.length > 0)); choose(found.length ? 0 : -1);
    };
    input.addEventListener("focus", loadIndex);
    input.addEventListener("input", show);
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { close(); input.blur(); }
      if (list.hidden) return;
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], n = items().length;
      if (step) { event.preventDefault(); choose((chosen + step + n) % n); }
      if (event.key === "Enter" && chosen >= 0) { event.preventDefault(); go(items()[chosen]); }
    });
  };
  document.querySelectorAll(".site-search").forEach(setUp);
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName) || document.activeElement.isContentEditable;
    if (!(event.key === "/" && !typing) && !((event.metaKey || event.ctrlKey) && event.key === "k")) return;
    const input = document.querySelector(".site-search input");
    if (!input || !input.offsetParent) return;
    event.preventDefault(); input.focus();
  });
})();
