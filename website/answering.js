// The model of an app answers in its page, in place of a picture of the app
import { show } from "./answering/answering.js";

for (const place of document.querySelectorAll(".answering")) {
  const picture = [...place.childNodes];
  show(place, { folder: place.dataset.folder }).then(() => picture.forEach((node) => node.remove()));
}
