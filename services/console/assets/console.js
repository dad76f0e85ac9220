// The console's script: times in the reader's zone, live updates, and keys. The pages work without it.
"use strict";
(function () {
  const root = document.documentElement;
  const stored = (key) => { try { return localStorage.getItem("signrelay." + key); } catch { return null; } };
  const store = (key, value) => { try { localStorage.setItem("signrelay." + key, value); } catch { /* private mode */ } };

  // Times. The server writes UTC; the title keeps both clocks.
  const forced = new URLSearchParams(location.search).get("time");
  let mode = forced === "utc" ? "utc" : forced === "own" ? "own" : stored("time") || "relative";
  const own = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const utc = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" });
  function words(ms) {
    const s = Math.max(0, ms) / 1000;
    if (s < 100) return Math.ceil(s) + " s";
    if (s < 6000) return Math.round(s / 60) + " min";
    if (s < 172800) return Math.round(s / 3600) + " h";
    return Math.floor(s / 86400) + " days";
  }
  function drawTimes(within) {
    for (const element of within.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime), away = Date.now() - at;
      element.title = own.format(at) + " your time · " + utc.format(at) + " UTC";
      element.textContent = mode === "utc" ? utc.format(at) + " UTC" : mode === "own" ? own.format(at)
        : away < -1000 ? "in " + words(-away) : words(away) + " ago";
    }
  }
  function nameZone() {
    const zone = document.getElementById("zone");
    if (zone && mode !== "utc") zone.textContent = "Times in your zone, " + Intl.DateTimeFormat().resolvedOptions().timeZone + ".";
  }
  setInterval(() => drawTimes(document), 10000);

  // Live updates: the stream only says that there is news; the parts with data-live are then loaded with the page's own address.
  const live = document.getElementById("live"), pause = document.getElementById("pause"), stale = document.getElementById("stale");
  let paused = stored("paused") === "1", missed = 0, loading = false, last = Date.now(), source = null;
  function say(text) { if (live) live.textContent = text; }
  function show() {
    if (!pause) return;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    say(paused ? "Paused" + (missed ? ", " + missed + " new" : "") : "Live");
    root.classList.toggle("paused", paused);
  }
  async function load() {
    if (loading) return;
    loading = true;
    try {
      const response = await fetch(location.href, { headers: { "Accept": "text/html", "Signrelay-Live": "1" }, redirect: "error", cache: "no-store" });
      if (!response.ok) throw new Error("status " + response.status);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const fresh of page.querySelectorAll("[data-live][id]")) {
        const old = document.getElementById(fresh.id);
        drawTimes(fresh);
        if (old && !old.contains(document.activeElement) && old.innerHTML !== fresh.innerHTML) old.replaceChildren(...fresh.childNodes);
      }
      // New events of a document only announce themselves: nothing moves under the hand.
      const news = document.getElementById("news"), now = page.getElementById("news");
      if (news && now) {
        const n = now.dataset.events - news.dataset.events;
        news.hidden = n <= 0;
        if (n > 0) news.querySelector("a").textContent = n + " new above";
      }
      const title = page.querySelector("title");
      if (title) document.title = title.textContent;
      last = Date.now();
      if (stale) stale.hidden = true;
    } catch { /* the next event tries again; the note below says since when the page is old */ } finally { loading = false; }
  }
  function follow() {
    if (!live || !window.EventSource) return;
    source = new EventSource("/live");
    source.addEventListener("sample", () => { if (paused) { missed++; show(); } else if (!document.hidden) load(); else last = Date.now(); });
    setInterval(() => {
      if (stale && !paused && Date.now() - last > 40000) {
        stale.hidden = false;
        stale.querySelector("time").dateTime = new Date(last).toISOString();
        drawTimes(stale);
      }
      if (source.readyState === EventSource.CLOSED) { source.close(); source = new EventSource("/live"); source.addEventListener("sample", load); }
    }, 5000);
  }
  function togglePause() {
    if (!pause) return;
    paused = !paused; missed = 0; store("paused", paused ? "1" : "0"); show();
    if (!paused) load();
  }
  if (pause) { pause.hidden = false; pause.addEventListener("click", togglePause); }

  // A plan that htmx has put into the page gets the focus. A problem is shown as its own page.
  document.body.addEventListener("htmx:afterSettle", (event) => {
    drawTimes(document);
    const heading = document.getElementById("h-plan");
    if (heading && event.detail.target && event.detail.target.id === "plan") { heading.scrollIntoView({ block: "start" }); heading.focus({ preventScroll: true }); }
  });
  document.body.addEventListener("htmx:responseError", (event) => { location.assign(event.detail.pathInfo.finalRequestPath || event.detail.pathInfo.responsePath); });

  // Without the script an empty filter stays in the address, which does no harm.
  for (const form of document.querySelectorAll("form[data-drop-empty]")) {
    form.addEventListener("formdata", (event) => { for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name); });
  }

  // Copy buttons exist only with the script.
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copy);
      field.select();
      try { await navigator.clipboard.writeText(field.value); button.textContent = "Copied"; } catch { button.textContent = "Press Ctrl+C"; }
    });
  }

  // Keys. None works while the reader types; all can be switched off.
  const keysOff = document.getElementById("keys-off"), keys = document.getElementById("keys");
  let off = stored("keys") === "off", pending = "", row = -1, marked = -1;
  if (keysOff) {
    keysOff.closest("label").hidden = false;
    keysOff.checked = off;
    keysOff.addEventListener("change", () => { off = keysOff.checked; store("keys", off ? "off" : "on"); });
  }
  const places = { f: "/", d: "/documents", s: "/stuck", o: "/sources", i: "/insight" };
  const rows = () => [...document.querySelectorAll("main tbody tr")];
  function move(by) {
    const all = rows();
    if (!all.length) return;
    row = Math.min(all.length - 1, Math.max(0, row + by));
    all.forEach((r, i) => r.classList.toggle("at", i === row));
    all[row].scrollIntoView({ block: "nearest" });
    (all[row].querySelector("a, input, button") || all[row]).focus({ preventScroll: true });
  }
  function select(range) {
    const all = rows(), from = range && marked >= 0 ? Math.min(marked, row) : row, to = range && marked >= 0 ? Math.max(marked, row) : row;
    for (let i = from; i <= to; i++) {
      const box = all[i] && all[i].querySelector("input[type=checkbox]");
      if (box) { box.checked = range ? true : !box.checked; box.dispatchEvent(new Event("change", { bubbles: true })); }
    }
    marked = row;
  }
  document.addEventListener("keydown", (event) => {
    const at = event.target, typing = at.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (event.key === "Escape") {
      if (typing) { at.blur(); return; }
      const open = document.querySelector("header details[open], footer details[open]");
      if (open) open.open = false;
      else if (!off && history.length > 1 && !document.querySelector("dialog[open]")) history.back();
      return;
    }
    if (off || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key;
    if (pending === "g") {
      pending = "";
      const link = places[key] && document.querySelector('nav a[href="' + places[key] + '"]');
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const act = {
      "/": () => { const q = document.getElementById("q"); if (q) q.focus(); },
      "?": () => { if (keys) { keys.open = !keys.open; keys.scrollIntoView(); keys.querySelector("summary").focus(); } },
      "g": () => { pending = "g"; setTimeout(() => { pending = ""; }, 1500); },
      "j": () => move(1), "k": () => move(-1), "x": () => select(false), "X": () => select(true),
      "p": togglePause,
      "t": () => { mode = mode === "relative" ? "own" : mode === "own" ? "utc" : "relative"; store("time", mode); drawTimes(document); },
      ".": () => {
        const first = [...document.querySelectorAll("main .doing a, main .doing button, main .do a, main .do button")].find((one) => one.offsetParent && !one.disabled);
        if (first) first.focus();
      },
      "e": () => { const d = at.closest("details") || (rows()[row] || document).querySelector("main details, details"); if (d) d.open = !d.open; },
    }[key];
    if (act) { event.preventDefault(); act(); }
  });

  // Results while typing replace a part of the page.
  document.addEventListener("htmx:afterSettle", () => { row = -1; marked = -1; drawTimes(document); });
  // A row that is selected says so, and the button of the selection says how many there are.
  function selected() {
    const button = document.getElementById("selection");
    if (!button) return;
    const boxes = [...document.querySelectorAll("main tbody input[type=checkbox]")], on = boxes.filter((box) => box.checked).length;
    for (const box of boxes) box.closest("tr").setAttribute("aria-selected", String(box.checked));
    button.disabled = !on;
    button.textContent = on ? "Download " + on + " selected as CSV" : "Download selected as CSV";
  }
  document.addEventListener("change", selected);
  document.addEventListener("htmx:afterSettle", selected);

  selected(); drawTimes(document); nameZone(); show(); follow();
})();
