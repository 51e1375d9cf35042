"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // The tree: what stands under a resource is asked for when it is opened.
  const tell = (text) => {
    byId("news").textContent = text;
  };
  // Nothing where it cannot be had, which is told.
  const items = async (address) => {
    try {
      const answer = await fetch(address);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.ok) return [...page.querySelectorAll("body > ul > li")];
      tell(`${page.querySelector(".error").textContent} Load this page again to see what it holds now.`);
    } catch {
      tell("The workspace does not answer. It holds its content only while its command runs.");
    }
    return [];
  };
  const open = async (button) => {
    button.setAttribute("aria-busy", "true");
    const found = await items(button.dataset.inside);
    button.removeAttribute("aria-busy");
    if (!found.length) return;
    const list = document.createElement("ul");
    list.append(...found);
    button.closest("li").append(list);
    button.setAttribute("aria-expanded", "true");
  };
  const toggle = (button) => {
    const list = button.closest("li").querySelector(":scope > ul");
    if (button.hasAttribute("aria-busy")) return;
    if (list === null) {
      open(button);
      return;
    }
    list.hidden = !list.hidden;
    button.setAttribute("aria-expanded", String(!list.hidden));
  };
  const more = async (link) => {
    const found = await items(link.dataset.rest);
    if (!found.length) return;
    link.closest("li").replaceWith(...found);
    found[0].querySelector("button, a").focus();
  };
  addEventListener("click", (event) => {
    const button = event.target.closest("button[data-inside]");
    if (button !== null) toggle(button);
    const link = event.target.closest("a[data-rest]");
    if (link !== null && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      more(link);
    }
  });

  // The one thing that everything else stands under is open.
  const [first, ...others] = document.querySelectorAll(".tree > li");
  const only = others.length ? null : first?.querySelector(":scope > .toggle");
  if (only) open(only);

  // What arrives while the page is open: said, and shown when the reader asks for it.
  const EVERY = 2000; // milliseconds
  const news = byId("news");
  const look = async () => {
    if (document.visibilityState === "visible") {
      try {
        const { syncs } = await (await fetch(news.dataset.count)).json();
        if (syncs > Number(news.dataset.syncs)) {
          const link = document.createElement("a");
          link.href = location.href;
          link.textContent = "Show what it holds now";
          const count = syncs - Number(news.dataset.syncs);
          news.replaceChildren(count === 1 ? "A sync has arrived. " : `${count} syncs have arrived. `, link);
          return;
        }
      } catch {
        tell("The workspace does not answer any more. It held its content only while its command ran.");
        return;
      }
    }
    setTimeout(look, EVERY);
  };
  if (news !== null) setTimeout(look, EVERY);

  const drawing = byId("drawing-data");
  if (drawing !== null) {
    const view = JSON.parse(drawing.textContent);
    const drawAll = () => charts.drawNeighbourhood(byId("graph"), view, (address) => location.assign(address));
    drawAll();
    charts.redrawOn(drawAll);
  }
  document.documentElement.dataset.ready = "yes";
})();
