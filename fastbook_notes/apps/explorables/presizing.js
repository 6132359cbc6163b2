// For each pixel of the result, where fastai's Rotate and Zoom look for it: from -1 to 1 across the square
export const compute = (get) => {
  const n = get("size"), turn = get("angle") * Math.PI / 180, atOnce = get("way") !== "one by one";
  const c = Math.cos(turn), s = Math.sin(turn), reach = atOnce ? get("zoom") : 1;
  let blank = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    const x = (2 * j + 1) / n - 1, y = (2 * i + 1) / n - 1;
    blank += Math.abs(x * c + y * s) > reach || Math.abs(y * c - x * s) > reach;
  }
  return { blank: blank / n ** 2, pixels: (get("way") === "presized" ? get("presize") : n) / n / get("zoom"), times: atOnce ? 1 : 2 };
};

// The mean of the four pixels that are nearest, each weighed by how near it is; black outside: `F.grid_sample`
const moved = ({ data, width }, n, turn, zoom) => {
  const made = new ImageData(n, n), c = Math.cos(turn) / zoom, s = Math.sin(turn) / zoom;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    const x = (2 * j + 1) / n - 1, y = (2 * i + 1) / n - 1, at = 4 * (i * n + j);
    const u = ((x * c + y * s + 1) * width - 1) / 2, v = ((y * c - x * s + 1) * width - 1) / 2, a = Math.floor(u), b = Math.floor(v);
    for (const [p, q] of [[a, b], [a + 1, b], [a, b + 1], [a + 1, b + 1]]) {
      if (p < 0 || q < 0 || p >= width || q >= width) continue;
      const share = (1 - Math.abs(u - p)) * (1 - Math.abs(v - q)), from = 4 * (q * width + p);
      for (let k = 0; k < 3; k++) made.data[at + k] += share * data[from + k];
    }
    made.data[at + 3] = 255;
  }
  return made;
};

export default liveFigure("presizing", compute, (model) => {
  const n = model.get("size"), large = model.get("presize"), url = URL.createObjectURL(new Blob([asBytes(model.get("picture"))], { type: "image/jpeg" }));
  const frame = svg("path", { class: "line second" }), kept = svg("path", { class: "line soft" }), handles = [0, 1, 2, 3].map(() => svg("circle", { class: "dot second", r: 0.07 }));
  const el = svg("svg", { viewBox: "-1.5 -1.5 3 3", class: "plot draggable", role: "img" }, svg("image", { href: url, x: -1, y: -1, width: 2, height: 2 }), kept, frame, ...handles);
  const canvas = make("canvas", { className: "pixels", attributes: { role: "img" }, style: { width: "100%", maxWidth: "24rem", aspectRatio: "1" } });
  for (const shape of [frame, kept, ...handles]) shape.style.strokeWidth = 0.025;
  kept.style.strokeDasharray = "0.09 0.06";
  let squares = null;
  const picture = Object.assign(new Image(), { src: url });
  const ready = picture.decode().then(() => {
    squares = Object.fromEntries([n, large].map((side) => {
      const context = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d");
      Object.assign(context, { imageSmoothingQuality: "high" }).drawImage(picture, 0, 0, side, side);
      return [side, context.getImageData(0, 0, side, side)];
    }));
  });
  const drag = (event) => { // A corner of the frame goes where the pointer is
    const { x: u, y: v } = new DOMPoint(event.clientX, event.clientY).matrixTransform(el.getScreenCTM().inverse());
    const angle = -Math.atan2(v, u) * 180 / Math.PI + 45;
    setting(model, "angle", Math.round(angle - 90 * Math.round(angle / 90)));
    setting(model, "zoom", Math.min(2, Math.max(1, Math.SQRT2 / Math.hypot(u, v))));
  };
  el.onpointerdown = (event) => { el.setPointerCapture(event.pointerId); drag(event); };
  el.onpointermove = (event) => { if (el.hasPointerCapture(event.pointerId)) drag(event); };
  const closed = (points) => `M${points.map((p) => p.join()).join("L")}Z`;
  const paintSquare = () => {
    const turn = model.get("angle") * Math.PI / 180, zoom = model.get("zoom"), way = model.get("way"), square = squares[way === "presized" ? large : n];
    const made = way === "one by one" ? moved(moved(square, n, 0, zoom), n, turn, 1) : moved(square, n, turn, zoom);
    Object.assign(canvas, { width: n, height: n }).getContext("2d").putImageData(made, 0, 0);
  };
  const names = { "one by one": "one by one, small square", "at once": "at once, small square", presized: "presized: at once, larger square" };
  return {
    parts: [make("div", { className: "columns" },
      make("figure", {}, make("figcaption", { textContent: "The picture, and the frame that is cut from it: drag a corner" }), el),
      make("figure", {}, make("figcaption", { textContent: `What the model gets, ${n} by ${n} pixels` }), canvas)),
    choices(model, "way", "Enlarge and rotate", names),
    slider(model, "angle", "Rotate by", { step: 1, show: (v) => `${minus(v.toFixed(0))}°` }), slider(model, "zoom", "Enlarge by", { step: 0.01, show: (v) => `${v.toFixed(2)}×` })],
    show({ blank, pixels, times }, get) {
      const turn = get("angle") * Math.PI / 180, zoom = get("zoom"), c = Math.cos(turn) / zoom, s = Math.sin(turn) / zoom;
      const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]], seen = corners.map(([x, y]) => [x * c + y * s, y * c - x * s]);
      frame.setAttribute("d", closed(seen));
      kept.setAttribute("d", times > 1 ? closed(corners.map(([x, y]) => [x / zoom, y / zoom])) : "");
      handles.forEach((handle, i) => { handle.setAttribute("cx", seen[i][0]); handle.setAttribute("cy", seen[i][1]); });
      if (squares) paintSquare(); else ready.then(paintSquare);
      const empty = blank ? `${percent(blank)} of the square is blank` : "nothing is blank";
      el.setAttribute("aria-label", `The picture with a frame turned by ${get("angle").toFixed(0)} degrees and ${(100 / zoom).toFixed(0)}% as wide as the picture`);
      canvas.setAttribute("aria-label", `The result, in which ${empty}`);
      const corner = times > 1 && zoom > 1 && blank ? " Enlarging first throws away what lies outside the dashed square, so the rotation has nothing for the corners." : "";
      const enough = pixels < 1 ? "too few for a sharp picture" : "enough for a sharp picture";
      const sharp = `The frame is ${(n * pixels).toFixed(0)} pixels of its square wide, ${pixels.toFixed(2)} for each of the ${n} that the model gets: ${enough}. Each was computed ${times > 1 ? "twice, which blurs it once more" : "once"}.`;
      return `${empty[0].toUpperCase()}${empty.slice(1)}.${corner} ${sharp}`;
    },
  };
});
