// The lists beside the picture: pictures, counts, objects. Names are always text, never markup.

const byId = (id) => document.getElementById(id);

export function element(tag, text = "", fields = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  return Object.assign(made, fields);
}

export function showPictures(pictures, currentId, open) {
  const rows = pictures.map((one) => {
    const name = one.page === null ? one.name : `${one.name}, page ${one.page}`;
    const said = { waiting: "waiting ...", failed: one.failure }[one.state] ?? counted(one.count);
    const button = element("button", name, { type: "button", onclick: () => open(one.id) });
    button.append(element("small", one.checked ? `${said}, checked` : said));
    button.disabled = one.state !== "done";
    button.dataset.id = one.id;
    if (one.id === currentId) button.setAttribute("aria-current", "true");
    const row = element("li");
    row.classList.toggle("failed", one.state === "failed");
    row.append(button);
    return row;
  });
  const list = byId("pictures");
  const focused = list.contains(document.activeElement) && document.activeElement.dataset.id;
  list.replaceChildren(...rows);
  if (focused) list.querySelector(`[data-id="${focused}"]`)?.focus();
}

export function counted(number) {
  return `${number} ${number === 1 ? "object" : "objects"}`;
}

// Objects of each class, and of all.
export function showCounts(objects, classes, color) {
  const numbers = new Array(classes.length).fill(0);
  for (const one of objects) numbers[one.label] += 1;
  byId("total").textContent = objects.length;
  byId("total-word").textContent = objects.length === 1 ? "object" : "objects";
  const rows = classes.flatMap((name, label) => {
    if (classes.length > 12 && !numbers[label]) return [];
    const row = element("tr");
    const head = element("th", name, { scope: "row" });
    if (classes.length > 1) {
      const swatch = element("span", "", { className: "swatch" });
      swatch.style.background = color(label);
      head.prepend(swatch);
    }
    row.append(head, element("td", numbers[label], { className: "number" }));
    return [row];
  });
  byId("counts").tBodies[0].replaceChildren(...rows);
}

// Rows are kept from one time to the next, and hidden rather than made anew: the slider moves through hundreds.
export class ObjectTable {
  constructor(choose) {
    this.choose = choose;
    this.rows = new Map();
    this.body = byId("objects").tBodies[0];
  }

  show(objects, counts, classes, chosen) {
    const ordered = [...objects].sort((a, b) => a.number - b.number);
    const rows = new Map();
    for (const one of ordered) {
      const kept = this.rows.get(one.number);
      rows.set(one.number, kept && kept.one === one ? kept : { one, row: this.made(one, classes) });
    }
    const isSame = rows.size === this.rows.size && [...rows].every(([number, { row }]) => this.rows.get(number)?.row === row);
    if (!isSame) this.body.replaceChildren(...[...rows.values()].map(({ row }) => row));
    this.rows = rows;
    for (const { one, row } of rows.values()) {
      row.hidden = !counts(one);
      row.classList.toggle("chosen", chosen.has(one.number));
      row.firstChild.firstChild.setAttribute("aria-pressed", chosen.has(one.number));
    }
  }

  made(one, classes) {
    const row = element("tr");
    const number = element("td");
    const press = (event) => this.choose(one.number, event.shiftKey || event.ctrlKey || event.metaKey);
    number.append(element("button", one.number, { type: "button", onclick: press, ariaLabel: `Choose object ${one.number}` }));
    row.append(
      number,
      element("td", classes[one.label]),
      element("td", one.score === null ? "" : one.score.toFixed(2), { className: "number" }),
      element("td", one.area, { className: "number" }),
      element("td", one.changed ? one.changed.by : "model"),
    );
    return row;
  }

  scrollTo(number) {
    this.rows.get(number)?.row.scrollIntoView({ block: "nearest" });
  }
}
