// The form of uploads: files are dragged to it, listed, sent with their progress seen. Without it the form goes as it is.
"use strict";
(() => {
  const form = document.getElementById("upload");
  if (!form) return;
  const part = (id) => document.getElementById(id);
  const [input, drop, list, problem, send, stop] = ["files", "drop", "chosen", "upload-error", "send", "stop"].map(part);
  const most = { files: Number(form.dataset.mostFiles), megabytes: Number(form.dataset.mostMb) };
  const token = document.querySelector('meta[name="csrf-token"]').content;
  let files = [];
  let request = null;

  function say(sentence) {
    problem.textContent = sentence;
    problem.hidden = !sentence;
  }
  const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

  // -- choosing -----------------------------------------------------------------------------------------------
  function keep(chosen) {
    files = chosen;
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    input.files = transfer.files;
    list.replaceChildren(...files.map(line));
    say(refusal());
  }
  function line(file) {
    const item = document.createElement("li");
    const name = document.createElement("span");
    name.className = "break";
    name.textContent = file.name;
    const bytes = document.createElement("small");
    bytes.textContent = size(file.size);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "quiet";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => {
      keep(files.filter((other) => other !== file));
      input.focus();
    });
    item.append(name, bytes, remove);
    return item;
  }
  function add(fresh) {
    const names = new Set([...fresh].map((file) => file.name));
    keep([...files.filter((file) => !names.has(file.name)), ...fresh]);
  }
  function refusal() {
    if (files.length > most.files) return `At most ${most.files} files go in one upload; these are ${files.length}.`;
    const large = files.find((file) => file.size > most.megabytes * 1e6);
    if (large) return `${large.name} is larger than ${most.megabytes} MB.`;
    const empty = files.find((file) => !file.size);
    return empty ? `${empty.name} is empty.` : "";
  }
  input.addEventListener("change", () => add(input.files));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length && !request) add(event.dataTransfer.files);
  });
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  document.querySelector(".drag-hint").hidden = false;

  // -- sending ------------------------------------------------------------------------------------------------
  function rest(sentence) {
    request = null;
    part("sending").hidden = stop.hidden = true;
    send.disabled = input.disabled = false;
    say(sentence);
  }
  function progress(event) {
    const percent = event.total ? Math.floor((100 * event.loaded) / event.total) : 0;
    part("sent").value = percent;
    part("sent-text").textContent = percent < 100 ? `${percent} % of ${size(event.total)}` : "Looking at the files";
  }
  function answered() {
    let reply = {};
    try {
      reply = JSON.parse(request.responseText);
    } catch {
      // no JSON: a proxy's page, or a login page
    }
    if (request.status === 202) return location.assign(`/cofi/task/${reply.task_id}`);
    if (request.status === 401) return location.reload();
    rest(String(reply.detail ?? `The server answered ${request.status}.`).replace(/^files: /, ""));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wrong = refusal();
    if (wrong) return say(wrong);
    const body = new FormData(form);
    body.delete("csrf");
    say("");
    request = new XMLHttpRequest();
    request.open("POST", "/audit/upload");
    request.setRequestHeader("X-CSRF-Token", token);
    request.upload.addEventListener("progress", progress);
    request.addEventListener("load", answered);
    request.addEventListener("error", () => rest("The connection broke off. Nothing was kept; try again."));
    request.addEventListener("abort", () => rest("Stopped. Nothing was kept."));
    part("sent").value = 0;
    part("sent-text").textContent = "";
    part("sending").hidden = stop.hidden = false;
    send.disabled = input.disabled = true;
    stop.focus();
    request.send(body);
  });
  stop.addEventListener("click", () => request?.abort());
})();
