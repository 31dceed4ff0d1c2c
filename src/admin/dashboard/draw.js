// Makes and changes elements: only what is different is touched.

/** An element: `h("td.num", {title}, "text", child)`. */
export function h(what, attributes = {}, ...children) {
  const [name, ...classes] = what.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((it) => it !== null && it !== undefined && it !== false));
  return element;
}

export function setText(element, text) {
  if (element.firstChild?.nodeType === 3 && element.childNodes.length === 1) {
    if (element.firstChild.data !== text) element.firstChild.data = text;
  } else if (element.textContent !== text || element.childNodes.length) {
    element.textContent = text;
  }
}

export function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// ---- numbers ----

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  if (!Number.isFinite(value)) return "–";
  return whole.format(value);
}

export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(value < 1 ? 2 : 1);
  return whole.format(value);
}

export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  if (share === 0) return "0 %";
  if (share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export function millis(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  if (value >= 10) return `${value.toFixed(1)} ms`;
  return `${value.toFixed(2)} ms`;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  let unit = 0;
  while (value >= 1024 && unit < 4) [value, unit] = [value / 1024, unit + 1];
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const [d, hh, m, s] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  if (d) return `${d} d ${hh} h`;
  if (hh) return `${hh} h ${m} min`;
  if (m) return `${m} min ${s} s`;
  return `${s} s`;
}

/** The time of day, with the date if it is not today's. */
export function when(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "–";
  const clock = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? clock : `${date.toISOString().slice(0, 10)} ${clock}`;
}

// ---- charts ----

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** A line over the last minute. The numbers stand beside it, so readers of the screen skip it. */
export function spark(kind = "", width = 120, height = 24) {
  const root = svg("svg", {
    class: `spark ${kind}`, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true",
  });
  const area = root.appendChild(svg("path", { class: "area" }));
  const line = root.appendChild(svg("path", { class: "line" }));
  return {
    root,
    /** `top`: the least value that fills the height. */
    draw(values, top = 0) {
      const points = scaled(values, width, height, Math.max(top, largest(values)));
      setAttribute(line, "d", lineOf(points));
      setAttribute(area, "d", areaOf(points, height));
    },
  };
}

/** p50 to p99 as a band, p90 as a line in it. */
export function band(width = 120, height = 24) {
  const root = svg("svg", {
    class: "spark band", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true",
  });
  const area = root.appendChild(svg("path", { class: "area" }));
  const line = root.appendChild(svg("path", { class: "line" }));
  return {
    root,
    draw({ low, mid, high }) {
      const top = largest(high);
      const [lows, mids, highs] = [low, mid, high].map((it) => scaled(it, width, height, top));
      setAttribute(line, "d", lineOf(mids));
      let text = "";
      for (const [begin, end] of runs(highs)) {
        for (let i = begin; i < end; i++) text += `${i > begin ? "L" : "M"}${highs[i][0]} ${highs[i][1]}`;
        for (let i = end - 1; i >= begin; i--) text += `L${lows[i][0]} ${(lows[i] ?? highs[i])[1]}`;
        text += "Z";
      }
      setAttribute(area, "d", text);
    },
  };
}

function largest(values) {
  let top = 0;
  for (const value of values) if (value > top) top = value;
  return top || 1;
}

/** Points; `null` where there is no value. */
function scaled(values, width, height, top) {
  const step = width / (values.length - 1);
  return Array.from(values, (value, index) =>
    Number.isFinite(value)
      ? [(index * step).toFixed(1), (height - 1 - (value / top) * (height - 2)).toFixed(1)]
      : null);
}

/** Where points are without a gap: `[begin, end)`. */
function runs(points) {
  const found = [];
  let begin = -1;
  for (let i = 0; i <= points.length; i++) {
    if (points[i] && begin < 0) begin = i;
    if (!points[i] && begin >= 0) {
      found.push([begin, i]);
      begin = -1;
    }
  }
  return found;
}

function lineOf(points) {
  return runs(points).map(([begin, end]) => {
    const text = points.slice(begin, end).map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("");
    // A single point is drawn as a short line.
    return end - begin > 1 ? text : `${text}h1`;
  }).join("");
}

function areaOf(points, height) {
  return runs(points).map(([begin, end]) => {
    const inside = points.slice(begin, end);
    const top = inside.map(([x, y]) => `L${x} ${y}`).join("");
    return `M${inside[0][0]} ${height}${top}L${inside.at(-1)[0]} ${height}Z`;
  }).join("");
}

// ---- tables ----

/** Rows on one page: all of them can be drawn well within a frame. */
const PAGE = 50;

/**
 * A table that is changed in place, sorted and paged. A column has `id`, `label`, and either
 * `text(row)` or `make(row)` with `update(cell, row)`; `sort(row)` makes it sortable.
 */
export class Table {
  constructor({ caption, columns, empty, order = null, find = null, tone = null }) {
    Object.assign(this, { columns, empty, order, tone, rows: [], page: 0, drawn: [] });
    this.heads = columns.map((column) => {
      const head = h(`th${column.num ? ".num" : ""}${column.hide ? `.${column.hide}` : ""}`, { scope: "col" });
      if (column.sort) {
        head.append(h("button", { type: "button", onclick: () => this.sortBy(column.id) }, column.label));
      } else {
        head.append(column.label);
      }
      return head;
    });
    this.body = h("tbody");
    this.note = h("p.empty", { hidden: true });
    this.pager = h("div.pager", { hidden: true },
      (this.before = h("button", { type: "button", onclick: () => this.turn(-1) }, "Previous")),
      (this.place = h("span", { role: "status" })),
      (this.after = h("button", { type: "button", onclick: () => this.turn(1) }, "Next")));
    const table = h("table", {}, h("caption.hidden", {}, caption), h("thead", {}, h("tr", {}, this.heads)), this.body);
    this.scroll = h("div.scroll", { role: "region", "aria-label": caption, tabindex: "0" }, table);
    this.root = h("div.table", {}, find ? this.finder(find) : null, this.scroll, this.note, this.pager);
    this.mark();
  }

  finder({ label, text }) {
    this.matches = text;
    this.wanted = h("input", { type: "search", "aria-label": label, placeholder: label, spellcheck: "false", oninput: () => { this.page = 0; this.draw(true); } });
    this.found = h("span.quiet", { role: "status" });
    return h("div.finder", {}, this.wanted, this.found);
  }

  sortBy(id) {
    const down = this.order?.id === id ? !this.order.down : true;
    this.order = { id, down };
    this.page = 0;
    this.mark();
    this.draw(true);
  }

  mark() {
    this.columns.forEach((column, index) => {
      if (!column.sort) return;
      const by = this.order?.id === column.id;
      setAttribute(this.heads[index], "aria-sort", by ? (this.order.down ? "descending" : "ascending") : "none");
    });
  }

  turn(by) {
    this.page += by;
    this.draw(true);
    this.scroll.scrollTop = 0;
  }

  update(rows) {
    this.rows = rows;
    this.draw(false);
  }

  /** Rows do not change places below somebody's pointer or focus, unless it is `asked` for. */
  draw(asked) {
    const held = !asked && this.sorted && (this.body.matches(":hover") || this.body.contains(document.activeElement));
    const words = (this.wanted?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    let rows = words.length
      ? this.rows.filter((row) => { const text = this.matches(row).toLowerCase(); return words.every((word) => text.includes(word)); })
      : this.rows;
    const column = this.columns.find((it) => it.id === this.order?.id);
    if (held) {
      const places = new Map(this.sorted.map((row, index) => [row, index]));
      rows = rows.slice().sort((a, b) => (places.get(a) ?? 1e9) - (places.get(b) ?? 1e9));
    } else if (column) {
      const sign = this.order.down ? -1 : 1;
      rows = rows.slice().sort((a, b) => sign * compare(column.sort(a), column.sort(b), sign));
    }
    this.sorted = rows;
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const shown = rows.slice(this.page * PAGE, (this.page + 1) * PAGE);
    while (this.drawn.length > shown.length) this.drawn.pop().tr.remove();
    shown.forEach((row, index) => this.drawRow(row, index));
    this.tell(rows.length, pages, words.length > 0);
  }

  tell(total, pages, found) {
    this.note.hidden = total > 0;
    this.scroll.hidden = total === 0;
    if (total === 0) setText(this.note, found ? "Nothing matches." : this.empty);
    this.pager.hidden = pages < 2;
    if (pages > 1) {
      setText(this.place, `page ${this.page + 1} of ${pages}, ${count(total)} rows`);
      [this.before.disabled, this.after.disabled] = [this.page === 0, this.page === pages - 1];
    }
    if (this.found) setText(this.found, found ? `${count(total)} of ${count(this.rows.length)}` : `${count(total)}`);
  }

  drawRow(row, index) {
    let drawn = this.drawn[index];
    if (!drawn) {
      const cells = this.columns.map((it) => h(`${it.head ? "th" : "td"}${it.num ? ".num" : ""}${it.hide ? `.${it.hide}` : ""}`, it.head ? { scope: "row" } : {}));
      drawn = { tr: h("tr", {}, cells), cells, row: null };
      this.drawn[index] = drawn;
      this.body.append(drawn.tr);
    }
    const other = drawn.row !== row;
    drawn.row = row;
    if (this.tone) setClass(drawn.tr, this.tone(row) ?? "");
    this.columns.forEach((column, at) => {
      const cell = drawn.cells[at];
      if (column.text) {
        setText(cell, column.text(row));
      } else {
        if (other) {
          cell.replaceChildren(...[column.make(row, cell)].flat());
        }
        column.update?.(cell, row);
      }
    });
  }
}

/** Values that are not there come last, whatever the order. */
function compare(a, b, sign) {
  const [noA, noB] = [a, b].map((it) => it === undefined || it === null || Number.isNaN(it));
  if (noA || noB) return noA && noB ? 0 : sign * (noA ? 1 : -1);
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}
