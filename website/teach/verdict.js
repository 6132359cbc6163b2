// What a taught model is worth: counts, and the photos that it doubts most
import { count, make, percent, text } from "./parts.js";

const DOUBTFUL = 4;

const best = ({ shares }) => shares.indexOf(Math.max(...shares));
export const verdict = (
  { names, photos }, // What was learned; a photo has its `label`
  judged, // From `judge`
) => { // How many could be judged, the share of those that are right, and what is shown of it
  const seen = photos.map((photo, i) => ({ ...photo, shares: judged[i] })).filter(({ shares }) => shares);
  const right = seen.filter((photo) => best(photo) === photo.label).length;
  const row = (name, i) => make("tr", {}, make("th", { textContent: name, scope: "row" }), ...names.map((_, k) => {
    const n = seen.filter((photo) => photo.label === i && best(photo) === k).length;
    return make("td", { textContent: n, className: i === k ? "same" : n ? "other" : "" });
  }));
  const table = make("table", { className: "judged" }, make("caption", { textContent: "Rows: what you said. Columns: what it said." }),
    make("thead", {}, make("tr", {}, make("td"), ...names.map((name) => make("th", { textContent: name, scope: "col" })))),
    make("tbody", {}, ...names.map(row)));
  const doubtful = [...seen].sort((a, b) => a.shares[a.label] - b.shares[b.label]).slice(0, DOUBTFUL);
  const said = (photo) => make("span", {}, make("strong", { textContent: `You said ${names[photo.label]}.` }),
    ` It said ${names[best(photo)]}, ${percent(photo.shares[best(photo)])}.`);
  const pictures = doubtful.map((photo) => make("li", {}, make("img", { src: photo.url, alt: photo.name }), said(photo)));
  const own = `Of your own ${count(seen.length, "photo")}, each judged by a model that was trained without it, ${right} are right.`;
  const alone = photos.length - seen.length;
  const unjudged = alone ? `${count(alone, "photo")} of a class that has no other can't be judged. ` : "";
  const few = `So few photos prove little: one more mistake is ${percent(1 / seen.length)} of them. `;
  const kind = "Photos that resemble each other, taken in one room or one after the other, make the model look better than it is.";
  const shown = [make("h2", { textContent: "3. How good is it?" }), text(own), text(unjudged + few + kind, "soft"), table,
    make("h3", { textContent: "The most doubtful of them" }), make("ul", { className: "doubtful" }, ...pictures)];
  return { n: seen.length, share: right / seen.length, shown };
};
