// Pictures in the order of their loss, a page at a time. What was decided is kept by file, so it outlives every filter.
const PAGE = 12;

function render({ model, el }) {
  const labels = model.get("labels"), images = new Map(), asked = new Set();
  let page = 0, planned = null;

  const choose = (name, label, options) => {
    const id = numbered(name), select = make("select", { id }, ...options.map(([value, text]) => make("option", { value, textContent: text })));
    select.onchange = () => { page = 0; show(); };
    return { select, el: make("div", {}, make("label", { htmlFor: id, className: "soft" }, label), select) };
  };
  const by = {
    label: choose("class", "Labelled", [["", "anything"], ...labels.map((l) => [l, l])]),
    split: choose("split", "In", [["", "both splits"], ["train", "training"], ["valid", "validation"]]),
    marks: choose("marks", "Marked", [["", "or not"], ["marked", "only marked"], ["open", "not yet"]]),
  };
  const list = make("div", { className: "items" }), said = make("p", { className: "soft", attributes: { role: "status" } });
  const before = make("button", { type: "button", textContent: "Back" }), after = make("button", { type: "button", textContent: "Next" }), place = make("span", { className: "soft" });
  const apply = make("button", { type: "button", className: "main" }), undo = make("button", { type: "button", textContent: "Undo the last" });
  const plan = make("div", { className: "panel plan", hidden: true, tabIndex: -1 }), save = make("a", { className: "button", download: "labels.csv", hidden: true, textContent: "Save the labels as a table" });

  const marks = () => model.get("marks");
  const mark = (file, decision) => {
    const now = { ...marks() };
    if (decision) now[file] = decision; else delete now[file];
    model.set("marks", now);
    model.save_changes();
  };
  const decided = (m) => m.decision === "relabel" ? `relabel as ${m.label}` : m.decision === "remove" ? "set aside" : "keep";
  const visible = () => model.get("rows").filter((row) => (!by.label.select.value || row.label === by.label.select.value) && (!by.split.select.value || row.split === by.split.select.value)
    && (!by.marks.select.value || (row.file in marks()) === (by.marks.select.value === "marked")));

  const item = (row) => {
    const name = numbered("mark"), m = marks()[row.file], image = make("img", { alt: `${row.file}, labelled ${row.label}`, className: "thumb" });
    if (images.has(row.file)) image.src = images.get(row.file);
    image.dataset.file = row.file;
    const radio = (value, text) => {
      const input = make("input", { type: "radio", name, value, checked: m?.decision === value });
      input.onchange = () => { mark(row.file, value === "relabel" ? { decision: value, label: relabel.value } : { decision: value }); };
      return make("label", { className: "choice" }, input, text);
    };
    const others = labels.filter((l) => l !== row.label);
    const relabel = make("select", { attributes: { "aria-label": `New label of ${row.file}` } }, ...others.map((l) => make("option", { value: l, textContent: l })));
    relabel.value = m?.label ?? (others.includes(row.prediction) ? row.prediction : others[0]);
    relabel.onchange = () => mark(row.file, { decision: "relabel", label: relabel.value });
    const group = make("fieldset", { className: "decisions" }, make("legend", { className: "spoken", textContent: `What to do with ${row.file}` }),
      radio("keep", "Keep"), make("span", { className: "relabel" }, radio("relabel", "Relabel"), relabel), radio("remove", "Set aside"));
    return make("article", { className: `panel item ${m ? "marked" : ""}`, dataset: { file: row.file } }, image,
      make("h3", { textContent: row.file }),
      make("p", { className: "facts" }, "Label ", make("strong", { textContent: row.label }), ", model says ", make("strong", { textContent: row.prediction })),
      make("p", { className: "soft", textContent: `Loss ${row.loss.toFixed(2)}` }), group);
  };
  const show = () => {
    const rows = visible(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
    page = Math.min(page, pages - 1);
    const here = rows.slice(page * PAGE, (page + 1) * PAGE), focused = document.activeElement?.name, value = document.activeElement?.value;
    list.replaceChildren(...here.map(item));
    if (!here.length) list.append(make("p", { textContent: "No picture is left by these filters." }));
    const wanted = here.map((row) => row.file).filter((file) => !images.has(file) && !asked.has(file));
    wanted.forEach((file) => asked.add(file));
    if (wanted.length) model.send({ kind: "thumbs", files: wanted });
    place.textContent = `Page ${page + 1} of ${pages}, ${rows.length} pictures`;
    before.disabled = page === 0;
    after.disabled = page >= pages - 1;
    showMarks();
  };
  const showMarks = () => {
    const n = Object.values(marks()).filter((m) => m.decision !== "keep").length, kept = Object.keys(marks()).length - n;
    apply.textContent = n ? `Review ${n} change${n > 1 ? "s" : ""} …` : "No changes yet";
    apply.disabled = !n;
    undo.disabled = !model.get("undoable");
    for (const article of list.querySelectorAll(".item")) article.classList.toggle("marked", article.dataset.file in marks());
    if (!planned) plan.hidden = true;
    return kept;
  };
  const review = () => {
    planned = Object.entries(marks()).filter(([, m]) => m.decision !== "keep");
    const yes = make("button", { type: "button", className: "main", textContent: `Apply ${planned.length} change${planned.length > 1 ? "s" : ""}` }), no = make("button", { type: "button", textContent: "Not yet" });
    yes.onclick = () => { model.send({ kind: "apply", files: planned.map(([file]) => file) }); planned = null; plan.hidden = true; };
    no.onclick = () => { planned = null; plan.hidden = true; apply.focus(); };
    plan.replaceChildren(make("h3", { textContent: "This will be done" }),
      make("ul", {}, ...planned.map(([file, m]) => make("li", { textContent: `${file}: ${decided(m)}` }))), make("p", { className: "soft", textContent: model.get("effect") }), make("div", { className: "row" }, yes, no));
    plan.hidden = false;
    plan.focus();
  };
  apply.onclick = review;
  undo.onclick = () => model.send({ kind: "undo" });
  before.onclick = () => { page -= 1; show(); };
  after.onclick = () => { page += 1; show(); };
  const offer = () => {
    const path = (file) => isFormula(file) ? `./${file}` : file; // The same file, and no formula
    URL.revokeObjectURL(save.href);
    save.href = URL.createObjectURL(new Blob([["file,label,split", ...model.get("rows").map((row) => [path(row.file), row.label, row.split].map(tableField).join(","))].join("\n") + "\n"], { type: "text/csv" }));
    save.hidden = !model.get("rows").length;
  };
  model.on("change:rows", () => { planned = null; offer(); show(); });
  model.on("change:marks change:undoable", showMarks);
  model.on("msg:custom", (content, buffers) => {
    if (content.kind === "said") said.textContent = content.text;
    if (content.kind !== "thumbs") return;
    content.files.forEach((file, i) => {
      const view = asBytes(buffers[i]);
      asked.delete(file);
      if (!view.length) return;
      images.set(file, URL.createObjectURL(new Blob([view], { type: "image/jpeg" })));
      for (const image of list.querySelectorAll("img")) if (image.dataset.file === file) image.src = images.get(file);
    });
    while (images.size > 300) { const [file] = images.keys(); URL.revokeObjectURL(images.get(file)); images.delete(file); }
  });

  el.append(make("div", { className: "notes-app cleaner" }, make("div", { className: "row filters" }, by.label.el, by.split.el, by.marks.el),
    list, make("div", { className: "row" }, before, place, after), make("div", { className: "row acts" }, apply, undo, save), plan, said, make("p", { className: "soft about", textContent: model.get("about") })));
  offer();
  show();
}
export default { render };
