"use strict";
(() => {
  const PAGE = 50; // rows of the run table at once: to lay out thousands takes a browser seconds
  const SHEET = 500; // rows that are printed: more would be pages that nobody reads
  const byId = (id) => document.getElementById(id);
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const count = (number) => number.toLocaleString("en");

  /** An element with properties and children; strings become text, never markup. */
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  // ------------------------------------------------------------------------------------------- theme

  const root = document.documentElement;
  const toggle = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");

  function paint(theme) {
    const dark = theme ? theme === "dark" : system.matches;
    if (theme) root.dataset.theme = theme;
    toggle.textContent = dark ? "Light" : "Dark";
    toggle.title = `Show the page ${dark ? "light" : "dark"}`;
    toggle.onclick = () => {
      const next = dark ? "light" : "dark";
      try { localStorage.setItem("bench-theme", next); } catch { /* not kept, then */ }
      paint(next);
    };
  }

  function kept() {
    try { return localStorage.getItem("bench-theme"); } catch { return null; }
  }

  paint(kept());
  system.addEventListener("change", () => paint(root.dataset.theme));
  toggle.hidden = false;

  // ------------------------------------------------------------------------------------------ sorting

  /** Numbers by size, words by letters; what is missing comes last, whichever the direction. */
  function order(a, b, direction) {
    const missing = (value) => value === null || value === undefined || value === "";
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return direction * (typeof a === "number" && typeof b === "number" ? a - b : words.compare(a, b));
  }

  /** Buttons in the head of a table, of which each calls `sort(th, direction)`. */
  function sortable(table, sort) {
    const heads = [...table.tHead.querySelectorAll("th[data-key]")];
    for (const head of heads) {
      const button = make("button", { type: "button", title: head.title }, ...head.childNodes);
      head.removeAttribute("title");
      head.append(button);
      button.onclick = () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        sort(head, direction);
      };
    }
  }

  function valueOf(cell) {
    const text = cell.dataset.value ?? "";
    return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    sortable(table, (head, direction) => {
      const column = head.cellIndex;
      const value = new Map([...body.rows].map((row) => [row, valueOf(row.cells[column])]));
      body.append(...[...body.rows].sort((a, b) => order(value.get(a), value.get(b), direction)));
    });
  }

  // ----------------------------------------------------------------------------- filter of comparisons

  const filters = byId("comparison-filters");
  if (filters) {
    const rows = [...document.querySelectorAll("tr[data-loss]")];
    const filter = () => {
      const loss = byId("filter-loss").value.trim().toLowerCase();
      const verdict = byId("filter-verdict").value;
      for (const row of rows) {
        const fits = row.dataset.loss.toLowerCase().includes(loss);
        row.hidden = !fits || (verdict !== "" && row.dataset.verdict !== verdict);
      }
      const found = rows.filter((row) => !row.hidden && !row.closest("details"));
      byId("comparison-count").textContent = `${count(found.length)} rows`;
    };
    filters.addEventListener("input", filter);
    filters.addEventListener("submit", (event) => event.preventDefault());
    filters.hidden = false;
    filter();
  }

  // --------------------------------------------------------------------------------------------- runs

  const data = JSON.parse(byId("run-data").textContent);
  const runs = data.rows.map((row) => {
    const run = Object.fromEntries(data.fields.map((field, column) => [field, row[column]]));
    run.cell = data.cells[run.cell];
    for (const axis of ["dataset", "model", "loss"]) run[axis] = run.cell[axis];
    run.value = data.values[row[0]][run.seed] ?? (data.counted && run.total ? run.correct / run.total : null);
    return run;
  });
  for (const cell of data.cells) {
    cell.flat = flat(cell.parameters);
    cell.text = [cell.dataset, cell.model, cell.loss, ...cell.flat.map((pair) => pair.join("="))].join("\n");
  }

  const panel = byId("run-table");
  const body = panel.querySelector("tbody");
  const search = byId("run-search");
  const choices = ["dataset", "model", "loss", "state"].map((axis) => [axis, byId(`run-${axis}`)]);
  let found = runs;
  let first = 0;

  /** {recipe: {optimizer: {lr: 1}}} → ["recipe.optimizer.lr", "1"] */
  function flat(value, name = "") {
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      return [[name, typeof value === "string" ? value : JSON.stringify(value)]];
    }
    return Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}.${key}` : key));
  }

  /** Whether a run mentions a word. `seed=1` is not `seed=12`; what is searched is made when it is needed. */
  function mentions(run, word) {
    run.text ??= [run.id, `seed=${run.seed}`, run.state, run.reason, run.trained, run.log, run.cell.text, ""]
      .join("\n").toLowerCase().replace(/\s+/g, "\n");
    return run.text.includes(/^[\w.]+=[\w.+-]+$/.test(word) ? `${word}\n` : word);
  }

  function filterRuns() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = choices.filter(([, select]) => select.value !== "");
    found = runs.filter((run) =>
      chosen.every(([axis, select]) => run[axis] === select.value)
      && wanted.every((word) => mentions(run, word)));
    first = 0;
    show();
  }

  function show(rows = PAGE) {
    const shown = found.slice(first, first + rows);
    body.replaceChildren(...shown.map(rowOf));
    const range = found.length > rows ? `, ${count(first + 1)} to ${count(first + shown.length)} shown` : "";
    const of = found.length < runs.length ? ` of ${count(runs.length)}` : "";
    byId("run-count").textContent = `${count(found.length)}${of} runs${range}`;
    byId("run-previous").disabled = first === 0;
    byId("run-next").disabled = first + PAGE >= found.length;
  }

  /** A value of the metric that decides, as tables have it. */
  function written(value) {
    const { digits, powers } = data.scale;
    return powers ? value.toExponential(digits).replace("e+", "e") : value.toFixed(digits);
  }

  function rowOf(run) {
    const number = (value, digits) =>
      make("td", { className: "number" }, value === null ? "—" : value.toFixed(digits));
    const name = (value) => make("td", { className: "name" }, value);
    const opener = make("button", { type: "button", className: "opener" }, run.id);
    opener.setAttribute("aria-expanded", "false");
    const reason = run.reason ? make("span", { className: "reason" }, run.reason) : null;
    const row = make("tr", {},
      make("th", { scope: "row" }, opener),
      name(run.dataset), name(run.model), name(run.loss),
      make("td", { className: "number" }, String(run.seed)),
      make("td", {}, make("span", { className: `state ${run.state}` }, run.state), reason),
      make("td", { className: "number" }, run.value === null ? "—" : written(data.scale.factor * run.value)),
      number(run.epoch, 0), number(run.seconds, 1),
      make("td", { className: "traces" }, ...links(run)));
    opener.onclick = () => {
      const open = opener.getAttribute("aria-expanded") === "true";
      opener.setAttribute("aria-expanded", String(!open));
      if (open) row.nextElementSibling.remove();
      else row.after(detailsOf(run));
    };
    return row;
  }

  function links(run) {
    const link = (label, href) => {
      const made = make("a", { href, rel: "noreferrer" }, label);
      made.setAttribute("aria-label", `${label} of run ${run.id}`);
      return made;
    };
    return [
      run.log ? link("log", address(run.log)) : null,
      run.state === "waiting" ? null : link("folder", `../runs/${run.id}/`),
      data.link && run.state !== "waiting" ? link("MLflow", data.link.replace("{run}", run.id)) : null,
    ].filter(Boolean);
  }

  function address(path) {
    return path.split("/").map(encodeURIComponent).join("/");
  }

  function detailsOf(run) {
    const facts = [
      ["run folder", `runs/${run.id}/`],
      ["log", run.log || "none"],
      ["trained on", run.trained || "—"],
      ["correct", run.correct === null ? "—" : `${count(run.correct)} of ${count(run.total)} test images`],
      ...run.cell.flat,
      ["seed", String(run.seed)],
    ];
    const list = facts.map(([key, value]) => make("div", {}, make("dt", {}, key), make("dd", {}, value)));
    return make("tr", { className: "details" },
      make("td", { colSpan: 10 }, make("dl", { className: "legend" }, ...list)));
  }

  for (const [axis, select] of choices) {
    for (const value of new Set(runs.map((run) => run[axis]))) select.append(make("option", { value }, value));
    select.closest("label").hidden = select.options.length < 3;
  }
  panel.querySelector("form").addEventListener("input", filterRuns);
  panel.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  sortable(panel.querySelector("table"), (head, direction) => {
    runs.sort((a, b) => order(a[head.dataset.key], b[head.dataset.key], direction));
    filterRuns();
  });
  byId("run-previous").onclick = () => { first -= PAGE; show(); };
  byId("run-next").onclick = () => { first += PAGE; show(); };
  panel.hidden = false;
  show();

  // -------------------------------------------------------------------------------------------- print

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    first = 0;
    show(SHEET);
  });
  addEventListener("afterprint", () => show());
})();
