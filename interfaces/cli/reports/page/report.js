"use strict";
// Everything shown comes from systems under test: it only ever becomes text nodes, never markup.
(() => {
  const PAGE = 200;
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const $ = (id) => document.getElementById(id);
  const index = read("index");
  const state = { text: "", verdict: "", shown: PAGE, id: "", attempt: 0, step: "" };
  const BAD = ["failed", "error", "timed_out", "cancelled", "lost", "running", "tolerated"];

  // Characters that are not seen, or turn the direction of text, are written out.
  const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;
  const visible = (text) => text.replace(UNSEEN, (one) => "\\u" + one.charCodeAt(0).toString(16).padStart(4, "0"));
  function make(tag, props, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(props || {})) {
      if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
      else if (name === "cls") element.className = value;
      else element.setAttribute(name, value);
    }
    for (const child of children.flat()) if (child !== null && child !== undefined) element.append(typeof child === "string" ? visible(child) : child);
    return element;
  }
  const words = (verdict) => String(verdict).replaceAll("_", " ");
  const verdictOf = (verdict) => make("span", { cls: "verdict " + verdict }, mark(verdict) + " " + words(verdict));
  function mark(verdict) {
    if (verdict === "passed" || verdict === "passed_on_retry") return "\u2713";
    if (verdict === "skipped") return "\u2013";
    return verdict === "tolerated" ? "!" : "\u2717";
  }
  function took(ms) {
    if (ms < 1000) return (ms < 10 ? ms.toFixed(1) : Math.round(ms)) + " ms";
    return ms < 60000 ? (ms / 1000).toFixed(2) + " s" : Math.floor(ms / 60000) + " min " + Math.round((ms % 60000) / 1000) + " s";
  }
  const link = (id, step) => "#" + id + (step ? "/" + encodeURIComponent(step) : "");

  // The list ------------------------------------------------------------------------------------------------------
  function matching() {
    const wanted = state.text.toLowerCase();
    return index.executions.filter((one) => (!state.verdict || one.verdict === state.verdict) &&
      (!wanted || (one.title + " " + one.file + " " + one.why + " " + one.id).toLowerCase().includes(wanted)));
  }
  function list() {
    const found = matching();
    const items = found.slice(0, state.shown).map((one) => make("li", {},
      make("a", { href: link(one.id, ""), "aria-current": String(one.id === state.id) },
        verdictOf(one.verdict), " ", one.title, " ",
        make("span", { cls: "soft" }, took(one.ms)),
        one.why ? make("span", { cls: "why" }, one.why) : null)));
    $("list").replaceChildren(...items);
    $("found").textContent = found.length + " of " + index.executions.length + " executions" +
      (index.left_out ? "; " + index.left_out + " more are left out of this file" : "");
    $("more").hidden = found.length <= state.shown;
    $("more").textContent = "Show " + Math.min(PAGE, found.length - state.shown) + " more";
  }
  function filters() {
    const counts = {};
    for (const one of index.executions) counts[one.verdict] = (counts[one.verdict] || 0) + 1;
    const button = (verdict, text) => make("button", { type: "button", "aria-pressed": String(state.verdict === verdict),
      on: { click: () => { state.verdict = verdict; state.shown = PAGE; filters(); list(); } } }, text);
    $("filters").replaceChildren(button("", "all " + index.executions.length),
      ...Object.entries(counts).map(([verdict, n]) => button(verdict, words(verdict) + " " + n)));
  }

  // One execution ---------------------------------------------------------------------------------------------------
  function detail() {
    const place = $("detail");
    const entry = index.executions.find((one) => one.id === state.id);
    if (!entry) {
      place.replaceChildren(make("p", { cls: "soft" }, index.executions.length ? "Choose an execution." : "Nothing was run."));
      return;
    }
    const source = $("x-" + entry.place);
    if (!source) {
      place.replaceChildren(heading(entry, {}), make("p", { cls: "note" }, "Its steps are left out: this file would be too large. The JSON report has them."));
      return;
    }
    const data = JSON.parse(source.textContent);
    const attempts = [...new Set(data.steps.map((step) => step.attempt))];
    const attempt = attempts.includes(state.attempt) ? state.attempt : data.attempt;
    const steps = data.steps.filter((step) => step.attempt === attempt);
    place.replaceChildren(heading(entry, data), choose(attempts, attempt, entry.id), summary(data), tree(steps, entry, attempt),
      data.left_out ? make("p", { cls: "note" }, data.left_out) : "");
  }
  function heading(entry, data) {
    return make("div", {}, make("h2", { tabindex: "-1", id: "title" }, verdictOf(entry.verdict), " ", entry.title),
      make("p", { cls: "mono soft" }, entry.file), entry.superseded ? make("p", { cls: "note" }, "Repeated by " + entry.superseded + "; it does not count.") : null,
      data.message ? make("p", {}, (data.cause ? data.cause + ": " : "") + data.message) : null);
  }
  function choose(attempts, current, id) {
    if (attempts.length < 2) return "";
    return make("div", { cls: "attempts", role: "group", "aria-label": "Attempts" }, attempts.map((number) =>
      make("button", { type: "button", "aria-pressed": String(number === current),
        on: { click: () => { state.attempt = number; state.step = ""; detail(); } } }, "attempt " + number)));
  }
  function summary(data) {
    const rows = [["time", took(data.ms)], ["started", data.started_at || ""], ["seed", data.seed], ["execution", data.id], ["again", data.again]];
    if (Object.keys(data.outputs || {}).length) rows.push(["outputs", JSON.stringify(data.outputs)]);
    return make("table", {}, make("tbody", {}, rows.filter((row) => row[1]).map(([name, value]) =>
      make("tr", {}, make("th", { scope: "row" }, name), make("td", { cls: "mono" }, value)))));
  }
  function tree(steps, entry, attempt) {
    const whole = Math.max(1, ...steps.map((step) => (step.begin || 0) + step.ms));
    const begin = Math.min(...steps.map((step) => step.begin || 0), whole);
    const chosen = steps.find((step) => step.path === state.step) || (state.step ? null : steps.find((step) => step.first));
    return make("ul", { cls: "tree", "aria-label": "Steps" }, steps.map((step) => {
      const inside = make("div", { cls: "inside" });
      const open = step === chosen;
      const lane = make("i", { cls: BAD.includes(step.verdict) ? "bad" : "" });
      lane.style.left = 100 * ((step.begin || 0) - begin) / (whole - begin || 1) + "%";
      lane.style.width = 100 * step.ms / (whole - begin || 1) + "%";
      const name = make("span", { cls: "name" }, verdictOf(step.verdict), " ", make("span", { cls: "soft" }, step.phase + ": "), step.name, " ",
        make("code", { cls: "soft" }, step.action));
      name.style.paddingLeft = Math.min(step.depth, 10) * 1.2 + "rem";
      const row = make("button", { type: "button", cls: "row", "aria-expanded": String(open), title: step.path }, name,
        make("span", { cls: "lane", "aria-hidden": "true" }, lane), make("span", { cls: "took soft" }, took(step.ms)));
      const show = (wanted) => {
        row.setAttribute("aria-expanded", String(wanted));
        inside.hidden = !wanted;
        if (wanted && !inside.childNodes.length) inside.append(...inner(step, entry));
      };
      row.addEventListener("click", () => {
        const wanted = row.getAttribute("aria-expanded") !== "true";
        show(wanted);
        if (wanted) { state.step = step.path; history.replaceState(null, "", link(entry.id, step.path)); }
      });
      show(open);
      return make("li", { "data-path": step.path }, row, inside);
    }));
  }

  // One step --------------------------------------------------------------------------------------------------------
  function inner(step, entry) {
    const parts = [make("p", { cls: "mono soft" }, step.path, " ", make("a", { href: link(entry.id, step.path) }, "link"))];
    if (step.left_out) return [...parts, make("p", { cls: "note" }, step.left_out)];
    if (step.reason) parts.push(make("p", {}, step.reason));
    if (step.error) parts.push(make("p", {}, make("span", { cls: "verdict error" }, step.error.kind), " ", step.error.message),
      step.error.hint ? make("p", { cls: "soft" }, step.error.hint) : null, excerpt(step.error.excerpt));
    step.tries.forEach((made, place) => {
      if (step.tries.length > 1) parts.push(make("h3", {}, "Try " + made.number + " of " + step.tries.length + ": " + words(made.verdict) + ", " + took(made.ms)));
      else if (made.assertions.length) parts.push(make("h3", {}, "Assertions"));
      if (made.error && place < step.tries.length - 1) parts.push(make("p", {}, made.error.kind + ": " + made.error.message));
      parts.push(...made.assertions.map(check));
      if (made.left_out) parts.push(make("p", { cls: "note" }, made.left_out + " more assertions are not in the record."));
    });
    if (step.exchange) parts.push(...exchange(step.exchange, step.curl));
    if (Object.keys(step.outputs || {}).length) parts.push(make("h3", {}, "Outputs"), block(pretty(step.outputs)));
    if (step.result) parts.push(make("h3", {}, "Result"), block(pretty(step.result)));
    if (step.shortened) parts.push(make("p", { cls: "note" }, "The result was too big for the record: this is an excerpt."));
    if (step.logs.length) parts.push(make("h3", {}, "Log"), block(step.logs.map((line) => "[" + line.level + "] " + line.message).join("\n")));
    return parts.filter((part) => part);
  }
  function check(one) {
    const head = make("p", {}, make("span", { cls: "verdict " + (one.passed ? "passed" : "failed") }, one.passed ? "\u2713 holds" : "\u2717 fails"), " ",
      make("code", {}, one.expression));
    if (one.passed) return make("div", { cls: "check" }, head);
    const rows = [];
    if (one.expected !== undefined) rows.push(["expected", (one.operator && one.operator !== "==" ? one.operator + " " : "") + one.expected]);
    if (one.actual !== undefined) rows.push(["actual", one.actual]);
    for (const [text, value] of one.values) rows.push([text, value]);
    return make("div", { cls: "check" }, head, one.message ? make("p", {}, one.message) : null, one.error ? make("p", {}, one.error) : null,
      rows.length ? make("table", {}, make("tbody", {}, rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row", cls: "mono" }, name), make("td", { cls: "mono" }, value))))) : null,
      one.diff.length ? make("pre", {}, one.diff.map((line) => make("span", { cls: line[0] === "-" ? "minus" : line[0] === "+" ? "plus" : "" }, line + "\n"))) : null,
      excerpt(one.excerpt));
  }
  function excerpt(found) {
    if (!found) return null;
    return make("div", {}, make("p", { cls: "mono soft" }, found.file + ":" + found.line + ":" + found.column),
      found.lines.length ? make("pre", { cls: "source", tabindex: "0" }, found.lines.map(([number, text]) => make("span", { cls: number === found.line ? "here" : "" },
        String(number).padStart(5) + " | " + text + "\n" + (number === found.line ? "      | " + " ".repeat(found.caret) + "^\n" : "")))) : null);
  }
  function exchange(made, curl) {
    const parts = [];
    for (const side of ["request", "response"]) {
      const one = made[side];
      if (!one || !Object.keys(one).length) continue;
      parts.push(make("h3", {}, side === "request" ? "Request" : "Response"));
      const { headers, body, ...rest } = one;
      const line = side === "request" ? [rest.method, rest.url] : [rest.status, typeof rest.time === "number" ? "in " + took(rest.time) : ""];
      parts.push(make("p", { cls: "mono" }, line.some((word) => word !== undefined && word !== "") ? line.filter((word) => word !== undefined).join(" ") : JSON.stringify(rest)));
      if (side === "request" && curl) parts.push(copier(curl));
      if (headers && typeof headers === "object") parts.push(make("details", {}, make("summary", {}, Object.keys(headers).length + " headers"),
        make("table", {}, make("tbody", {}, Object.entries(headers).map(([name, value]) => make("tr", {}, make("th", { scope: "row", cls: "mono" }, name), make("td", { cls: "mono" }, typeof value === "string" ? value : JSON.stringify(value))))))));
      if (body !== undefined && body !== null && body !== "") parts.push(block(pretty(body)));
    }
    return parts;
  }
  function copier(text) {
    const said = make("span", { cls: "soft", role: "status" });
    const button = make("button", { type: "button", on: { click: async () => {
      try { await navigator.clipboard.writeText(text); said.textContent = " copied"; }
      catch { shown.open = true; getSelection().selectAllChildren(shown.querySelector("pre")); said.textContent = " selected; copy it with the keyboard"; }
    } } }, "Copy as curl");
    const shown = make("details", {}, make("summary", {}, "curl"), block(text));
    return make("div", {}, button, said, shown);
  }
  const block = (text) => make("pre", { tabindex: "0" }, text);
  function pretty(value) {
    if (typeof value !== "string") return JSON.stringify(value, null, 2);
    if (!/^\s*[\[{]/.test(value)) return value;
    try { return JSON.stringify(JSON.parse(value), null, 2); } catch { return value; }
  }

  // Places, keys ------------------------------------------------------------------------------------------------------
  function decode(text) { try { return decodeURIComponent(text); } catch { return text; } }
  function go(focus, first) {
    const [id, ...rest] = location.hash.slice(1).split("/");
    state.id = id || (index.executions.length ? index.executions[0].id : "");
    state.step = decode(rest.join("/"));
    state.attempt = 0;
    list();
    detail();
    const step = state.step && [...document.querySelectorAll("#detail [data-path]")].find((one) => one.dataset.path === state.step);
    if (step) { step.scrollIntoView({ block: "start" }); if (focus) step.querySelector("button").focus(); }
    else if (focus && !first && $("title")) $("title").focus({ preventScroll: true });
  }
  function move(by) {
    const found = matching();
    const at = found.findIndex((one) => one.id === state.id);
    const next = found[Math.max(0, Math.min(found.length - 1, at + by))];
    if (next) location.hash = link(next.id, "");
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === $("search")) { if (event.key === "Escape") event.target.blur(); return; }
    if (event.key === "/") { event.preventDefault(); $("search").focus(); }
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
  });
  $("search").addEventListener("input", (event) => { state.text = event.target.value; state.shown = PAGE; list(); });
  $("more").addEventListener("click", () => { state.shown += PAGE; list(); });
  addEventListener("hashchange", () => go(true, false));
  filters();
  go(location.hash.length > 1, true);
})();
