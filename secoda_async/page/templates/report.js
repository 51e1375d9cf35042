"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en-GB");
  const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // What a library would read as markup in a label is shown as it is.
  const asText = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const element = (name, text = "", className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
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

  // What is wider than the window can be scrolled without a mouse too.
  const letScroll = () => {
    for (const place of document.querySelectorAll(".table")) {
      if (place.scrollWidth <= place.clientWidth) continue;
      place.tabIndex = 0;
      place.setAttribute("role", "region");
      place.setAttribute("aria-label", place.querySelector("caption").textContent);
    }
  };

  // Tables whose headings sort.
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, place) => {
      const button = element("button", heading.textContent);
      button.type = "button";
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const isNumber = heading.classList.contains("number");
        const was = heading.getAttribute("aria-sort");
        const now = was === (isNumber ? "descending" : "ascending") ? (isNumber ? "ascending" : "descending")
          : (isNumber ? "descending" : "ascending");
        headings.forEach((one) => one.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", now);
        const key = (row) => (isNumber ? Number(row.cells[place].dataset.value) : row.cells[place].textContent);
        const compare = (one, other) => (isNumber ? key(one) - key(other) : key(one).localeCompare(key(other)));
        const sign = now === "ascending" ? 1 : -1;
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => sign * compare(a, b)));
      });
    });
  }

  // The timeline.
  const timeline = JSON.parse(byId("timeline-data").textContent);
  const drawTimeline = () => {
    const x = timeline.seconds;
    const line = (name, y, colourName, more = {}) => ({
      x, y, name: asText(name), type: "scatter", mode: "lines",
      line: { color: colour(colourName), width: 2, shape: "hv" }, ...more,
    });
    const seconds = axis("seconds since the run began", { rangemode: "tozero" });
    draw("flight", [
      line("under way", timeline.under_way, "accent"),
      line("waiting for a limit, a slot or a repeat", timeline.waiting, "wait"),
      line("to the workspace", timeline.uploading, "upload"),
    ], { xaxis: seconds, yaxis: axis("requests", { rangemode: "tozero" }) });
    const rate = (left) => left.slice(1).map((value, place) => (value - left[place]) / (x[place + 1] - x[place] || 1));
    const styles = ["accent", "wait", "upload", "bad"];
    const isAll = (left) => left.every((value, place) => value === timeline.attempts[place]);
    const traces = timeline.limits.some(({ left }) => isAll(left)) ? [] : [{
      ...line("all requests", rate(timeline.attempts), "quiet"), x: x.slice(1),
      line: { color: colour("quiet"), width: 2, shape: "vh" },
    }];
    const dashed = (name, value, colourName) => ({
      x: [x[0], x[x.length - 1]], y: [value, value], name: asText(name), type: "scatter", mode: "lines",
      line: { color: colour(colourName), width: 2, dash: "dash" },
    });
    timeline.limits.forEach((limit, place) => {
      const name = `${limit.host}, under ${number(limit.requests)} per ${limit.per} s`;
      const solid = { color: colour(styles[place]), width: 2, shape: "vh" };
      traces.push({ ...line(name, rate(limit.left), styles[place]), x: x.slice(1), line: solid });
      traces.push(dashed(`limit: ${number(limit.requests)} per ${limit.per} s`, limit.requests / limit.per, styles[place]));
    });
    Object.entries(timeline.found_rates).forEach(([host, value], place) => {
      traces.push(dashed(`${host}: limit found, ${number(value)} a second`, value, "good"));
    });
    draw("rate", traces, {
      xaxis: seconds, yaxis: axis("requests a second", { rangemode: "tozero" }), showlegend: true,
    });
  };

  // Resources: read when somebody searches, since there may be very many.
  const MOST_RESULTS = 50;
  const MOST_NODES = 500;
  const MOST_DRAWN = 20; // in one column of the drawing; the lists below it hold the others
  let records = null;
  const load = () => {
    if (records !== null) return records;
    const source = byId("records-data");
    records = JSON.parse(source.textContent);
    source.remove();
    const size = records.ids.length;
    records.name = (node) => records.titles[node] || records.ids[node];
    records.kind = (node) => records.types[records.type[node]];
    records.text = records.ids.map((id, node) => `${records.titles[node]}\n${id}`.toLowerCase());
    // Neighbours of a node lie together: from `at[node]` to `at[node + 1]`.
    const neighbours = (from, to) => {
      const at = new Uint32Array(size + 2);
      for (let i = from; i < records.edges.length; i += 2) at[records.edges[i] + 2] += 1;
      for (let i = 2; i < at.length; i += 1) at[i] += at[i - 1];
      const nodes = new Uint32Array(records.edges.length / 2);
      for (let i = 0; i < records.edges.length; i += 2) {
        nodes[at[records.edges[i + from] + 1]++] = records.edges[i + to];
      }
      return (node) => nodes.subarray(at[node], at[node + 1]);
    };
    records.down = neighbours(0, 1);
    records.up = neighbours(1, 0);
    return records;
  };

  const button = (node) => {
    const item = element("li");
    const made = element("button");
    made.type = "button";
    made.append(element("span", records.name(node), "name"));
    const id = records.titles[node] ? `${records.kind(node)} · ${records.ids[node]}` : records.kind(node);
    made.append(element("span", id, "id"));
    made.addEventListener("click", () => walk(node));
    item.append(made);
    return item;
  };

  const search = () => {
    const wanted = byId("query").value.trim().toLowerCase();
    const { ids, text } = load();
    const found = [];
    let count = 0;
    if (wanted) {
      for (let node = 0; node < ids.length; node += 1) {
        if (text[node].includes(wanted)) {
          count += 1;
          if (found.length < MOST_RESULTS) found.push(node);
        }
      }
    }
    byId("results").replaceChildren(...found.map(button));
    const more = count > found.length ? `; the first ${MOST_RESULTS} are shown` : "";
    byId("found").textContent = wanted ? `${number(count)} found${more}.` : `${number(ids.length)} to search.`;
  };

  // Columns by steps: -2 and -1 before the node, 1 and 2 after it. A node stands where it is nearest.
  const neighbourhood = (start) => {
    const step = new Map([[start, 0]]);
    const columns = new Map([[0, [start]]]);
    for (const distance of [1, 2]) {
      for (const sign of [-1, 1]) {
        const before = columns.get(sign * (distance - 1)) || [];
        const next = [];
        for (const node of before) {
          for (const other of sign < 0 ? records.up(node) : records.down(node)) {
            if (!step.has(other)) {
              step.set(other, sign * distance);
              next.push(other);
            }
          }
        }
        columns.set(sign * distance, next);
      }
    }
    // Each column has an equal part of the room, and what one leaves free the others have, the nearest first.
    const steps = [-1, 1, -2, 2];
    const size = (step) => columns.get(step).length;
    const share = new Map(steps.map((step) => [step, Math.min(size(step), Math.floor((MOST_NODES - 1) / 4))]));
    let room = MOST_NODES - 1 - [...share.values()].reduce((sum, value) => sum + value, 0);
    for (const step of steps) {
      const more = Math.min(room, size(step) - share.get(step));
      share.set(step, share.get(step) + more);
      room -= more;
    }
    const shown = new Map([[0, [start]], ...steps.map((step) => [step, columns.get(step).slice(0, share.get(step))])]);
    return { columns, shown };
  };

  let current = null;
  const drawGraph = ({ columns, shown }) => {
    const steps = [-2, -1, 0, 1, 2].filter((step) => columns.get(step).length);
    const drawn = new Map(steps.map((step) => [step, shown.get(step).slice(0, MOST_DRAWN)]));
    const rests = steps.filter((step) => columns.get(step).length > drawn.get(step).length);
    const rows = (step) => drawn.get(step).length + (rests.includes(step) ? 1 : 0);
    const tallest = Math.max(...steps.map(rows));
    const place = new Map();
    for (const step of steps) {
      drawn.get(step).forEach((node, row) => place.set(node, [step, (rows(step) - 1) / 2 - row]));
    }
    const x = [];
    const y = [];
    for (const [node, [fromX, fromY]] of place) {
      for (const other of records.down(node)) {
        const to = place.get(other);
        if (to !== undefined && other !== node) {
          x.push(fromX, to[0], null);
          y.push(fromY, to[1], null);
        }
      }
    }
    const width = byId("graph").clientWidth;
    const letters = Math.max(4, Math.floor(width / (steps.length * 7.5)));
    const height = Math.max(150, tallest * 44 + 60);
    const clip = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
    const nodes = [...place.keys()];
    draw("graph", [
      { x, y, mode: "lines", type: "scatter", line: { color: colour("quiet"), width: 1 }, hoverinfo: "skip" },
      {
        x: nodes.map((node) => place.get(node)[0]), y: nodes.map((node) => place.get(node)[1]), customdata: nodes,
        text: nodes.map((node) => asText(clip(records.name(node), letters))),
        hovertext: nodes.map((node) => asText(`${clip(records.name(node), 80)} (${records.kind(node)})`)),
        hoverinfo: "text", mode: "markers+text", textposition: "top center", type: "scatter", cliponaxis: false,
        marker: {
          size: nodes.map((node) => (node === current ? 16 : 11)),
          color: nodes.map((node) => colour(node === current ? "wait" : "accent")),
        },
      },
      {
        x: rests, y: rests.map((step) => -(rows(step) - 1) / 2), mode: "text", type: "scatter", hoverinfo: "skip",
        text: rests.map((step) => `… ${number(columns.get(step).length - drawn.get(step).length)} more`),
        textfont: { color: colour("quiet") },
      },
    ], {
      height, showlegend: false, margin: { l: 8, r: 8, t: 12, b: 12 },
      xaxis: { visible: false, fixedrange: true, range: [Math.min(...steps) - 0.5, Math.max(...steps) + 0.5] },
      yaxis: { visible: false, fixedrange: true, range: [-tallest / 2 - 0.2, tallest / 2 + 0.4] },
    });
    byId("graph").removeAllListeners("plotly_click");
    byId("graph").on("plotly_click", ({ points }) => {
      if (points[0].customdata !== undefined) walk(points[0].customdata);
    });
  };

  const names = new Map([
    [-2, "Two steps before"], [-1, "Comes from"], [1, "Goes to"], [2, "Two steps after"],
  ]);
  const show = (node) => {
    current = node;
    const found = neighbourhood(node);
    byId("neighbourhood").hidden = false;
    byId("node").textContent = records.name(node);
    byId("about").textContent = `${records.kind(node)} · ${records.ids[node]}`;
    const count = (step) => found.columns.get(step).length;
    const within = 1 + [-2, -1, 1, 2].reduce((sum, step) => sum + count(step), 0);
    const drawn = [...found.shown.values()].reduce((sum, nodes) => sum + nodes.length, 0);
    byId("walked").textContent =
      `Comes from ${number(count(-1))}, goes to ${number(count(1))}; ${number(within - 1)} within two steps` +
      (drawn < within ? `, of which ${drawn - 1} are shown.` : ".");
    byId("steps").replaceChildren(...[...names].map(([step, name]) => {
      const part = element("section");
      const heading = element("h4", `${name} (${number(count(step))})`);
      heading.id = `step${step}`;
      part.setAttribute("aria-labelledby", heading.id);
      const list = element("ul", "", "nodes");
      list.append(...found.shown.get(step).map(button));
      part.append(heading, list);
      const rest = count(step) - found.shown.get(step).length;
      if (rest) part.append(element("p", `… and ${number(rest)} more`, "more"));
      if (!count(step)) part.append(element("p", "none", "quiet"));
      return part;
    }));
    drawGraph(found);
  };

  // The address tells the resource, so that the browser's own way back works.
  const walk = (node) => {
    location.hash = `resource=${node}`;
  };
  const follow = () => {
    const told = /^#resource=(\d+)$/.exec(location.hash);
    if (told === null || byId("query") === null) return;
    const node = Number(told[1]);
    if (node >= load().ids.length) return;
    show(node);
    byId("node").focus();
  };

  if (byId("query") !== null) {
    let timer = 0;
    byId("query").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(search, 150);
    });
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      search();
    });
    addEventListener("hashchange", follow);
  }
  const drawAll = () => {
    if (timeline !== null) drawTimeline();
    if (current !== null) drawGraph(neighbourhood(current));
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  // What stands on the page already is shown first.
  requestAnimationFrame(() => setTimeout(() => {
    drawAll();
    letScroll();
    follow();
    document.documentElement.dataset.ready = "yes";
  }));
})();
