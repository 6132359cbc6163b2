// Pictures go to Python as messages and come back as messages: nothing of them is in the widget's state
const MOST_FILES = 20, MOST_BYTES = 8e6, MOST_SHOWN = 24, LONGEST_SIDE = 2048;

// A large picture, made smaller before it is sent
const smaller = async (file) => {
  const picture = await createImageBitmap(file), scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = make("canvas", { width: Math.max(1, Math.round(scale * picture.width)), height: Math.max(1, Math.round(scale * picture.height)) });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.95); });
};

function render({ model, el }) {
  const words = model.get("words"), waiting = new Map(), made = [];
  let next = 0, rounds = 0, table = null, looked = null, slider = null;

  const picker = make("input", { type: "file", multiple: true, accept: "image/*", className: "spoken-input" });
  const pick = make("label", { className: "button main" }, picker, words.pick);
  const camera = make("input", { type: "file", accept: "image/*", className: "spoken-input", attributes: { capture: "environment" } });
  const shoot = matchMedia("(pointer: coarse)").matches ? make("label", { className: "button" }, camera, "Take a photo") : null;
  const limits = words.limits ?? "Large ones are made smaller first. They stay in memory and are forgotten after the answer.", mostBytes = words.mostBytes ?? MOST_BYTES;
  const drop = make("div", { className: "drop panel" }, pick, shoot, make("span", { className: "soft", textContent: "or drop or paste them here" }),
    make("span", { className: "soft limits", textContent: `At most ${MOST_FILES} at a time. ${limits}` }));
  const hint = make("p", { className: "soft hint", textContent: "Or try one of these:" }), samples = make("div", { className: "samples" });
  const problems = make("div", { className: "problems", attributes: { role: "alert" } });
  const state = make("p", { className: "state", attributes: { role: "status" }, textContent: "Starting …" });
  const results = make("div", { className: "answers" }), about = make("p", { className: "soft about" }), controls = make("div", { className: "controls", hidden: true });
  const clear = button("Clear the answers"), save = button("Save as a table"), judged = make("p", { className: "counted soft", attributes: { role: "status" } });
  const kept = make("div", { className: "kept", hidden: true }, make("div", { className: "row" }, save, clear), judged, make("p", { className: "soft", textContent: `The last ${MOST_SHOWN} answers are shown; the table has all, with what you said. A reload forgets them.` }));

  const say = (text) => { state.textContent = text; };
  const problem = (name, text) => { problems.append(make("p", { className: "problem" }, make("strong", { textContent: name }), `: ${text}`)); while (problems.children.length > MOST_FILES + 1) problems.firstChild.remove(); };
  const asImage = (buffer, type, properties) => make("img", { src: URL.createObjectURL(new Blob([buffer], { type })), ...properties });
  const drawn = (buffer, type, properties) => { // A browser keeps what it has decoded for an image long after the image; of a canvas, nothing
    const canvas = make("canvas", { width: 0, height: 0, ...properties });
    canvas.shown = createImageBitmap(new Blob([buffer], { type })).then((picture) => {
      Object.assign(canvas, { width: picture.width, height: picture.height }).getContext("2d").drawImage(picture, 0, 0);
      picture.close();
    });
    return canvas;
  };
  const forget = (card) => {
    for (const image of card.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    for (const canvas of card.querySelectorAll("canvas")) Object.assign(canvas, { width: 0, height: 0 });
    card.remove();
  };
  const busy = () => { if (waiting.size) say(`Looking at ${waiting.size === 1 ? "a picture" : `${waiting.size} pictures`} …`); };

  // ---- what is asked
  const ask = (content, name, buffers) => {
    const id = next++;
    waiting.set(id, name);
    model.send({ ...content, id, name }, undefined, buffers);
    busy();
  };
  const upload = async (files) => {
    problems.replaceChildren();
    if (!files.length) { problem("What was dropped", "it isn't a file; save the picture first, then choose it."); return; }
    if (files.length > MOST_FILES) problem(`${files.length} files`, `at most ${MOST_FILES} are taken at a time, so the last ${files.length - MOST_FILES} were left out; give it those next.`);
    const round = rounds; // Clearing the answers drops what still waits
    for (const file of files.slice(0, MOST_FILES)) {
      if (round !== rounds) return;
      let sent = file;
      if (file.size > mostBytes) {
        try { sent = await smaller(file); } catch {
          problem(file.name, `it has ${(file.size / 1e6).toFixed(0)} MB, and more than ${mostBytes / 1e6} are not taken; save it smaller.`);
          continue;
        }
      }
      try { ask({ kind: "picture" }, file.name, [await sent.arrayBuffer()]); } catch { problem(file.name, "it can't be read; is it a folder?"); }
    }
  };
  for (const input of [picker, camera]) input.onchange = async () => { if (input.files.length) await upload([...input.files]); input.value = ""; };
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); if (starting()) say("Still starting; drop it again in a moment."); else upload([...event.dataTransfer.files]); };
  const starting = () => el.querySelector(".pickers").disabled;
  const paste = (event) => { // Unless it is meant for something else on the page
    const files = [...event.clipboardData?.files ?? []], here = document.activeElement;
    if (!files.length || starting() || (here && here !== document.body && !el.contains(here))) return;
    event.preventDefault();
    upload(files);
  };
  document.addEventListener("paste", paste);
  clear.onclick = () => { rounds += 1; waiting.clear(); made.splice(0).forEach(forget); answered.length = 0; kept.hidden = controls.hidden = true; problems.replaceChildren(); say("Ready."); };

  // ---- what becomes of the answers: they can be corrected, counted and saved
  const answered = []; // { name, pairs, neither, right }, the oldest first; also of those whose cards have gone
  const likeliest = ({ pairs }) => pairs.reduce((a, b) => b[1] > a[1] ? b : a)[0];
  const given = (a) => table ? a.pairs.filter(([, share]) => share > threshold()).map(([label]) => label).join(" ") : likeliest(a);
  const count = () => {
    const told = answered.filter((a) => a.right), right = told.filter((a) => a.right === (table ? "right" : a.neither ? "something else" : likeliest(a))).length;
    judged.textContent = told.length ? `You have judged ${told.length} of ${answered.length}: ${right} right (${Math.round(100 * right / told.length)}%).` : "To count the errors, say beside each answer what is right.";
  };
  const correction = (answer) => {
    const id = numbered("right"), labels = table ? ["right", "wrong"] : [...answer.pairs.map(([label]) => label), "something else"];
    const select = make("select", { id, onchange: () => { answer.right = select.value; count(); } }, make("option", { value: "", textContent: "not said" }), ...labels.map((label) => make("option", { value: label, textContent: label })));
    return make("p", { className: "correction" }, make("label", { htmlFor: id, textContent: table ? "This answer is " : "It is really " }), select);
  };
  const asTable = () => {
    const labels = [...new Set(answered.flatMap(({ pairs }) => pairs.map(([label]) => label)))];
    const rows = answered.map((a) => [a.name, given(a), a.neither ?? "", a.right, ...labels.map((label) => a.pairs.find(([l]) => l === label)?.[1].toFixed(4) ?? "")]);
    return [["file", "answer", "neither", "corrected", ...labels], ...rows].map((row) => row.map(tableField).join(",")).join("\r\n") + "\r\n";
  };
  save.onclick = () => {
    const link = make("a", { href: URL.createObjectURL(new Blob(["\ufeff", asTable()], { type: "text/csv" })), download: "answers.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1e4);
  };

  // ---- what is answered
  const threshold = () => Number(slider?.value ?? 0.5);
  const accept = (card) => {
    const accepted = [];
    for (const row of card.querySelectorAll(".bars li")) {
      const yes = Number(row.dataset.share) > threshold();
      row.classList.toggle("best", yes);
      row.querySelector(".mark").textContent = yes ? "✓" : "";
      if (yes) accepted.push(row.dataset.label);
    }
    card.querySelector("h3").textContent = accepted.length ? accepted.join(", ") : "nothing";
    card.querySelector(".cut").style.left = `${100 * threshold()}%`;
  };
  const card = (name, { headline, neither, bars: pairs, note, heat: hot, beside = [] }, [seen, ...rest]) => {
    const answer = { name, pairs, neither, right: "" };
    answered.push(answer);
    const heat = hot ? rest.shift() : null, list = bars(pairs);
    pairs.forEach(([label, share], i) => {
      const row = list.children[i];
      Object.assign(row.dataset, { label, share });
      if (table) row.querySelector(".number").prepend(make("span", { className: "mark", attributes: { "aria-hidden": "true" } }));
      if (beside[i]) row.append(make("span", { className: "beside" }, ...Array.from({ length: beside[i] }, (_, k) => asImage(rest.shift(), "image/jpeg", { alt: k ? "" : `Pictures of ${label} in the training data` }))));
    });
    return make("article", { className: "panel answer" },
      make("div", { className: "seen" }, drawn(seen, "image/jpeg", { attributes: { role: "img", "aria-label": `The picture ${name}, as the model sees it` } }), heat ? drawn(heat, "image/png", { className: "heat", hidden: !looked?.checked, attributes: { "aria-hidden": "true" } }) : null),
      make("div", { className: "told" }, make("h3", { textContent: neither || headline }), neither ? make("p", { className: "soft", textContent: `If it had to choose: ${headline}.` }) : null, make("p", { className: "soft name", textContent: name }), note ? make("p", { className: "soft note", textContent: note }) : null,
        table ? make("div", { className: "scale" }, list, make("div", { className: "cuts", attributes: { "aria-hidden": "true" } }, make("span", { className: "cut" }))) : list, correction(answer)));
  };
  const showTable = () => {
    const row = table.reduce((a, b) => Math.abs(b[0] - threshold()) < Math.abs(a[0] - threshold()) ? b : a);
    const [precision, recall] = row.slice(1).map((v) => v === null ? "not defined" : percent(v));
    slider.nextElementSibling.textContent = threshold().toFixed(2);
    controls.querySelector(".measures").textContent = row[2] === null ? "The precision and recall of this model were not measured." : `On validation data at this threshold, ${precision} of the labels that were named were right (precision), and ${recall} of those that were there were named (recall).`;
    made.forEach(accept);
  };
  const showControls = (content) => {
    if (content.looked) {
      looked = make("input", { type: "checkbox", checked: true });
      looked.onchange = () => el.querySelectorAll(".heat").forEach((heat) => { heat.hidden = !looked.checked; });
      controls.append(make("label", { className: "choice" }, looked, "Show where the model looked"));
    }
    if (content.table) {
      table = content.table;
      const id = numbered("threshold");
      slider = make("input", { type: "range", id, min: 0.01, max: 0.99, step: 0.01, value: content.threshold });
      slider.oninput = showTable;
      controls.append(make("div", { className: "panel" }, make("div", { className: "slider" }, make("label", { htmlFor: id, textContent: "Threshold" }), slider, make("output", { htmlFor: id })), make("p", { className: "measures soft", attributes: { role: "status" } })));
      showTable();
    }
  };
  model.on("msg:custom", (content, buffers) => {
    const views = (buffers ?? []).map(asBytes), name = waiting.get(content.id);
    if (content.kind === "state") say(content.text);
    if (content.kind === "failed") { say(""); problem(words.app, content.text); }
    if (content.kind === "ready" && !samples.children.length) {
      about.textContent = content.about;
      hint.hidden = samples.hidden = !content.samples.length;
      showControls(content);
      content.samples.forEach((title, i) => {
        const sample = make("button", { type: "button", className: "sample", attributes: { "aria-label": `Use the sample ${title}` } }, asImage(views[i], "image/jpeg", { alt: "" }));
        sample.onclick = () => { problems.replaceChildren(); ask({ kind: "sample", index: i }, title); };
        samples.append(sample);
      });
      el.querySelector(".pickers").disabled = false;
      if (waiting.size) busy(); else say("Ready.");
    }
    if (!waiting.has(content.id)) return;
    waiting.delete(content.id);
    if (content.kind === "problem") problem(name, content.text);
    if (content.kind === "answer") {
      const answer = card(name, content, views);
      results.prepend(answer);
      made.unshift(answer);
      if (table) accept(answer);
      made.splice(MOST_SHOWN).forEach(forget);
      kept.hidden = controls.hidden = false;
      count();
      if (!waiting.size) answer.querySelector("canvas").shown.then(() => answer.scrollIntoView({ block: "nearest" }));
    }
    if (waiting.size) busy();
    else say(content.kind === "answer" ? `${name}: ${made[0].querySelector("h3").textContent}` : "Ready.");
  });

  el.append(make("div", { className: "notes-app picture-app" },
    make("fieldset", { className: "pickers", disabled: true }, drop, hint, samples),
    problems, state, controls, kept, results, about));
  model.send({ kind: "hello" });
  return () => document.removeEventListener("paste", paste);
}
export default { render };
