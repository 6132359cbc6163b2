// Questions that are judged where they are read: in JupyterLab, Voila or a page without Python
const written = (text) => { // `code` between backticks, everything else as it is
  const line = document.createElement("span");
  text.split("`").forEach((part, i) => line.append(i % 2 ? Object.assign(document.createElement("code"), { textContent: part }) : part));
  return line;
};
const section = (title) => { // Its heading, where the quiz stands in the notebook's own page
  const told = (heading) => heading.firstChild?.textContent.replaceAll("\u2019", "'").trim();
  const place = [...document.querySelectorAll("h2, h3")].find((heading) => told(heading) === title);
  const id = place && (place.id || place.dataset.anchorId);
  return id ? make("a", { href: `#${id}`, textContent: title }) : title;
};
const remembered = (key) => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
const remember = (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* A private window forgets */ } };

function render({ model, el }) {
  const key = `fastbook-notes.quiz.${model.get("name")}`, questions = model.get("questions");
  // What was answered is kept by the question's own digest, so a question that was rewritten is a new one
  const known = Object.fromEntries(questions.map((question) => [question.id, question]));
  const valid = (all) => Object.fromEntries(Object.entries(all).filter(([id, choice]) => known[id]?.choices[choice]));
  let answers = valid(remembered(key) ?? model.get("answers"));
  const cards = [];

  const score = make("p", { className: "score", attributes: { role: "status" } });
  const again = make("button", { type: "button", textContent: "Start again" });
  const count = () => {
    const right = questions.filter(({ id, choices }) => id in answers && choices[answers[id]].right).length;
    score.textContent = Object.keys(answers).length ? `${right} of ${questions.length} right` : `${questions.length} questions`;
    again.hidden = !Object.keys(answers).length;
  };
  const keep = () => {
    remember(key, answers);
    model.set("answers", { ...answers });
    model.save_changes();
    count();
  };

  const card = (question, number) => {
    const group = numbered("quiz"), verdict = make("div", { className: "verdict", attributes: { role: "status" } });
    const choices = question.choices.map((choice, i) => {
      const input = make("input", { type: "radio", name: group, value: i });
      const why = make("p", { className: "why", hidden: true }, written(choice.why));
      return { ...choice, input, why, row: make("div", { className: "answer" }, make("label", { className: "choice" }, input, written(choice.text)), why) };
    });
    const check = make("button", { type: "button", textContent: "Check", disabled: true });
    const judge = (i) => {
      const { right } = choices[i];
      verdict.textContent = right ? "Right." : "Not that one; the reason is below it. Try again.";
      choices.forEach((choice, n) => { // A right answer opens every reason, a wrong one its own
        choice.why.hidden = !(right || n === i);
        choice.row.classList.toggle("right", right && choice.right);
        choice.row.classList.toggle("wrong", !right && n === i);
      });
      check.disabled = true;
    };
    choices.forEach(({ input }) => { input.onchange = () => { check.disabled = false; }; });
    check.onclick = () => {
      const i = choices.findIndex(({ input }) => input.checked);
      if (i < 0) return;
      answers[question.id] = i;
      judge(i);
      keep();
    };
    const forget = () => {
      choices.forEach(({ input, why, row }) => { input.checked = false; why.hidden = true; row.classList.remove("right", "wrong"); });
      verdict.textContent = "";
      check.disabled = true;
    };
    const show = () => {
      forget();
      if (!(question.id in answers)) return;
      choices[answers[question.id]].input.checked = true;
      judge(answers[question.id]);
    };
    show();
    const confirmed = question.confirmed_in ? [make("p", { className: "soft" }, "A prediction: the section “", section(question.confirmed_in), "” shows what happens.")] : [];
    cards.push(show);
    return make("fieldset", { className: "panel question" }, make("legend", {}, make("strong", { textContent: `${number}. ` }), written(question.text)),
      ...confirmed, ...choices.map(({ row }) => row), make("div", { className: "row" }, check, verdict));
  };

  again.onclick = () => {
    answers = {};
    cards.forEach((show) => show());
    keep();
    el.querySelector("input")?.focus();
  };
  const app = make("div", { className: "notes-app quiz" }, ...questions.map((question, i) => card(question, i + 1)), make("div", { className: "row" }, score, again));
  count();
  el.append(app);
  const told = () => { // Python has set the answers
    const given = valid(model.get("answers"));
    if (JSON.stringify(given) === JSON.stringify(answers)) return;
    answers = given;
    cards.forEach((show) => show());
    remember(key, answers);
    count();
  };
  if (Object.keys(answers).length) { model.set("answers", { ...answers }); model.save_changes(); }
  model.on("change:answers", told);
  return () => model.off("change:answers", told);
}

export default { render };
