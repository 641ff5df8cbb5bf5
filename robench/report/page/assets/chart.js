// Draws curves as an SVG picture, with a checkbox for each curve and a table of the same numbers.
//
// curves: [{ attack, points: [[x, y], ...] }]; a stepped curve keeps its value until the next point.

const STARTING = 5; // number of curves drawn at first: those with the lowest last value
const MARGIN = { left: 44, right: 26, top: 10, bottom: 38 };
const HEIGHT = 300;

// at: the values of x in the table's columns; written: formats a value of x as text.
function chart(view) {
  const { title, curves, stepped, at, written } = view;
  const ranked = [...curves].sort((a, b) => end(a) - end(b));
  const shown = new Set(ranked.slice(0, STARTING));
  const picture = el("div", { class: "picture" });
  const draw = () => {
    const width = Math.max(280, Math.min(820, picture.clientWidth || 640));
    picture.replaceChildren(plot(view, ranked, shown, width));
  };
  const legend = el("div", { class: "choices" }, ranked.map((curve, place) => legendEntry(curve, place, shown, draw)));
  const rows = ranked.map((curve) => [curve.attack, ...at.map((x) => reading(curve, x, stepped))]);
  const numbers = plainTable(title, ["Attack", ...at.map(written)], rows);
  new ResizeObserver(draw).observe(picture);
  draw();
  return el("figure", {},
    el("figcaption", {}, title),
    picture,
    el("fieldset", {}, el("legend", {}, "Curves"), legend),
    el("details", {}, el("summary", {}, "The same numbers as a table"), scrolling(`${title}, numbers`, numbers)),
  );
}

const end = (curve) => curve.points.at(-1)[1];

// Returns a curve's value at x as text: a dash beyond the last point, and between points if the curve is not stepped.
function reading(curve, x, stepped) {
  if (x > curve.points.at(-1)[0]) return "–";
  const before = curve.points.filter(([each]) => each <= x).at(-1);
  return stepped || before[0] === x ? percent(before[1]) : "–";
}

// Returns the style of a curve. Six colours and four dash patterns give 24 different styles; neighbours differ in both.
const look = (place) => `series-${place % 6} dash-${(place + Math.floor(place / 12)) % 4}`;

function legendEntry(curve, place, shown, draw) {
  const change = (event) => {
    shown[event.target.checked ? "add" : "delete"](curve);
    draw();
  };
  const sample = svg("svg", { class: "sample", viewBox: "0 0 30 10", "aria-hidden": "true" },
    svg("path", { class: `series ${look(place)}`, d: "M0 5H30" }));
  return el("label", {}, el("input", { type: "checkbox", checked: shown.has(curve), change }), sample, curve.attack);
}

function plot({ title, xLabel, stepped, at, written }, curves, shown, width) {
  const drawn = curves.filter((curve) => shown.has(curve));
  const least = (curve) => curve.points.reduce((lowest, [, y]) => Math.min(lowest, y), 100);
  const farthest = Math.max(...curves.map((curve) => curve.points.at(-1)[0]));
  const scale = scales(farthest, Math.min(100, ...drawn.map(least)), stepped ? null : at, width);
  const told = drawn.map((curve) => `${curve.attack} ends at ${percent(end(curve))}%`).join("; ");
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `${title}. ${told}.` },
    ...axes(scale, xLabel, width, written),
    ...drawn.map((curve) =>
      svg("path", { class: `series ${look(curves.indexOf(curve))}`, d: path(curve.points, scale, stepped) },
        svg("title", {}, curve.attack)),
    ),
  );
}

// Makes the scales. Steps and queries lie on log(1 + x), so that x = 0 is shown; if ticks are given, x is linear.
// Accuracy goes from a multiple of ten, at or below the lowest value, to 100.
function scales(most, least, ticks, width) {
  const bend = ticks ? (x) => x : Math.log1p;
  const floor = Math.floor(least / 10) * 10;
  const across = width - MARGIN.left - MARGIN.right, down = HEIGHT - MARGIN.top - MARGIN.bottom;
  return {
    floor,
    x: (value) => MARGIN.left + (across * bend(value)) / bend(most),
    y: (value) => MARGIN.top + (down * (100 - value)) / (100 - floor || 1),
    ticks: ticks ?? [0, 1, 2, 5].concat(decades(most)),
  };
}

function decades(most) {
  const found = [];
  for (let power = 10; power <= most; power *= 10) found.push(...[1, 2, 5].map((each) => each * power));
  return found.filter((each) => each <= most);
}

function axes(scale, xLabel, width, written) {
  const bottom = HEIGHT - MARGIN.bottom;
  const stride = 100 - scale.floor > 50 ? 20 : 10;
  const levels = [];
  for (let level = 100; level >= scale.floor; level -= stride) levels.push(level);
  let last = -Infinity;
  const ticks = scale.ticks.filter((tick) => {
    const fits = scale.x(tick) - last > 34;
    if (fits) last = scale.x(tick);
    return fits;
  });
  return [
    ...levels.map((level) => svg("path", { class: "grid", d: `M${MARGIN.left} ${scale.y(level)}H${width - MARGIN.right}` })),
    ...levels.map((level) => svg("text", { x: MARGIN.left - 6, y: scale.y(level) + 4, "text-anchor": "end" }, `${level}`)),
    ...ticks.map((tick) => svg("path", { class: "grid", d: `M${scale.x(tick)} ${bottom}v5` })),
    ...ticks.map((tick) => svg("text", { x: scale.x(tick), y: bottom + 17, "text-anchor": "middle" }, written(tick))),
    svg("text", { x: (MARGIN.left + width) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xLabel),
  ];
}

// Returns the path of a curve: a staircase if it is stepped, straight lines if not.
function path(points, scale, stepped) {
  return points
    .map(([x, y], place) => {
      const [across, down] = [scale.x(x).toFixed(1), scale.y(y).toFixed(1)];
      if (place === 0) return `M${across} ${down}`;
      return stepped ? `H${across}V${down}` : `L${across} ${down}`;
    })
    .join("");
}
