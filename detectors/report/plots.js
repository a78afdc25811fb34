"use strict";
const root = document.documentElement, button = document.getElementById("theme");
const plots = [...document.querySelectorAll(".plot")];
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
function themed(layout) {
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), tickcolor: colour("--line") };
  const out = { ...layout, font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") } };
  out.hoverlabel = { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: out.font };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) out[name] = { ...axis, ...layout[name] };
  return out;
}
function draw() {
  button.textContent = isDark() ? "Light theme" : "Dark theme";
  plots.forEach(drawOne);
}
function drawOne(plot) {
  const { data, layout } = plot.frame ?? JSON.parse(document.getElementById(plot.id + "-data").textContent);
  const modeBarButtonsToRemove = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"];
  const size = document.body.style.width ? { width: plot.clientWidth } : { autosize: true };
  Plotly.react(plot, data, { ...themed(layout), ...size }, { responsive: true, displaylogo: false, modeBarButtonsToRemove });
}
function turn(theme) { root.dataset.theme = theme; draw(); }
button.hidden = false;
button.addEventListener("click", () => turn(isDark() ? "light" : "dark"));
prefersDark.addEventListener("change", draw);
let shown;
const wide = (width) => { document.body.style.width = width; };  // of A4 between its margins: plots are drawn for it
addEventListener("beforeprint", () => { shown = root.dataset.theme; wide("700px"); turn("light"); });
addEventListener("afterprint", () => { wide(""); if (shown) turn(shown); else { delete root.dataset.theme; draw(); } plots.forEach((plot) => Plotly.Plots.resize(plot)); });
draw();
