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

  // ---- search
  let index = null;
  const loadIndex = () => index ||= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = root + "assets/search-index.js";
    script.onload = () => resolve(window.searchIndex.map(([href, title, section, text]) =>
      ({ href, title, section, text, low: { title: title.toLowerCase(), section: section.toLowerCase(), text: text.toLowerCase() } })));
    script.onerror = () => resolve([]);
    document.head.append(script);
  });
  const starts = (text, word) => { const at = text.indexOf(word); return at >= 0 && (at === 0 || !/[a-z0-9]/.test(text[at - 1])); };
  const weigh = (entry, words, whole) => {
    let sum = 0;
    for (const word of words) {
      const { title, section, text } = entry.low;
      const score = starts(section, word) ? 12 : section.includes(word) ? 8 : starts(title, word) ? 6 : title.includes(word) ? 4 : starts(text, word) ? 2 : text.includes(word) ? 1 : 0;
      if (!score) return 0;
      sum += score;
    }
    if (entry.low.section === whole || (!entry.section && entry.low.title === whole)) sum += 40;
    return sum / words.length - (entry.section || entry.title).length / 200;
  };
  const find = (entries, query) => {
    const whole = query.trim().toLowerCase(), words = whole.split(/\s+/).filter(Boolean);
    return entries.map((entry) => [weigh(entry, words, whole), entry]).filter(([score]) => score > 0)
      .sort((a, b) => b[0] - a[0]).slice(0, 12).map(([, entry]) => [entry, excerpt(entry, words)]);
  };
  const excerpt = (entry, words) => {
    const at = Math.min(...words.map((w) => entry.low.text.indexOf(w)).filter((i) => i >= 0), entry.text.length);
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
    const close = () => { list.hidden = true; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); chosen = -1; };
    const choose = (i) => {
      chosen = i;
      items().forEach((item, n) => item.setAttribute("aria-selected", String(n === i)));
      if (i >= 0) { input.setAttribute("aria-activedescendant", items()[i].id); items()[i].scrollIntoView({ block: "nearest" }); }
    };
    const go = (item) => { close(); input.blur(); location.href = root + item.dataset.href; };
    const show = async () => {
      const query = input.value.trim();
      if (query.length < 2) { close(); status.textContent = ""; return; }
      const entries = await loadIndex();
      if (query !== input.value.trim()) return;
      const words = query.toLowerCase().split(/\s+/), found = find(entries, query);
      list.replaceChildren(...found.map(([entry, text], i) => {
        const item = document.createElement("li");
        Object.assign(item, { id: `found-${i}` });
        item.setAttribute("role", "option"); item.setAttribute("aria-selected", "false"); item.dataset.href = entry.href;
        const where = document.createElement("small");
        where.textContent = entry.section ? entry.title : "";
        item.append(marked(document.createElement("b"), entry.section || entry.title, words), where, marked(document.createElement("small"), text, words));
        item.addEventListener("mousedown", (event) => { event.preventDefault(); go(item); });
        return item;
      }));
      status.textContent = found.length ? `${found.length} found` : `Nothing found for ${query}`;
      list.hidden = !found.length; input.setAttribute("aria-expanded", String(found.length > 0)); choose(found.length ? 0 : -1);
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
