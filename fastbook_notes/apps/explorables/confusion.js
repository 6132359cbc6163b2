// The rows and columns of a confusion matrix, counted from one answer for each picture
const counted = (get) => {
  const n = get("names").length, matrix = Array.from({ length: n }, () => Array(n).fill(0)), predicted = get("predicted");
  get("true").forEach((row, i) => { matrix[row][predicted[i]]++; });
  return matrix;
};
export const compute = (get) => {
  const matrix = counted(get), truth = get("true"), predicted = get("predicted"), certainty = get("certainty");
  const mean = (found) => (found.length ? found.reduce((a, b) => a + b) / found.length : 0);
  return {
    of_row: matrix[get("row")], of_column: matrix.map((row) => row[get("column")]),
    means: [mean(certainty.filter((_, i) => truth[i] === predicted[i])), mean(certainty.filter((_, i) => truth[i] !== predicted[i]))],
    certainty: certainty.filter((_, i) => truth[i] === get("row") && predicted[i] === get("column")),
  };
};

export default liveFigure("confusion", compute, (model) => {
  const get = (name) => model.get(name), all = get("names"), names = all.map((name) => name.replaceAll("_", " ")), matrix = counted(get), every = names.map((_, i) => i);
  const missed = every.filter((i) => every.some((j) => j !== i && (matrix[i][j] || matrix[j][i])));
  const pairs = every.flatMap((i) => every.filter((j) => j !== i && matrix[i][j]).map((j) => [i, j])).sort((a, b) => matrix[b[0]][b[1]] - matrix[a[0]][a[1]]);
  const kinds = () => (get("mistakes_only") && missed.length ? missed : every);
  const choose = (row, column) => { setting(model, "row", row); setting(model, "column", column); };
  const size = 400, edge = 22, grid = svg("svg", { viewBox: `0 0 ${size + edge} ${size + edge}`, class: "plot draggable", role: "img", tabindex: 0 });
  grid.onpointerdown = grid.onpointermove = (event) => { // The cell with pictures that is nearest, since cells are small
    if (event.type === "pointerdown") grid.setPointerCapture(event.pointerId); else if (!grid.hasPointerCapture(event.pointerId)) return;
    const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(grid.getScreenCTM().inverse()), shown = kinds(), cell = size / shown.length;
    const x = (spot.x - edge) / cell - 0.5, y = spot.y / cell - 0.5;
    const near = shown.flatMap((row, i) => shown.map((column, j) => [Math.hypot(i - y, j - x), row, column])).filter(([, row, column]) => matrix[row][column]).sort((a, b) => a[0] - b[0])[0];
    if (near) choose(near[1], near[2]);
  };
  grid.onkeydown = (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!way) return;
    event.preventDefault();
    const shown = kinds(), step = (at, by) => shown[Math.min(shown.length - 1, Math.max(0, shown.indexOf(at) + by))];
    choose(step(get("row"), way[0]), step(get("column"), way[1]));
  };
  const picker = (name, label) => {
    const select = make("select", { id: numbered(name), onchange: () => setting(model, name, +select.value) }, ...names.map((text, i) => make("option", { value: i, textContent: text })));
    return [make("div", {}, make("label", { htmlFor: select.id, textContent: label }), make("br"), select), () => { select.value = get(name); }];
  };
  const [rowPicker, showRow] = picker("row", "The picture shows"), [columnPicker, showColumn] = picker("column", "The model said");
  const worst = make("div", { className: "row" }, ...pairs.slice(0, 4).map(([i, j]) => button(`${names[i]} → ${names[j]} (${matrix[i][j]})`, () => choose(i, j))));
  const heading = make("p", { style: { fontWeight: 650, margin: ".6rem 0 .3rem" } }), gallery = make("ul", { className: "gallery", style: { listStyle: "none", display: "flex", flexWrap: "wrap", gap: ".6rem", margin: 0, padding: 0 } });
  const url = URL.createObjectURL(new Blob([asBytes(get("sheet"))], { type: "image/webp" })), shown = get("shown"), rows = Math.ceil(shown.length / 12);
  const thumb = (i, words) => {
    const at = shown.indexOf(i), where = { backgroundImage: `url(${url})`, backgroundSize: "1200% auto", backgroundPosition: `${100 * (at % 12) / 11}% ${rows > 1 ? 100 * Math.floor(at / 12) / (rows - 1) : 0}%` };
    return make("li", { style: { margin: 0, width: "6rem" } }, make("div", { style: { width: "6rem", height: "6rem", borderRadius: ".3rem", ...where }, attributes: { role: "img", "aria-label": words } }), `${percent(get("certainty")[i])} sure`);
  };
  const draw = (row, column) => {
    const shown = kinds(), cell = size / shown.length, i = shown.indexOf(row), j = shown.indexOf(column), most = Math.max(...matrix.flat());
    const square = (a, b, count, x, y) => svg("rect", { class: `bar ${a === b ? "first" : "second"}`, opacity: 0.35 + 0.65 * (a === b ? count / most : Math.min(1, count / 3)), x: edge + x * cell + 0.5, y: y * cell + 0.5, width: cell - 1, height: cell - 1 }, svg("title", {}, `${names[a]}, called ${names[b]}: ${count}`));
    grid.replaceChildren(svg("path", { class: "frame", d: `M${edge},0h${size}v${size}h${-size}Z` }),
      ...(i < 0 ? [] : [svg("rect", { fill: "var(--panel)", x: edge, y: i * cell, width: size, height: cell })]), ...(j < 0 ? [] : [svg("rect", { fill: "var(--panel)", x: edge + j * cell, y: 0, width: cell, height: size })]),
      ...shown.flatMap((a, y) => shown.map((b, x) => matrix[a][b] && square(a, b, matrix[a][b], x, y)).filter(Boolean)),
      ...(i < 0 || j < 0 ? [] : [svg("rect", { fill: "none", stroke: "var(--ink)", "stroke-width": 2.5, x: edge + j * cell, y: i * cell, width: cell, height: cell })]),
      svg("text", { class: "label", transform: `translate(15 ${size / 2}) rotate(-90)`, "text-anchor": "middle" }, "what the picture shows"), svg("text", { class: "label", x: edge + size / 2, y: size + 17, "text-anchor": "middle" }, "what the model said"));
  };
  return {
    parts: [make("div", { className: "columns" },
      make("figure", {}, make("figcaption", { textContent: "Right answers on the diagonal (blue), mistakes off it (orange, strongest from 3 pictures on); a stronger blue means more pictures" }), grid, checkbox(model, "mistakes_only", "Only breeds with mistakes")),
      make("div", {}, make("div", { className: "row" }, rowPicker, columnPicker), heading, gallery)),
    ...(pairs.length ? [make("p", { className: "soft", textContent: "The most frequent mistakes" }), worst] : [])],
    show({ of_row, of_column, means }, get) {
      const row = get("row"), column = get("column"), count = of_row[column], total = (counts) => counts.reduce((a, b) => a + b, 0), right = row === column;
      const inside = get("true").map((t, i) => (t === row && get("predicted")[i] === column ? i : -1)).filter((i) => i >= 0), sent = inside.filter((i) => shown.includes(i));
      showRow();
      showColumn();
      draw(row, column);
      grid.setAttribute("aria-label", `Confusion matrix. Chosen: ${names[row]}, called ${names[column]}, ${count} pictures. Arrow keys choose another cell`);
      heading.textContent = right ? `${names[row]}, recognised: ${count}` : `${names[row]}, called ${names[column]}: ${count}`;
      gallery.replaceChildren(...sent.map((i) => thumb(i, `${names[row]}, called ${names[column]}`)),
        ...(sent.length < count ? [make("li", { className: "soft", textContent: `and ${count - sent.length} more` })] : []));
      const said = `Of ${total(of_row)} pictures of ${names[row]}, ${count} ${count === 1 ? "was" : "were"} ${right ? "recognised" : `called ${names[column]}`}. The model said ${names[column]} ${total(of_column)} times, ${of_column[column]} of them rightly.`;
      return `${said} On average over all pictures, the model was ${percent(means[0])} sure of its right answers${pairs.length ? ` and ${percent(means[1])} of its wrong ones` : ""}.`;
    },
  };
});
