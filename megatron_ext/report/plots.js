// Draws each of `figures` into the element of its name, in the colours of the screen, or on white for the printer.
const scheme = matchMedia("(prefers-color-scheme: dark)");
function draw(dark) {
  const [ink, grid, zero] = dark ? ["#a19b8f", "#3b3833", "#6b675f"] : ["#6b675f", "#e6e1d6", "#b5aea0"];
  const axis = {gridcolor: grid, zerolinecolor: zero, linecolor: grid, automargin: true};
  for (const [name, {traces, layout}] of Object.entries(figures)) {
    const place = document.getElementById(name);
    if (!place) continue;
    place.hidden = !traces.length;
    if (place.hidden) continue;
    Plotly.react(place, traces, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: {l: 60, r: 30, t: 30, b: 50}, legend: {orientation: "h", y: 1.02, yanchor: "bottom"}, ...layout,
      font: {color: ink, size: 13, family: "system-ui, sans-serif", ...layout.font},
      xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis},
      shapes: (layout.shapes ?? []).map(shape => ({...shape, line: {color: ink, ...shape.line}})),
    }, {displayModeBar: false, responsive: true});
  }
}
draw(scheme.matches);
scheme.addEventListener("change", () => draw(scheme.matches));
addEventListener("beforeprint", () => draw(false));
addEventListener("afterprint", () => draw(scheme.matches));
