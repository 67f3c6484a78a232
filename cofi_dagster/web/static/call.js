// The page of a call in the browser: hear a segment, follow what is heard, see what an answer rests on. Without it the
// times lead to the recording from there on, and the quotes to their segments.
"use strict";
(() => {
  const player = document.getElementById("player");
  const box = document.querySelector(".transcript");
  const segments = [...document.querySelectorAll(".segments > li")];

  // -- hearing ------------------------------------------------------------------------------------------------
  function playFrom(seconds) {
    player.currentTime = seconds;
    player.play().catch(() => {}); // why it cannot be played is said by the error event
  }
  async function sayWhy() {
    const reply = await fetch(player.currentSrc, { headers: { Range: "bytes=0-0" } });
    const said = reply.ok ? "This browser cannot play it." : (await reply.json()).detail;
    document.getElementById("player-error").textContent = `The recording cannot be played: ${said}`;
  }
  function follow() {
    const now = player.currentTime;
    let heard = null;
    for (const one of segments) if (one.dataset.start !== "" && Number(one.dataset.start) <= now + 0.05) heard = one;
    if (heard && heard.dataset.end !== "" && now > Number(heard.dataset.end) + 0.5) heard = null;
    for (const one of segments) {
      const isHeard = one === heard && !player.ended;
      if (isHeard && !one.classList.contains("heard")) show(one);
      one.classList.toggle("heard", isHeard);
      if (isHeard) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
  }
  function show(segment) {
    const top = segment.offsetTop;
    if (top < box.scrollTop || top + segment.offsetHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = top - box.clientHeight / 3;
    }
  }
  if (player) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-at]");
      const segment = event.target.closest(".segments > li");
      if (link) {
        event.preventDefault();
        playFrom(Number(link.dataset.at));
      } else if (segment && segment.dataset.start !== "" && getSelection().isCollapsed) {
        playFrom(Number(segment.dataset.start));
      }
    });
    for (const name of ["timeupdate", "seeked", "ended"]) player.addEventListener(name, follow);
    player.addEventListener("error", sayWhy);
  }

  // -- what an answer rests on -----------------------------------------------------------------------------------
  function point(segment) {
    for (const one of segments) one.classList.toggle("asked", one === segment);
    show(segment);
  }
  function choose() {
    const id = decodeURIComponent(location.hash.slice(1));
    const chosen = /^[qt]\d+$/.test(id) ? document.getElementById(id) : null;
    for (const one of document.querySelectorAll(".chosen")) one.classList.remove("chosen");
    for (const mark of document.querySelectorAll("mark.own")) mark.classList.remove("own");
    chosen?.classList.add("chosen");
    const marks = chosen ? [...document.querySelectorAll("mark[data-for]")] : [];
    const own = marks.filter((mark) => mark.dataset.for.split(" ").includes(id));
    for (const mark of own) mark.classList.add("own");
    const segment = own.length ? own[0].closest("li") : segments.find((one) => one.id === id);
    if (segment) point(segment);
  }
  document.addEventListener("click", (event) => {
    const quote = event.target.closest('a[href^="#s"]');
    const segment = quote && document.getElementById(quote.hash.slice(1));
    if (!segment) return;
    event.preventDefault(); // the transcript stays beside the answers: nothing else has to move
    point(segment);
    (segment.querySelector("a") ?? box).focus({ preventScroll: true });
  });
  addEventListener("hashchange", choose);
  choose();
})();
