// Draws the charts, sorts tables, turns rows off and on, and the page dark.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const button = document.getElementById("theme");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
const sayTheme = () => { button.textContent = isDark() ? "Light" : "Dark"; };
button.hidden = false;
button.onclick = () => { root.dataset.theme = isDark() ? "light" : "dark"; sayTheme(); };
dark.addEventListener("change", sayTheme);
sayTheme();

for (const table of document.querySelectorAll("main table")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const sort = () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (row) => {
        const cell = row.cells[column];
        return cell.dataset.order === undefined ? cell.textContent : Number(cell.dataset.order);
      };
      const compare = (a, b) => {
        const [one, other] = [order(a), order(b)];
        // What has no figure stays last, whichever way a column of figures is sorted.
        if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
        const by = typeof one === "number" ? one - other : one.localeCompare(other, undefined, { numeric: true });
        return down ? -by : by;
      };
      for (const body of table.tBodies) body.append(...[...body.rows].sort(compare));
    };
    heading.tabIndex = 0;
    heading.onclick = sort;
    heading.onkeydown = (event) => { if (event.key === "Enter") sort(); };
  });
}

const { charts, data } = JSON.parse(document.getElementById("payload").textContent);
const ink = "currentColor";
const text = { labelColor: ink, titleColor: ink, labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal" };
const config = {
  background: null,
  font: getComputedStyle(document.body).fontFamily,
  view: { stroke: null },
  axis: { ...text, domainColor: ink, domainOpacity: 0.4, tickColor: ink, tickOpacity: 0.4, gridColor: ink, gridOpacity: 0.12 },
  legend: { ...text, symbolOpacity: 1, symbolStrokeWidth: 3 },
  text: { fontSize: 11 },
};
const views = [];
const legend = document.getElementById("legend");
for (const [place, spec] of charts.entries()) {
  const element = document.getElementById(`chart${place}`);
  spec.datasets = data;
  try {
    const { view } = await vegaEmbed(element, spec, { renderer: "svg", actions: false, config });
    views.push(view);
  } catch (error) {
    element.textContent = `This chart could not be drawn: ${error.message}`;
  }
}
if (legend) {
  legend.hidden = views.length === 0;
  const hidden = new Set();
  for (const row of legend.querySelectorAll("button")) {
    row.onclick = () => {
      const name = row.dataset.row;
      hidden[hidden.has(name) ? "delete" : "add"](name);
      row.setAttribute("aria-pressed", String(!hidden.has(name)));
      for (const view of views) view.signal("hidden", [...hidden]).runAsync();
    };
  }
}
root.dataset.drawn = String(views.length);
