"use strict";
const tip = document.getElementById("tip");

// Above a place; or beside a cursor, so that it leaves the legend free.
function showTip(nodes, x, y, beside = false) {
  tip.replaceChildren(...nodes);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const farthest = innerWidth - box.width - 8;
  const isRight = !beside || x + 14 <= farthest;
  const left = isRight ? x + 14 : x - 14 - box.width;
  const above = beside ? y : y - box.height - 12;
  tip.style.left = Math.min(Math.max(8, left), farthest) + "px";
  tip.style.top = (above > 8 ? above : y + 18) + "px";
}

function hideTip() { tip.hidden = true; }

function bold(text) {
  const node = document.createElement("b");
  node.textContent = text;
  return node;
}

// Cells: the first line of what they tell is the method.
for (const kind of ["pointerover", "click"]) {
  document.addEventListener(kind, event => {
    const cell = event.target.closest("[data-tip]");
    if (!cell) { if (!event.target.closest("[data-chart]")) hideTip(); return; }
    const [first, ...rest] = cell.dataset.tip.split("\n");
    const box = cell.getBoundingClientRect();
    showTip([bold(first), rest.join("\n")], box.left, box.top);
  });
}
addEventListener("scroll", hideTip, {passive: true, capture: true});
addEventListener("keydown", event => { if (event.key === "Escape") hideTip(); });

// Tables: a press sorts, numbers from the highest; another press turns the order.
for (const table of document.querySelectorAll("table.results")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.firstChild.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const falls = before === "none" ? column > 0 : before === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const value = row => row.cells[column].dataset.sort;
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => column
        ? value(a) - value(b)
        : value(a).localeCompare(value(b), "en", {numeric: true}));
      body.append(...(falls ? rows.reverse() : rows));
    });
  });
}

// Charts: the values of the epoch that is nearest to the pointer, highest first.
const hiddenSeries = new Set();

function color(number) { return "var(--line-" + number % 7 + ")"; }

function tellEpoch(svg, about, index) {
  const cursor = svg.querySelector(".cursor");
  const place = about.places[index];
  cursor.setAttribute("x1", place);
  cursor.setAttribute("x2", place);
  cursor.removeAttribute("hidden");
  const lines = about.series
    .filter(one => index < one.values.length && !hiddenSeries.has(one.series))
    .sort((a, b) => b.values[index] - a.values[index])
    .map(one => {
      const line = document.createElement("div");
      const sample = document.createElement("i");
      sample.style.background = color(one.series);
      const seeds = one.seeds[index];
      line.append(sample, one.values[index].toFixed(4) + "  " + one.name +
        (seeds > 1 ? " (" + seeds + " seeds)" : ""));
      return line;
    });
  const box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  showTip([bold("epoch " + (index + 1)), ...lines], box.left + place * scale, box.top + 30, true);
}

for (const svg of document.querySelectorAll("[data-chart]")) {
  const about = JSON.parse(svg.dataset.chart);
  let index = about.places.length - 1;
  const leave = () => {
    svg.querySelector(".cursor").setAttribute("hidden", "");
    hideTip();
  };
  const point = event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const far = about.places.map(place => Math.abs(place - x));
    index = far.indexOf(Math.min(...far));
    tellEpoch(svg, about, index);
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    index = Math.min(Math.max(index + step, 0), about.places.length - 1);
    tellEpoch(svg, about, index);
  });
}

// The legend hides lines, and lifts one out while the pointer is on it.
for (const button of document.querySelectorAll(".legend button")) {
  const number = Number(button.dataset.series);
  const lines = document.querySelectorAll('.series[data-series="' + number + '"]');
  const charts = document.querySelector(".charts");
  button.addEventListener("click", () => {
    const isShown = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", isShown);
    if (isShown) hiddenSeries.delete(number); else hiddenSeries.add(number);
    for (const line of lines) line.style.display = isShown ? "" : "none";
  });
  const lift = isLifted => {
    charts.classList.toggle("dimmed", isLifted);
    for (const line of lines) line.classList.toggle("chosen", isLifted);
  };
  for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => lift(true));
  for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => lift(false));
}
