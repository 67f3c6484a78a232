// What every page does in the browser: parts that live, figures, questions before what cannot be undone. Pages work without it.
"use strict";
(() => {
  const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

  // -- forms: a live part is made for all, so the session's token is put in here --------------------------------
  function giveTokens(root) {
    for (const field of root.querySelectorAll('input[name="csrf"][value=""]')) field.value = token;
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset?.confirm || form.dataset.confirmed) return;
    event.preventDefault();
    const dialog = document.getElementById("confirm");
    dialog.querySelector("p").textContent = form.dataset.confirm;
    dialog.onclose = () => {
      if (dialog.returnValue !== "yes") return;
      form.dataset.confirmed = "yes";
      form.requestSubmit();
    };
    dialog.returnValue = "";
    dialog.showModal();
  });

  // -- figures ------------------------------------------------------------------------------------------------
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function themed(layout) {
    const axes = {};
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      axes[name] = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), ...layout[name] };
    }
    const font = { color: css("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12 };
    return { ...layout, ...axes, paper_bgcolor: "transparent", plot_bgcolor: "transparent", font };
  }
  function draw(root) {
    if (!window.Plotly) return;
    for (const source of root.querySelectorAll("script[data-plot]")) {
      const place = document.getElementById(source.dataset.plot);
      const figure = JSON.parse(source.textContent);
      const options = { displayModeBar: false, responsive: true, displaylogo: false };
      Plotly.react(place, figure.data, themed(figure.layout), options).then(() => place.setAttribute("data-drawn", ""));
    }
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(document));

  // -- parts that live: `data-live` is the address, each `data-part` in it is replaced where it has changed -------
  function replacePart(old, fresh) {
    if (old.dataset.was === fresh.outerHTML || (old.contains(document.activeElement) && document.activeElement.matches("input,select,textarea"))) return;
    const kept = new Map([...old.querySelectorAll(".plot[id]")].map((plot) => [plot.id, plot]));
    const opened = new Set([...old.querySelectorAll("details[open][id]")].map((one) => one.id));
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const was = fresh.outerHTML;
    for (const plot of fresh.querySelectorAll(".plot[id]")) if (kept.has(plot.id)) plot.replaceWith(kept.get(plot.id));
    for (const one of fresh.querySelectorAll("details[id]")) if (opened.has(one.id)) one.open = true;
    old.replaceWith(fresh);
    fresh.dataset.was = was;
    giveTokens(fresh);
    draw(fresh);
    if (focused) document.getElementById(focused)?.focus();
  }
  async function refresh(live, state) {
    const headers = state.tag ? { "If-None-Match": state.tag } : {};
    const reply = await fetch(live.dataset.live, { headers, credentials: "same-origin" });
    if (reply.redirected || reply.status === 401) return location.reload();
    state.every = Number(reply.headers.get("Cofi-Every") ?? state.every);
    live.classList.toggle("stale", !reply.ok && reply.status !== 304);
    if (!reply.ok) return;
    state.tag = reply.headers.get("ETag") ?? "";
    const parts = new DOMParser().parseFromString(await reply.text(), "text/html").querySelectorAll("[data-part]");
    for (const fresh of parts) {
      const old = live.querySelector(`[data-part="${fresh.dataset.part}"]`);
      if (old) replacePart(old, document.importNode(fresh, true));
    }
  }
  async function keepAlive(live) {
    const state = { tag: "", every: Number(live.dataset.every ?? 2) };
    while (live.isConnected && state.every > 0) {
      await new Promise((done) => setTimeout(done, 1000 * state.every));
      if (document.hidden) continue;
      try {
        await refresh(live, state);
      } catch {
        live.classList.add("stale");
      }
    }
  }

  giveTokens(document);
  draw(document);
  for (const live of document.querySelectorAll("[data-live]")) keepAlive(live);
  document.documentElement.dataset.ready = "";
})();
