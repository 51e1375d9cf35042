"use strict";
(() => {
  const { asText, axis, clip, colour, draw, drawNeighbourhood, number, redrawOn } = charts;
  const byId = (id) => document.getElementById(id);
  const element = (name, text = "", className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };

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
    const shortened = (host) => clip(host, Math.max(8, Math.floor(byId("rate").clientWidth / 7) - 28));
    timeline.limits.forEach((limit, place) => {
      const name = `${shortened(limit.host)}, under ${number(limit.requests)} per ${limit.per} s`;
      const solid = { color: colour(styles[place]), width: 2, shape: "vh" };
      traces.push({ ...line(name, rate(limit.left), styles[place]), x: x.slice(1), line: solid });
      traces.push(dashed(`limit: ${number(limit.requests)} per ${limit.per} s`, limit.requests / limit.per, styles[place]));
    });
    Object.entries(timeline.found_rates).forEach(([host, value], place) => {
      traces.push(dashed(`${shortened(host)}: limit found, ${number(value)} a second`, value, "good"));
    });
    draw("rate", traces, {
      height: 260 + 22 * traces.length, // as many lines as its legend may have
      xaxis: seconds, yaxis: axis("requests a second", { rangemode: "tozero" }), showlegend: true,
    });
  };

  // Resources: read when somebody searches, since there may be very many.
  const MOST_RESULTS = 50;
  const MOST_NODES = 500;
  const MOST_INSIDE = 200;
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
    const neighbours = (pairs, from, to) => {
      const at = new Uint32Array(size + 2);
      for (let i = from; i < pairs.length; i += 2) at[pairs[i] + 2] += 1;
      for (let i = 2; i < at.length; i += 1) at[i] += at[i - 1];
      const nodes = new Uint32Array(pairs.length / 2);
      for (let i = 0; i < pairs.length; i += 2) nodes[at[pairs[i + from] + 1]++] = pairs[i + to];
      return (node) => nodes.subarray(at[node], at[node + 1]);
    };
    records.down = neighbours(records.edges, 0, 1);
    records.up = neighbours(records.edges, 1, 0);
    records.parent = neighbours(records.inside, 1, 0);
    records.inside = neighbours(records.inside, 0, 1);
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
    const seen = new Set([start]);
    const columns = new Map([[0, [start]]]);
    const all = (nodes, next) => {
      const found = new Set();
      for (const node of nodes) for (const other of next(node)) found.add(other);
      return [...found];
    };
    let before = [start];
    let after = [start];
    for (const distance of [1, 2]) {
      // Also from what stands on the other side already, where data goes round in a ring.
      before = all(before, records.up);
      after = all(after, records.down);
      for (const [step, nodes] of [[-distance, before], [distance, after]]) {
        columns.set(step, nodes.filter((node) => !seen.has(node) && seen.add(node)));
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
    const steps = [-2, -1, 0, 1, 2];
    const nodes = steps.flatMap((step) => shown.get(step));
    const places = new Map(nodes.map((node, place) => [node, place]));
    const edges = nodes.flatMap((node, place) =>
      [...records.down(node)].filter((other) => places.has(other)).map((other) => [place, places.get(other)]));
    const told = (node) => ({ name: records.name(node), kind: records.kind(node), of: node });
    const view = {
      columns: steps.map((step) => ({ step, count: columns.get(step).length, nodes: shown.get(step).map(told) })),
      edges,
    };
    drawNeighbourhood(byId("graph"), view, walk);
  };

  const names = new Map([
    [-2, "Two steps before"], [-1, "Comes from"], [1, "Goes to"], [2, "Two steps after"],
  ]);
  // A heading and what stands below it: the nodes that are shown, of so many.
  const listed = (title, id, nodes, all, note = "") => {
    const heading = element("h4", title);
    heading.id = id;
    const list = element("ul", "", "nodes");
    list.append(...Array.from(nodes, button));
    const rest = all - nodes.length;
    const more = [rest ? `… and ${number(rest)} more` : "", note].filter(Boolean);
    return [
      heading, ...(all || note ? [list] : [element("p", "none", "quiet")]),
      ...more.map((text) => element("p", text, "more")),
    ];
  };
  // The outermost first; a ring is gone round once.
  const ancestors = (node) => {
    const found = [];
    let [parent] = records.parent(node);
    while (parent !== undefined && parent !== node && !found.includes(parent)) {
      found.unshift(parent);
      [parent] = records.parent(parent);
    }
    return found;
  };
  const show = (node) => {
    current = node;
    const found = neighbourhood(node);
    byId("neighbourhood").hidden = false;
    byId("node").textContent = records.name(node);
    byId("about").textContent = `${records.kind(node)} · ${records.ids[node]}`;
    const count = (step) => found.columns.get(step).length;
    const within = 1 + [-2, -1, 1, 2].reduce((sum, step) => sum + count(step), 0);
    const drawn = [...found.shown.values()].reduce((sum, nodes) => sum + nodes.length, 0);
    const after = records.down(node).filter((other) => other !== node).length;
    const again = after - count(1); // data goes round in a ring
    const parents = ancestors(node);
    byId("stands").hidden = !parents.length;
    byId("stands").querySelector("ol").replaceChildren(...parents.map(button));
    const inside = records.inside(node);
    byId("inside").hidden = !inside.length;
    byId("inside").replaceChildren(...listed(`Inside (${number(inside.length)})`, "inside-title",
      inside.subarray(0, MOST_INSIDE), inside.length));
    byId("walked").textContent =
      `Comes from ${number(count(-1))}, goes to ${number(after)}; ${number(within - 1)} within two steps` +
      (drawn < within ? `, of which ${drawn - 1} are shown.` : ".");
    byId("steps").replaceChildren(...[...names].map(([step, name]) => {
      const part = element("section");
      part.setAttribute("aria-labelledby", `step${step}`);
      const title = `${name} (${number(count(step))})`;
      const note = step === 1 && again ? `${number(again)} that it comes from too` : "";
      part.append(...listed(title, `step${step}`, found.shown.get(step), count(step), note));
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
  redrawOn(drawAll);
  // What stands on the page already is shown first.
  requestAnimationFrame(() => setTimeout(() => {
    drawAll();
    follow();
    document.documentElement.dataset.ready = "yes";
  }));
})();
