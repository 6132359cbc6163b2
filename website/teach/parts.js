// What the parts of the page Teach it yourself share
export const make = (tag, properties = {}, ...children) => {
  const { attributes = {}, ...rest } = properties, made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter(Boolean));
  return made;
};
export const text = (textContent, className = "") => make("p", { textContent, className });
export const button = (textContent, onclick, className = "") => make("button", { type: "button", textContent, onclick, className });
export const percent = (share) => `${Math.round(100 * share)}%`;
export const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;
