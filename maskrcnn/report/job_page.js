
"use strict";
// Everything is shown as text: no string of the data ever becomes HTML.
const images = JSON.parse(document.getElementById("images").textContent);
const rest = JSON.parse(document.getElementById("rest").textContent);
const page = document.getElementById("page");
const SVG = "http://www.w3.org/2000/svg";
const PAGE_ROWS = 200, PAGE_CARDS = 120;
const collator = new Intl.Collator(undefined, { numeric: true });

function make(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}
function makeSvg(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
const nav = make("nav");
page.replaceChildren(nav);
function section(title, ...children) {
  const id = title.toLowerCase().replaceAll(" ", "-");
  page.append(make("section", { id }, make("h2", { textContent: title }), ...children));
  nav.append(make("a", { href: "#" + id, textContent: title }));
}
const sum = numbers => numbers.reduce((a, b) => a + b, 0);
const isGood = image => image.status === "ok" || image.status === "checked";
const total = image => image.counts ? sum(Object.values(image.counts)) : null;
const webp = data => "data:image/webp;base64," + data;
const color = label => rest.colors[label % rest.colors.length];
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

// The picture of an image or an object with its outlines: one element a class, or, with `each`, one an object.
function drawn(shown, name, each) {
  const [width, height] = shown.size;
  const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", role: "img", "aria-label": name });
  svg.append(makeSvg("image", { href: webp(shown.picture), width, height }));
  if (shown.shaded) svg.append(makeSvg("image", { href: webp(shown.shaded), width, height, class: "shaded" }));
  const add = (label, d, title) => {
    const path = makeSvg("path", { d });
    path.style.setProperty("--color", color(label));
    if (title) path.append(makeSvg("title", {}, title));
    svg.append(path);
  };
  if (each) shown.paths.forEach((d, i) => d && add(shown.labels[i], d, `${i + 1}: ${rest.classes[shown.labels[i]]} ${shown.scores[i]}`));
  else {
    const joined = new Map();
    shown.paths.forEach((d, i) => joined.set(shown.labels[i], (joined.get(shown.labels[i]) ?? "") + d));
    for (const [label, d] of joined) if (d) add(label, d);
  }
  return svg;
}

// A table of rows of cells that is sorted by its headings and grows as it is scrolled.
function table(columns, rows, onRow) {
  const body = make("tbody"), head = make("tr");
  const isEmpty = value => value === null || value === "";
  const isNumber = columns.map((_, k) => rows.some(row => !isEmpty(row[k])) && rows.every(row => isEmpty(row[k]) || !isNaN(row[k])));
  const order = rows.map((_, i) => i);
  let shown = 0, sorted = null, up = true;
  const more = () => {
    for (const i of order.slice(shown, shown + PAGE_ROWS)) {
      const tr = make("tr");
      rows[i].forEach((cell, k) => tr.append(make("td", { textContent: cell ?? "", className: isNumber[k] ? "number" : "" })));
      if (onRow) onRow(tr, i);
      body.append(tr);
    }
    shown += PAGE_ROWS;
  };
  columns.forEach((name, k) => {
    const button = make("button", { textContent: name, title: "sort" });
    const th = make("th", { className: isNumber[k] ? "number" : "" }, button);
    button.onclick = () => {
      up = sorted === k ? !up : !isNumber[k];
      sorted = k;
      const compare = isNumber[k] ? (x, y) => x - y : (x, y) => collator.compare(x, y);
      order.sort((a, b) => {
        const x = rows[a][k], y = rows[b][k];
        if (isEmpty(x) || isEmpty(y)) return isEmpty(x) - isEmpty(y) || a - b;
        return (up ? compare(x, y) : compare(y, x)) || a - b;
      });
      for (const other of head.children) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.replaceChildren();
      shown = 0;
      more();
      box.scrollTop = 0;
    };
    head.append(th);
  });
  more();
  const box = make("div", { className: "scroll", tabIndex: 0 }, make("table", {}, make("thead", {}, head), body));
  box.onscroll = () => {
    if (shown < order.length && box.scrollTop + box.clientHeight > box.scrollHeight - 300) more();
  };
  return box;
}

function plot(title, bins) {
  const width = 360, height = 140, left = 30, most = Math.max(1, ...bins.counts), num = bins.counts.length;
  const caption = make("figcaption", { textContent: `${title} of ${plural(sum(bins.counts), "object")}` });
  if (!num) return make("figure", {}, caption);
  const step = (width - left - 8) / num;
  const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height + 26}`, width: "100%", role: "img", "aria-label": title });
  bins.counts.forEach((n, i) => {
    const h = n / most * height;
    const bar = makeSvg("rect", { x: left + i * step + 0.5, y: 8 + height - h, width: step - 1, height: h });
    bar.append(makeSvg("title", {}, `${bins.edges[i]} to ${bins.edges[i + 1]}: ${n}`));
    svg.append(bar);
  });
  svg.append(makeSvg("line", { x1: left, x2: width - 8, y1: 8 + height, y2: 8 + height }));
  svg.append(makeSvg("text", { x: left - 4, y: 14, "text-anchor": "end" }, most));
  svg.append(makeSvg("text", { x: left - 4, y: 8 + height, "text-anchor": "end" }, 0));
  for (let i = 0; i <= num; i += num / 4) {
    const anchor = i === 0 ? "start" : i === num ? "end" : "middle";
    svg.append(makeSvg("text", { x: left + i * step, y: height + 22, "text-anchor": anchor }, Number(bins.edges[i].toPrecision(3))));
  }
  return make("figure", {}, caption, svg);
}

// One image in the whole window, with zoom.
const dialog = make("dialog"), stage = make("div", { className: "stage" }), bar = make("div", { className: "bar" });
dialog.append(bar, stage);
document.body.append(dialog);
let at = 0, zoom = 1;
function press(text, label, act) {
  return make("button", { textContent: text, title: label, ariaLabel: label, onclick: act });
}
function open(i) {
  at = (i + images.length) % images.length;
  const image = images[at];
  bar.replaceChildren(press("\u2190", "previous image", () => open(at - 1)), press("\u2192", "next image", () => open(at + 1)),
    press("\u2212", "smaller", () => scale(zoom / 1.5)), press("+", "larger", () => scale(zoom * 1.5)),
    press("outlines", "show or hide outlines", () => outline(document.body.classList.contains("plain"))), press("close", "close", () => dialog.close()),
    make("span", { textContent: `${image.name}: ${image.counts ? plural(total(image), "object") + ", " : ""}${image.status}` }));
  if (image.drawing) bar.append(make("a", { href: encodeURIComponent(image.drawing), target: "_blank", rel: "noopener", textContent: "drawing in full size" }));
  if (image.paths && !image.shaded && image.paths.length < total(image)) bar.append(make("span", { textContent: `outlines of the first ${image.paths.length}` }));
  stage.replaceChildren(image.picture ? drawn(image, image.name, true) : make("p", { textContent: image.status }));
  if (!dialog.open) dialog.showModal();
  scale(1);
}
function scale(factor) {
  const svg = stage.firstChild, before = zoom;
  zoom = Math.min(16, Math.max(1, factor));
  if (svg.tagName !== "svg") return;
  const box = svg.viewBox.baseVal, fit = Math.min((stage.clientWidth - 1) / box.width, (stage.clientHeight - 1) / box.height);
  const middle = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
  svg.style.width = `${box.width * fit * zoom}px`;
  svg.style.height = `${box.height * fit * zoom}px`;
  stage.scrollLeft = middle[0] * zoom / before - stage.clientWidth / 2;
  stage.scrollTop = middle[1] * zoom / before - stage.clientHeight / 2;
}
stage.addEventListener("wheel", event => {
  event.preventDefault();
  scale(event.deltaY < 0 ? zoom * 1.25 : zoom / 1.25);
}, { passive: false });
dialog.onkeydown = event => {
  const act = { ArrowLeft: () => open(at - 1), ArrowRight: () => open(at + 1), "+": () => scale(zoom * 1.5), "-": () => scale(zoom / 1.5) }[event.key];
  if (act) act();
};
function outline(isShown) {
  document.body.classList.toggle("plain", !isShown);
  check.checked = isShown;
}

const sums = new Map(rest.classes.map(name => [name, 0]));
for (const image of images) for (const [name, n] of Object.entries(image.counts ?? {})) sums.set(name, (sums.get(name) ?? 0) + n);
const named = [...sums].filter(([, n], i) => n || i < 3).sort((a, b) => b[1] - a[1]);
const numObjects = sum([...sums.values()]);
const failed = images.filter(image => !image.counts), limited = images.filter(image => image.counts && !isGood(image));
const tiles = [[images.length, images.length === 1 ? "image" : "images"], [numObjects, numObjects === 1 ? "object" : "objects"]];
if (named.length > 1) for (const [name, n] of named.slice(0, 20)) tiles.push([n, name]);
if (limited.length) tiles.push([limited.length, "reached a limit", "bad"]);
if (failed.length) tiles.push([failed.length, "could not be done", "bad"]);
section("Totals", make("div", { className: "totals" }, ...tiles.map(([n, name, kind]) => make("div", { className: kind ?? "" }, make("b", { textContent: n }), name))));

const used = named.length > 1 ? named.slice(0, 20).map(([name]) => name) : [];
const ends = images.some(image => image.interval) ? ["lowest", "highest"] : [];
section("Counts", table(["file", ...used, "total", ...ends, "status"],
  images.map(image => [image.name, ...used.map(name => image.counts ? image.counts[name] ?? 0 : null), total(image),
    ...ends.map((_, k) => image.interval?.[k] ?? null), image.status]),
  (tr, i) => {
    tr.firstChild.replaceChildren(make("button", { textContent: images[i].name, onclick: () => open(i) }));
    if (!isGood(images[i])) tr.lastChild.classList.add("bad");
  }));

const troubles = new Map();
images.forEach((image, i) => {
  if (!isGood(image)) troubles.set(image.status, [...(troubles.get(image.status) ?? []), i]);
});
section("Limits and failures", ...(troubles.size ? [...troubles].map(([status, which]) => {
  const list = make("ul", {}, ...which.slice(0, PAGE_ROWS).map(i => make("li", {}, make("button", { textContent: images[i].name, onclick: () => open(i) }))));
  if (which.length > PAGE_ROWS) list.append(make("li", { textContent: `and ${which.length - PAGE_ROWS} more, see the counts` }));
  return make("details", { open: which.length <= 5 }, make("summary", {}, make("span", { className: "bad", textContent: status }), ` (${plural(which.length, "image")})`), list);
}) : [make("p", { textContent: "Every image was done, and none reached a limit." })]));

const gallery = make("div", { className: "gallery" }), end = make("div");
let cards = 0;
const moreCards = () => {
  for (const image of images.slice(cards, cards + PAGE_CARDS)) {
    const i = cards++;
    const picture = image.picture ? drawn(image, image.name) : make("div", { className: "none bad", textContent: image.status });
    const words = make("span", {}, make("span", { textContent: image.name }), make("b", { textContent: total(image) ?? "" }));
    gallery.append(make("button", { className: "card", onclick: () => open(i) }, picture, words));
  }
};
moreCards();
new IntersectionObserver(seen => {
  if (seen.some(one => one.isIntersecting) && cards < images.length) moreCards();
}, { rootMargin: "800px" }).observe(end);
const check = make("input", { type: "checkbox", checked: true, onchange: () => outline(check.checked) });
const keys = named.length > 1 ? named.filter(([, n]) => n).slice(0, 20).map(([name]) => {
  const key = make("span", { className: "key", textContent: name });
  key.style.setProperty("--color", color(rest.classes.indexOf(name)));
  return key;
}) : [];
section("Gallery", make("div", { className: "bar" }, make("label", {}, check, " outlines"), ...keys), gallery, end);

section("Area and score", make("div", { className: "plots" }, ...rest.plots.map(([title, bins]) => plot(title, bins))));

const unsure = images.flatMap((image, i) => (image.unsure ?? []).map(one => [one, i]))
  .sort((a, b) => a[0].score - b[0].score || a[1] - b[1]).slice(0, rest.numUnsure);
section("Least sure", make("div", { className: "unsure" }, ...unsure.map(([one, i]) => {
  const picture = drawn({ ...one, paths: [one.path], labels: [one.label] }, rest.classes[one.label]);
  const words = make("span", { textContent: `${one.score.toFixed(2)} ${rest.classes[one.label]}, ${images[i].name}, ${one.number}` });
  return make("button", { className: "card", onclick: () => open(i) }, picture, words);
})));
if (!unsure.length) page.lastChild.append(make("p", { textContent: "No object was found." }));

const note = rest.numRows > rest.rows.length ? `The first ${rest.rows.length} of ${rest.numRows} objects; measurements.csv has all.` : "As in measurements.csv.";
section("Measurements", make("p", { textContent: note }), table(rest.columns, rest.rows));
section("Settings", table(["setting", "value"], rest.facts));
page.lastChild.classList.add("settings");
