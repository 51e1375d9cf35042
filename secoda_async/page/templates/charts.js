"use strict";
// What pages draw with: plotly in the page's own colours, and the neighbourhood of a resource.
const charts = (() => {
  const MOST_DRAWN = 20; // in one column; the lists beside the drawing hold the others
  const number = (value) => value.toLocaleString("en-GB");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // What a library would read as markup in a label is shown as it is.
  const asText = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const clip = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const layout = (more) => ({
    font: { color: colour("ink"), family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest",
    margin: { l: 48, r: 12, t: 8, b: 40 },
    hoverlabel: { bgcolor: colour("panel"), font: { color: colour("ink") }, bordercolor: colour("line") },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, ...more,
  });
  const axis = (title, more = {}) => ({
    title: { text: title }, gridcolor: colour("line"), zerolinecolor: colour("line"), fixedrange: true, ...more,
  });
  const draw = (place, traces, more) =>
    Plotly.react(place, traces, layout(more), { displayModeBar: false, responsive: true });

  // `columns`: [{step, count, nodes: [{name, kind, of}]}] from left to right, where step 0 is the resource itself and
  // `count` may be more than its nodes; `edges`: [from, to], each a node's number over all columns, in their order.
  // `walk` is given the `of` of the node that was chosen.
  const drawNeighbourhood = (place, { columns, edges }, walk) => {
    const parts = columns.filter(({ count }) => count);
    const rows = ({ count, nodes }) => Math.min(nodes.length, MOST_DRAWN) + (count > MOST_DRAWN ? 1 : 0);
    const tallest = Math.max(...parts.map(rows));
    const at = new Map();
    const drawn = [];
    let first = 0;
    for (const column of columns) {
      column.nodes.slice(0, MOST_DRAWN).forEach((node, row) => {
        at.set(first + row, [column.step, (rows(column) - 1) / 2 - row]);
        drawn.push({ ...node, x: column.step, y: (rows(column) - 1) / 2 - row });
      });
      first += column.nodes.length;
    }
    const lines = edges.filter(([from, to]) => at.has(from) && at.has(to) && from !== to);
    const ends = (axis) => lines.flatMap(([from, to]) => [at.get(from)[axis], at.get(to)[axis], null]);
    const rests = parts.filter(({ count }) => count > MOST_DRAWN);
    const steps = parts.map(({ step }) => step);
    const letters = Math.max(4, Math.floor(place.clientWidth / (steps.length * 7.5)));
    const isStart = ({ x }) => x === 0;
    draw(place, [
      {
        x: ends(0), y: ends(1), mode: "lines", type: "scatter", hoverinfo: "skip", opacity: 0.5, // names stand over it
        line: { color: colour("quiet"), width: 1 },
      },
      {
        x: drawn.map(({ x }) => x), y: drawn.map(({ y }) => y), customdata: drawn.map((node) => node.of),
        text: drawn.map(({ name }) => asText(clip(name, letters))),
        hovertext: drawn.map(({ name, kind }) => asText(`${clip(name, 80)} (${kind})`)),
        hoverinfo: "text", mode: "markers+text", textposition: "top center", type: "scatter", cliponaxis: false,
        marker: {
          size: drawn.map((node) => (isStart(node) ? 16 : 11)),
          color: drawn.map((node) => colour(isStart(node) ? "wait" : "accent")),
        },
      },
      {
        x: rests.map(({ step }) => step), y: rests.map((column) => -(rows(column) - 1) / 2), mode: "text",
        type: "scatter", hoverinfo: "skip", text: rests.map(({ count }) => `… ${number(count - MOST_DRAWN)} more`),
        textfont: { color: colour("quiet") },
      },
    ], {
      height: Math.max(150, tallest * 44 + 60), showlegend: false, margin: { l: 8, r: 8, t: 12, b: 12 },
      xaxis: { visible: false, fixedrange: true, range: [Math.min(...steps) - 0.5, Math.max(...steps) + 0.5] },
      yaxis: { visible: false, fixedrange: true, range: [-tallest / 2 - 0.2, tallest / 2 + 0.4] },
    });
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", ({ points }) => {
      if (points[0].customdata !== undefined) walk(points[0].customdata);
    });
  };

  // Again in the other colours, when the reader's system changes them.
  const redrawOn = (drawAll) =>
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

  return { asText, axis, clip, colour, draw, drawNeighbourhood, number, redrawOn };
})();
