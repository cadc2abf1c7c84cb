// Draws the lineage of data sets, and of one column with everything upstream and downstream of it.
"use strict";
const { nodes, links, edges, texts, kinds } = JSON.parse(
  document.getElementById("data").textContent,
);
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 256;
const GAP = 90;
const HEAD = 40;
const ROW = 22;
const SPACE = 18;
const FOUND = 40;
const READABLE = 1.4;
const canvas = document.getElementById("graph");
const panel = document.getElementById("panel");
const search = document.getElementById("search");
const results = document.getElementById("results");
const heading = document.getElementById("shown");
const withRows = document.getElementById("with-rows");
const whole = document.getElementById("whole");

const byPage = new Map(nodes.map((node, id) => [node.page, id]));
const upstream = nodes.map(() => []);
const downstream = nodes.map(() => []);
for (const [from, to] of links) {
  upstream[to].push(from);
  downstream[from].push(to);
}
// Columns are numbered through all nodes, so that a set of numbers is a set of columns.
const first = [];
let total = 0;
for (const node of nodes) {
  first.push(total);
  total += node.columns.length;
}
const owner = new Int32Array(total);
nodes.forEach((node, id) => owner.fill(id, first[id], first[id] + node.columns.length));
const nameOf = (column) => nodes[owner[column]].columns[column - first[owner[column]]];
const labelOf = (column) => (nameOf(column) === "*" ? "(rows)" : nameOf(column));
const into = Array.from({ length: total }, () => []);
const outOf = Array.from({ length: total }, () => []);
edges.forEach(([from, to], place) => {
  into[to].push(place);
  outOf[from].push(place);
});
// The column `*` stands for the rows of a data set, which joins and filters choose.
const rowsOf = nodes.map((node, id) => {
  const at = node.columns.indexOf("*");
  return at < 0 ? -1 : first[id] + at;
});
// A value is computed from these; the other kinds of edges choose rows.
const VALUES = new Set(["value", "condition", "window"]);
const isShown = (edge) => withRows.checked || VALUES.has(kinds[edge[2]]);

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...children);
  return made;
};
const shape = (name, attributes, ...children) => {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...children);
  return made;
};
const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

// The nodes or edges that are reached in one direction.
const closure = (start, next) => {
  const seen = new Set([start]);
  const waiting = [start];
  while (waiting.length) {
    for (const other of next(waiting.pop())) {
      if (!seen.has(other)) {
        seen.add(other);
        waiting.push(other);
      }
    }
  }
  return seen;
};

// Places boxes in columns by rank. In each column they are sorted by the mean place of their
// neighbours, first from left to right, then back (Sugiyama's barycenter method).
const layout = (boxes, arrows) => {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const ranks = new Map();
  for (const box of boxes) {
    const rank = nodes[box.id].rank;
    ranks.set(rank, [...(ranks.get(rank) ?? []), box]);
  }
  const layers = [...ranks.keys()].sort((a, b) => a - b).map((rank) => ranks.get(rank));
  const before = new Map(boxes.map((box) => [box.id, []]));
  const after = new Map(boxes.map((box) => [box.id, []]));
  for (const [from, to] of arrows) {
    before.get(to).push(byId.get(from));
    after.get(from).push(byId.get(to));
  }
  const place = (layer) => layer.forEach((box, at) => (box.at = at / Math.max(1, layer.length - 1)));
  layers.forEach(place);
  const sort = (layer, neighbours) => {
    for (const box of layer) {
      const others = neighbours.get(box.id);
      box.key = others.length ? others.reduce((sum, o) => sum + o.at, 0) / others.length : box.at;
    }
    layer.sort((a, b) => a.key - b.key);
    place(layer);
  };
  for (let turn = 0; turn < 6; turn += 1) {
    layers.forEach((layer) => sort(layer, before));
    [...layers].reverse().forEach((layer) => sort(layer, after));
  }
  const heights = layers.map((layer) => layer.reduce((sum, box) => sum + box.height + SPACE, 0));
  const tallest = Math.max(0, ...heights);
  layers.forEach((layer, at) => {
    let y = (tallest - heights[at]) / 2;
    for (const box of layer) {
      box.x = at * (WIDTH + GAP);
      box.y = y;
      y += box.height + SPACE;
    }
  });
  return { width: layers.length * (WIDTH + GAP) - GAP, height: tallest - SPACE };
};

const curve = (from, to) => {
  const bend = Math.max(30, (to.x - from.x) / 2);
  return `M${from.x},${from.y}C${from.x + bend},${from.y} ${to.x - bend},${to.y} ${to.x},${to.y}`;
};

let view = { x: 0, y: 0, width: 1, height: 1 };
let size = { width: 1, height: 1 };
const apply = () => {
  canvas.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
};
// Shows the whole graph, or as much of it around a point as can be read.
let center = null;
const fit = () => {
  const box = canvas.getBoundingClientRect();
  const whole = Math.max(size.width / box.width, size.height / box.height, 0.6) * 1.06;
  const scale = center ? Math.min(whole, READABLE) : whole;
  view.width = box.width * scale;
  view.height = box.height * scale;
  const start = (at, length, all) =>
    length > all ? (all - length) / 2 : Math.min(Math.max(at - length / 2, -20), all - length + 20);
  view.x = start(center ? center.x : 0, view.width, size.width);
  view.y = start(center ? center.y : 0, view.height, size.height);
  apply();
};
const zoom = (factor, x = 0.5, y = 0.5) => {
  const width = Math.min(Math.max(view.width * factor, 200), size.width * 4 + 2000);
  const real = width / view.width;
  view.x += view.width * (1 - real) * x;
  view.y += view.height * (1 - real) * y;
  view.width *= real;
  view.height *= real;
  apply();
};

const activate = (target, action) => {
  target.addEventListener("click", action);
  target.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      action();
    }
  });
};

const drawBox = (box, lit) => {
  const node = nodes[box.id];
  const group = shape("g", {
    class: `box ${lit.has(box.id) ? "lit" : ""} ${box.chosen ? "chosen" : ""}`,
    transform: `translate(${box.x},${box.y})`,
  });
  const head = shape(
    "g",
    { class: "head", tabindex: 0, role: "button", "aria-label": `${node.kind} ${node.name}` },
    shape("title", {}, `${node.name} (${node.kind})`),
    shape("rect", { class: node.layer, width: WIDTH, height: box.height, rx: 8 }),
    shape("text", { class: "name", x: 12, y: 18 }, cut(node.name, 30)),
    shape("text", { class: "kind", x: 12, y: 32 }, node.kind),
  );
  activate(head, () => go(node.page));
  group.append(head);
  box.rows.forEach((column, at) => {
    const row = shape(
      "g",
      { class: `row ${column === box.column ? "chosen" : ""}`, tabindex: 0, role: "button" },
      shape("title", {}, `${node.name}.${nameOf(column)}`),
      shape("rect", { x: 4, y: HEAD + at * ROW, width: WIDTH - 8, height: ROW - 2, rx: 4 }),
      shape("text", { x: 12, y: HEAD + at * ROW + 14 }, cut(labelOf(column), 32)),
    );
    activate(row, () => go(node.page, nameOf(column)));
    group.append(row);
  });
  return group;
};

// Draws boxes with arrows between them, or between their rows.
const draw = (boxes, arrows, lit = new Set()) => {
  const pairs = new Map(arrows.map((arrow) => [`${arrow.from}>${arrow.to}`, [arrow.from, arrow.to]]));
  size = layout(boxes, [...pairs.values()].filter(([from, to]) => from !== to));
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const end = (id, column, right) => {
    const box = byId.get(id);
    const at = box.rows.indexOf(column);
    const y = at < 0 ? Math.min(HEAD / 2, box.height / 2) : HEAD + at * ROW + ROW / 2 - 1;
    return { x: box.x + (right ? WIDTH : 0), y: box.y + y };
  };
  const paths = arrows.map((arrow) =>
    shape(
      "path",
      {
        class: `arrow ${arrow.kind} ${lit.has(arrow.from) && lit.has(arrow.to) ? "lit" : ""}`,
        d: curve(end(arrow.from, arrow.origin, true), end(arrow.to, arrow.target, false)),
      },
      shape("title", {}, arrow.title),
    ),
  );
  canvas.replaceChildren(...paths, ...boxes.map((box) => drawBox(box, lit)));
  canvas.classList.toggle("has-lit", lit.size > 0);
  const chosen = boxes.find((box) => box.chosen);
  center = chosen ? { x: chosen.x + WIDTH / 2, y: chosen.y } : { x: 0, y: size.height / 2 };
  fit();
};

const whatIs = (node) =>
  element(
    "p",
    { class: "soft" },
    `${node.kind} · `,
    element("a", { href: `catalog/${node.page}.html` }, "catalog entry"),
  );

const columnLink = (column, text) => {
  const node = nodes[owner[column]];
  const target = `#${encodeURIComponent(node.page)}/${encodeURIComponent(nameOf(column))}`;
  return element("a", { href: target }, text ?? `${node.name}.${labelOf(column)}`);
};

const showNode = (id) => {
  const node = nodes[id];
  const lit = new Set([
    ...closure(id, (other) => upstream[other]),
    ...closure(id, (other) => downstream[other]),
  ]);
  drawAll(lit, id);
  heading.textContent = node.name;
  const list = element("ul", { class: "columns" });
  node.columns.forEach((name, at) => {
    list.append(element("li", {}, columnLink(first[id] + at, labelOf(first[id] + at))));
  });
  panel.replaceChildren(
    element("h2", {}, node.name),
    whatIs(node),
    element("p", {}, `${lit.size - 1} data sets are upstream or downstream of it.`),
    element("h3", {}, node.columns.length ? "Columns" : "It has no columns"),
    list,
  );
};

// All uses of one column in another one, with each expression once.
const step = (uses) => {
  const [from, to] = uses[0];
  const item = element("li", {});
  for (const kind of new Set(uses.map((use) => kinds[use[2]]))) {
    item.append(element("span", { class: `use ${kind}` }, kind), " ");
  }
  item.append(columnLink(to), " ← ", columnLink(from));
  for (const path of new Set(uses.map((use) => texts[use[3]]).filter(Boolean))) {
    item.append(element("span", { class: "path" }, "JSON path ", element("b", {}, path)));
  }
  for (const expression of new Set(uses.map((use) => texts[use[4]]).filter(Boolean))) {
    item.append(element("code", {}, expression));
  }
  return item;
};

const steps = (title, places, empty) => {
  if (!places.size) return [element("h3", {}, title), element("p", { class: "soft" }, empty)];
  const pairs = new Map();
  for (const place of places) {
    const pair = edges[place].slice(0, 2).join();
    pairs.set(pair, [...(pairs.get(pair) ?? []), edges[place]]);
  }
  const rank = ([edge]) => nodes[owner[edge[1]]].rank;
  const list = element("ol", { class: "steps" });
  const sorted = [...pairs.values()].sort((a, b) => rank(b) - rank(a));
  list.append(...sorted.map(step));
  return [element("h3", {}, title), list];
};

const showColumn = (column) => {
  const id = owner[column];
  const walk = (start, list, end) => {
    const taken = new Set();
    const columns = closure(start, (other) =>
      list(other)
        .filter((place) => isShown(edges[place]))
        .map((place) => {
          taken.add(place);
          return edges[place][end];
        }),
    );
    return { columns, taken };
  };
  const rows = (other) => rowsOf[owner[other]];
  const up = walk(column, (other) => [...into[other], ...(into[rows(other)] ?? [])], 0);
  const down = walk(column, (other) => outOf[other], 1);
  const places = [...up.taken, ...down.taken];
  const reached = new Set([column, ...places.flatMap((place) => edges[place].slice(0, 2))]);
  const shown = new Map();
  for (const one of [...reached].sort((a, b) => a - b)) {
    shown.set(owner[one], [...(shown.get(owner[one]) ?? []), one]);
  }
  const arrows = places.map((place) => {
    const [from, to, kind, path, expression] = edges[place];
    return {
      from: owner[from],
      to: owner[to],
      origin: from,
      target: to,
      kind: kinds[kind],
      title: [kinds[kind], texts[path], texts[expression]].filter(Boolean).join(": "),
    };
  });
  // The folder with the files of an external table, and the dashboards that read a mart.
  for (const [from, to] of links) {
    const hasFolder = shown.has(to) && nodes[from].kind === "folder";
    const hasReader = shown.has(from) && nodes[to].kind === "exposure";
    if (hasFolder || hasReader) {
      shown.set(from, shown.get(from) ?? []);
      shown.set(to, shown.get(to) ?? []);
      arrows.push({ from, to, kind: "reads", title: "reads" });
    }
  }
  const boxes = [...shown].map(([box, columns]) => ({
    id: box,
    rows: columns,
    height: HEAD + columns.length * ROW + (columns.length ? 4 : 0),
    chosen: box === id,
    column,
  }));
  draw(boxes, arrows);
  heading.textContent = `${nodes[id].name}.${nameOf(column)}`;
  panel.replaceChildren(
    element("h2", {}, labelOf(column)),
    element("p", {}, "in ", element("a", { href: `#${encodeURIComponent(nodes[id].page)}` }, nodes[id].name)),
    whatIs(nodes[id]),
    ...steps("Upstream", up.taken, "It comes from no other column."),
    ...steps("Downstream", down.taken, "No other column is made of it."),
  );
};

const drawAll = (lit = new Set(), chosen = -1) => {
  const boxes = nodes.map((node, id) => ({ id, rows: [], height: HEAD, chosen: id === chosen }));
  const arrows = links.map(([from, to]) => ({ from, to, kind: "reads", title: "reads" }));
  draw(boxes, arrows, lit);
};

const showAll = () => {
  drawAll();
  heading.textContent = "All data sets";
  panel.replaceChildren(
    element("h2", {}, "All data sets"),
    element(
      "p",
      {},
      `${nodes.length} data sets with ${total} columns. Choose one to see what it is made of, ` +
        "then a column to follow it from the folder of the lake to the dashboard.",
    ),
  );
};

const go = (page, column) => {
  const parts = [page, ...(column === undefined ? [] : [column])].map(encodeURIComponent);
  location.hash = parts.join("/");
};

const show = () => {
  const [page, column] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const id = byPage.get(page);
  const at = id === undefined || column === undefined ? -1 : nodes[id].columns.indexOf(column);
  whole.hidden = id === undefined;
  if (id === undefined) showAll();
  else if (at < 0) showNode(id);
  else showColumn(first[id] + at);
};

const index = [
  ...nodes.map((node, id) => ({ text: node.name.toLowerCase(), id })),
  ...Array.from(owner, (id, column) => ({
    text: `${nodes[id].name}.${nameOf(column)}`.toLowerCase(),
    id,
    column,
  })),
];
const find = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length
    ? index.filter((entry) => words.every((word) => entry.text.includes(word)))
    : [];
  results.replaceChildren(
    ...found.slice(0, FOUND).map(({ id, column }) => {
      const node = nodes[id];
      const link =
        column === undefined
          ? element("a", { href: `#${encodeURIComponent(node.page)}` }, node.name)
          : columnLink(column);
      return element("li", {}, link, " ", element("span", { class: "soft" }, node.kind));
    }),
  );
  if (words.length) {
    const rest = found.length - FOUND;
    const text = found.length ? (rest > 0 ? `and ${rest} more` : "") : "nothing found";
    if (text) results.append(element("li", { class: "soft" }, text));
  }
};

document.getElementById("needs-scripts").hidden = true;
let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("[role=button]")) {
    drag = { x: event.clientX, y: event.clientY };
    canvas.setPointerCapture(event.pointerId);
  }
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const scale = view.width / canvas.getBoundingClientRect().width;
  view.x -= (event.clientX - drag.x) * scale;
  view.y -= (event.clientY - drag.y) * scale;
  drag = { x: event.clientX, y: event.clientY };
  apply();
});
["pointerup", "pointercancel"].forEach((name) => canvas.addEventListener(name, () => (drag = null)));
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const at = [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
    zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, ...at);
  },
  { passive: false },
);
document.getElementById("nearer").addEventListener("click", () => zoom(1 / 1.3));
document.getElementById("farther").addEventListener("click", () => zoom(1.3));
document.getElementById("fit").addEventListener("click", () => {
  center = null;
  fit();
});
whole.addEventListener("click", () => (location.hash = ""));
withRows.addEventListener("change", show);
search.addEventListener("input", find);
search.form.addEventListener("submit", (event) => {
  event.preventDefault();
  results.querySelector("a")?.click();
});
results.addEventListener("click", () => {
  search.value = "";
  find();
});
window.addEventListener("hashchange", show);
window.addEventListener("resize", fit);
show();
