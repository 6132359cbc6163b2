// A class: its name, and the photos that were given to it
import { button, count, make, text } from "./parts.js";

const MOST_PHOTOS = 50;

export const classCard = ({ look, changed, problem, removed, known }) => {
  const photos = [], thumbs = make("ul", { className: "thumbs" }), note = text("", "soft");
  const input = make("input", { type: "text", maxLength: 40, autocomplete: "off", oninput: () => changed(300) });

  // ---- photos
  const drop = (photo) => {
    photos.splice(photos.indexOf(photo), 1);
    URL.revokeObjectURL(photo.url);
    photo.item.remove();
    changed();
  };
  const tile = (file) => {
    const photo = { name: file.name, file, features: null, url: "" };
    const remove = button("×", () => {
      const beside = photo.item.nextElementSibling ?? photo.item.previousElementSibling;
      drop(photo);
      (beside?.querySelector("button") ?? picker).focus();
    }, "remove");
    photo.item = make("li", {}, make("span", { className: "coming", textContent: "…" }), remove);
    photos.push(photo);
    thumbs.append(photo.item);
    return photo;
  };
  const seen = (photo, { features, pictures }) => {
    photo.features = features;
    photo.url = URL.createObjectURL(new Blob([pictures[0]], { type: "image/jpeg" }));
    photo.item.firstChild.replaceWith(make("img", { src: photo.url, alt: photo.name, title: photo.name }));
    changed();
  };
  const give = async (files) => {
    problem();
    if (!files.length) problem("What was dropped", "it isn't a file; save the picture first, then choose it.");
    const room = MOST_PHOTOS - photos.length;
    if (files.length > room) problem(count(files.length, "file"), `a class takes at most ${MOST_PHOTOS} photos, so only ${room} of them were taken.`);
    const given = files.slice(0, room).map(tile);
    changed();
    for (const photo of given) { // One after the other, so that few are in memory
      const bytes = await photo.file.arrayBuffer().catch(() => null);
      const found = bytes ? await look(bytes) : { problem: "it can't be read; is it a folder?" };
      photo.file = null;
      if (!photos.includes(photo)) continue;
      const there = found.features && known(found.features);
      if (there) found.problem = `the same photo is in ${there} already.`; // Judged without it, the model would have seen it all the same
      if (!found.problem) { seen(photo, found); continue; }
      problem(photo.name, found.problem);
      drop(photo);
    }
  };

  // ---- ways to give them
  const files = (more) => make("input", { type: "file", accept: "image/*", className: "spoken-input", ...more, onchange: ({ target }) => {
    give([...target.files]);
    target.value = "";
  } });
  const picker = files({ multiple: true }), camera = files({ attributes: { capture: "environment" } });
  const shoot = matchMedia("(pointer: coarse)").matches ? make("label", { className: "button" }, camera, "Take a photo") : null;
  const remove = button("Remove", () => {
    photos.forEach(({ url }) => URL.revokeObjectURL(url));
    el.remove();
    removed(card);
  });
  const el = make("section", { className: "panel class" },
    make("div", { className: "naming" }, make("label", {}, make("span", { textContent: "Name" }), input), remove),
    make("div", { className: "giving" }, make("label", { className: "button" }, picker, "Choose photos"), shoot,
      make("span", { className: "soft", textContent: "or drop or paste" })),
    thumbs, note);
  el.ondragover = (event) => { event.preventDefault(); el.classList.add("over"); };
  el.ondragleave = () => el.classList.remove("over");
  el.ondrop = (event) => { event.preventDefault(); el.classList.remove("over"); give([...event.dataTransfer.files]); };
  el.onpaste = (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    give([...event.clipboardData.files]);
  };

  // ---- what is written on it
  const describe = (name, placeholder, word, few) => {
    const start = word ? `Starts from ImageNet's words for “${word}”.`
      : input.value.trim() ? "No word is known for it, so it starts from the mean of all of ImageNet's words."
        : "Give it a name; if it is one of ImageNet's words, it starts from there.";
    note.textContent = `${count(photos.length, "photo")}. ${start}`;
    input.placeholder = placeholder;
    el.setAttribute("aria-label", `Class ${name}`);
    remove.hidden = few;
    remove.setAttribute("aria-label", `Remove the class ${name}`);
    photos.forEach(({ item, name: file }, k) => item.lastChild.setAttribute("aria-label", `Remove photo ${k + 1} of ${name}, ${file}`));
  };
  const card = { el, input, photos, give, describe };
  return card;
};
