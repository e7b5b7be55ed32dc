// The review page. Everything that comes from a name, a note or a manifest enters the page as text, never as markup.
"use strict";
(() => {
  const PER_PAGE = 200;
  const data = window.archivecolorReport;
  const $ = (id) => document.getElementById(id);
  const desk = window.archivecolorDesk ?? null; // with a server behind the page: desk.js

  // `tables` has the columns, and what the indexes `root` and `making` stand for.
  function unpack(values, tables) {
    const row = Object.fromEntries(tables.fields.map((field, i) => [field, values[i]]));
    const cut = row.input.lastIndexOf("/");
    row.folder = cut < 0 ? "" : row.input.slice(0, cut);
    row.name = row.input.slice(cut + 1);
    row.colour = row.status === "skipped" && row.reason === "already colour";
    row.root = tables.roots[row.root];
    row.making = tables.makings[row.making];
    return row;
  }
  const rows = data.rows.map((values) => unpack(values, data));

  // --- decisions: one entry a picture in the browser's storage, so that a click costs the same among 20,000 ---------

  const prefix = `archivecolor:${data.collection}:`;
  const key = (row) => prefix + JSON.stringify(row.input); // JSON: names that are no Unicode survive it
  const decided = new Map();
  let store = null;

  function warn(text) {
    $("warning").textContent = text;
    $("warning").hidden = false;
  }

  function openStore() {
    if (desk) return; // the server keeps the decisions
    try {
      store = window.localStorage;
      store.setItem(prefix, "");
      store.removeItem(prefix);
    } catch {
      store = null;
      warn("This browser keeps nothing for pages opened from a disk: decisions are lost when the page is closed. Save them.");
    }
  }

  function recall() {
    if (desk) return;
    decided.clear();
    if (!store) return;
    for (const row of rows) {
      const text = store.getItem(key(row));
      if (text) decided.set(row.input, JSON.parse(text));
    }
  }

  // A decision about a result that was made anew since then no longer counts.
  const fresh = (row) => { const d = decided.get(row.input); return d && d.output_sha256 === row.after_all ? d : null; };
  const verdict = (row) => fresh(row)?.decision ?? "";
  const noteOf = (row) => decided.get(row.input)?.note ?? "";

  const undoable = []; // lists of [input, the entry before], or functions of the desk; newest last

  function entryOf(row, decision, note) {
    return {input: row.input, decision, output_sha256: row.after_all, note};
  }

  function setEntry(input, entry) {
    const empty = !entry || (!entry.decision && !entry.note);
    if (empty) decided.delete(input); else decided.set(input, entry);
    if (!store) return;
    try {
      if (empty) store.removeItem(key({input})); else store.setItem(key({input}), JSON.stringify(entry));
    } catch {
      warn("The browser's storage is full: this decision is lost when the page is closed. Save the decisions.");
    }
  }

  // All decisions of one action, which is undone as one.
  function keepAll(entries, isUndo = false) {
    const last = undoable.at(-1);
    const [only] = entries;
    // The letters of one note are one action.
    const isTyping = entries.length === 1 && last?.length === 1 && last[0][0] === only.input && only.note !== noteOf(only)
      && only.decision === (decided.get(only.input)?.decision ?? "");
    if (!isUndo && !isTyping) addUndo(entries.map((entry) => [entry.input, decided.get(entry.input) ?? null]));
    entries.forEach((entry) => setEntry(entry.input, entry));
    desk?.decide(entries).catch((error) => warn(`The decision was not recorded: ${error.message}`));
    $("undo").disabled = !undoable.length;
  }

  function addUndo(step) {
    undoable.push(step);
    if (undoable.length > 100) undoable.shift();
    $("undo").disabled = false;
  }

  function keep(row, decision, note) {
    keepAll([entryOf(row, decision, note)]);
    refresh(row);
  }

  function undo() {
    const last = undoable.pop();
    $("undo").disabled = !undoable.length;
    if (!last) return say("nothing to undo");
    if (typeof last === "function") return last() || undo(); // false: its picture is not open any more
    const nothing = (input) => ({input, decision: "", output_sha256: "", note: ""});
    keepAll(last.map(([input, entry]) => entry ?? nothing(input)), true);
    draw();
    if (open) showDecision(open);
    say(`${last.length} ${last.length === 1 ? "decision" : "decisions"} undone`);
  }

  function decideAll(wanted) {
    const entries = chosen.filter((row) => row.status === "done" && verdict(row) !== wanted)
      .map((row) => entryOf(row, wanted, noteOf(row)));
    if (!entries.length) return say(`all that are listed are ${wanted} already`);
    keepAll(entries);
    draw();
    say(`${entries.length} pictures ${wanted}`);
  }

  function decide(row, wanted) {
    if (row.status !== "done") return say(`${row.name} was not coloured: there is nothing to decide`);
    const decision = verdict(row) === wanted ? "" : wanted;
    keep(row, decision, noteOf(row));
    say(`${row.name}: ${decision || "undecided"}`);
    if (decision && open === row && $("advance").checked) step(1);
  }

  function save() {
    const decisions = rows.filter((row) => decided.has(row.input)).map((row) => decided.get(row.input));
    const whole = {format: "archivecolor decisions 1", collection: data.collection, decisions};
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(whole, null, 1) + "\n"], {type: "application/json"}));
    link.download = "decisions.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`${decisions.length} decisions saved`);
  }

  async function load(file) {
    const byName = new Map(rows.map((row) => [row.input, row]));
    const loaded = [];
    let strangers = 0;
    try {
      const whole = JSON.parse(await file.text());
      if (whole.format !== "archivecolor decisions 1") throw new Error("another format");
      for (const one of whole.decisions) {
        const row = byName.get(one.input);
        if (!row) { strangers += 1; continue; }
        const decision = ["accepted", "rejected"].includes(one.decision) ? one.decision : "";
        const entry = {input: row.input, decision, output_sha256: String(one.output_sha256), note: String(one.note ?? "")};
        loaded.push(entry);
      }
    } catch (error) {
      return warn(`${file.name}: these are not the decisions of a review page (${error.message}).`);
    }
    keepAll(loaded);
    draw();
    say(`${loaded.length} decisions loaded${strangers ? `, ${strangers} about pictures that are not here` : ""}`);
  }

  // --- the sheet -----------------------------------------------------------------------------------------------------

  const filters = $("filters");
  let chosen = [], page = 0, focused = 0, open = null, openPlace = 0, before = new Set();

  const path = (sha, side) => `pictures/${sha.slice(0, 2)}/${sha.slice(2, 26)}-${side}.jpg`;
  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const say = (text) => { $("said").textContent = text; };
  const clock = (seconds) => `${Math.floor(Math.round(seconds) / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;
  const total = (row) => row.seconds.reduce((sum, value) => sum + value, 0);
  const pages = () => Math.max(1, Math.ceil(chosen.length / PER_PAGE));
  const shown = () => chosen.slice(page * PER_PAGE, (page + 1) * PER_PAGE);

  const orders = {
    confidence: (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2),
    delta: (a, b) => (b.delta ?? -1) - (a.delta ?? -1),
    slow: (a, b) => total(b) - total(a),
    name: (a, b) => (a.input < b.input ? -1 : a.input > b.input ? 1 : 0),
  };

  function choose() {
    const want = Object.fromEntries(new FormData(filters));
    const text = (want.text ?? "").toLowerCase();
    chosen = rows.filter((row) =>
      (!want.status || (want.status === "colour" ? row.colour : row.status === want.status)) &&
      (!want.decision || (want.decision === "noted" ? noteOf(row) : want.decision === "undecided" ? row.status === "done" && !verdict(row) : verdict(row) === want.decision)) &&
      (!want.kind || (want.kind === "film") === Boolean(row.film)) &&
      (!want.folder || (want.folder === "./" ? row.folder === "" : row.folder === want.folder || row.folder.startsWith(want.folder + "/"))) &&
      (!text || row.input.toLowerCase().includes(text)));
    if (orders[want.sort]) chosen = chosen.slice().sort(orders[want.sort]);
  }

  function card(row) {
    const item = make("li");
    const button = make("button");
    button.type = "button";
    button.tabIndex = -1;
    const sha = row.after || row.before;
    const frame = make("div", undefined, sha ? "frame" : "frame plain");
    if (sha) {
      const image = make("img");
      image.loading = "lazy";
      image.decoding = "async";
      image.alt = "";
      image.src = path(sha, 240);
      frame.append(image);
    } else {
      frame.textContent = row.reason || row.missing || "no picture";
    }
    if (row.film) frame.append(make("span", `film ${clock(row.film.duration ?? 0)}`, "film"));
    button.append(frame, make("div", undefined, "caption"));
    item.append(button);
    paint(item, row);
    return item;
  }

  function paint(item, row) {
    const said = verdict(row);
    item.className = said;
    const caption = item.querySelector(".caption");
    caption.replaceChildren(row.name);
    const status = row.colour ? "already colour" : row.status === "done" ? "colour by AI" : row.status;
    const number = filters.sort.value === "confidence" && row.confidence !== null ? `confidence ${row.confidence.toFixed(2)}`
      : filters.sort.value === "delta" && row.delta !== null ? `ΔL* ${row.delta.toFixed(3)}` : "";
    const pages = row.pages > 1 && !row.film ? `${row.pages} pages` : "";
    const parts = [status, pages, number, row.folder, noteOf(row) ? "note" : ""].filter(Boolean).join(" · ");
    if (parts) caption.append(make("small", parts));
    if (said) caption.append(make("small", said, "verdict"));
    item.firstChild.setAttribute("aria-label", `${row.input}, ${row.film ? "film, " : ""}${status}${said ? `, ${said}` : ""}${noteOf(row) ? ", with a note" : ""}`);
    const frame = item.querySelector(".frame");
    if (frame.classList.contains("plain") || !row.after) return;
    frame.querySelector(".before")?.remove();
    if (before.has(row.input)) frame.append(make("span", "before", "before"));
    const wanted = before.has(row.input) ? path(row.before, row.film ? 240 : data.view) : path(row.after, 240);
    const image = frame.querySelector("img");
    if (image.getAttribute("src") !== wanted) image.src = wanted;
  }

  function draw() {
    choose();
    page = Math.min(Math.max(page, 0), pages() - 1);
    focused = Math.min(focused, Math.max(0, shown().length - 1));
    const sheet = $("sheet");
    sheet.start = page * PER_PAGE + 1;
    sheet.replaceChildren(...shown().map(card));
    $("nothing").hidden = chosen.length > 0;
    if (sheet.children.length) cardButton(focused).tabIndex = 0;
    document.querySelectorAll(".pager").forEach(pager);
    count();
    remember();
  }

  const cardButton = (place) => $("sheet").children[place]?.firstChild;

  function refresh(row) {
    const place = shown().indexOf(row);
    if (place >= 0) paint($("sheet").children[place], row);
    if (open === row) showDecision(row);
    count();
  }

  function count() {
    let accepted = 0, rejected = 0, done = 0;
    for (const row of rows) {
      if (row.status !== "done") continue;
      done += 1;
      const said = verdict(row);
      accepted += said === "accepted";
      rejected += said === "rejected";
    }
    const text = `${chosen.length} of ${rows.length} pictures · ${accepted} accepted, ${rejected} rejected, ${done - accepted - rejected} undecided`;
    if ($("counts").textContent !== text) $("counts").textContent = text;
  }

  function pager(nav) {
    nav.hidden = pages() < 2;
    const back = make("button", "← Previous"), on = make("button", "Next →");
    back.type = on.type = "button";
    back.disabled = page === 0;
    on.disabled = page >= pages() - 1;
    back.addEventListener("click", () => turn(page - 1));
    on.addEventListener("click", () => turn(page + 1));
    nav.replaceChildren(back, make("span", `page ${page + 1} of ${pages()}`), on);
  }

  function turn(to, place = 0) {
    if (to < 0 || to >= pages()) return false;
    page = to;
    focused = place;
    draw();
    $("sheet").scrollIntoView({block: "start"});
    cardButton(focused)?.focus({preventScroll: place === 0});
    return true;
  }

  const placeOf = (element) => [...$("sheet").children].indexOf(element.closest("li"));

  function settle(place) {
    const old = cardButton(focused);
    if (old) old.tabIndex = -1;
    focused = place;
    cardButton(focused).tabIndex = 0;
  }

  function move(to) {
    if (to < 0) return void turn(page - 1, PER_PAGE - 1);
    if (to >= shown().length) return void turn(page + 1);
    settle(to);
    cardButton(to).focus();
  }

  function across() {
    const cards = [...$("sheet").children];
    const first = cards[0].offsetTop;
    const found = cards.findIndex((one) => one.offsetTop > first);
    return found < 0 ? cards.length : found;
  }

  function flip(row) {
    if (!row.after || !row.before) return say("there is no before and after to compare");
    if (before.has(row.input)) before.delete(row.input); else before.add(row.input);
    refresh(row);
    say(before.has(row.input) ? "before" : "after");
  }

  // --- one picture ---------------------------------------------------------------------------------------------------

  const dialog = $("one");

  function showOne(row) {
    open = row;
    openPlace = Math.max(0, chosen.indexOf(row));
    $("name").textContent = row.input;
    zoomer = null;
    if (desk && row.before) desk.showPicture(row, $("stage"));
    else { desk?.hidePicture(); $("stage").replaceChildren(...stage(row)); }
    $("moving").replaceChildren(...moving(row));
    $("reduced").hidden = true;
    $("first-page").hidden = Boolean(desk) || row.pages < 2 || Boolean(row.film);
    showDecision(row);
    $("note").value = noteOf(row);
    if ($("hint")) { $("hint").hidden = Boolean(row.film) || !row.after; $("hint-flag").value = ""; $("hint-copy").disabled = true; }
    $("disclosed").textContent = row.status === "done" ? disclosure(row) : "";
    $("facts").replaceChildren(...facts(row));
    if (!dialog.open) dialog.showModal();
    $("name").focus({preventScroll: true});
    dialog.scrollTop = 0;
  }

  function stage(row) {
    const picture = (sha, what) => {
      const image = make("img");
      image.src = path(sha, data.view);
      image.alt = `${row.name}, ${what}`;
      return image;
    };
    if (!row.before || !row.after) {
      const sha = row.after || row.before;
      return sha ? [picture(sha, row.after ? "coloured; the original cannot be shown" : row.reason)] : [make("p", row.reason || row.missing)];
    }
    const slider = document.createElement("img-comparison-slider");
    const first = picture(row.before, "original"), second = picture(row.after, "coloured by AI");
    first.slot = "first";
    second.slot = "second";
    slider.append(first, second);
    slider.setAttribute("role", "slider");
    slider.setAttribute("aria-label", "Divider between the original and the colour");
    slider.setAttribute("aria-valuemin", "0");
    slider.setAttribute("aria-valuemax", "100");
    slider.addEventListener("slide", () => tell(slider));
    tell(slider);
    const pair = make("div", undefined, "pair");
    pair.addEventListener("click", (event) => pinAt(row, second, event));
    pair.append(slider, make("span", "original", "side left"), make("span", "colour by AI", "side right"));
    const scroller = make("div", undefined, "scroller");
    scroller.append(pair);
    zoomer = new Zoomer(row, scroller, pair, [[first, fileAddress(row)], [second, document.body.dataset.base + row.link]]);
    return [scroller, zoomButtons(zoomer)];
  }

  // The source's own address; "" where its name is no Unicode.
  function fileAddress(row) {
    try {
      const path = (row.root + row.input).replaceAll("\\", "/");
      return `file://${path.startsWith("/") ? "" : "/"}${path.split("/").map(encodeURIComponent).join("/")}`;
    } catch { return ""; }
  }

  // (width, height) of the upright picture at full size: the browser has turned the reduced one.
  function uprightSize(row, image) {
    const isTurned = image.naturalWidth > image.naturalHeight !== row.width > row.height;
    return isTurned ? [row.height, row.width] : [row.width, row.height];
  }

  // Zooms without a server: the pair grows, and its frame scrolls. Beyond the size of the reduced pictures the files
  // themselves are shown, where the browser can.
  class Zoomer {
    constructor(row, scroller, pair, images) { Object.assign(this, {row, scroller, pair, images}); }

    get ratio() { return window.devicePixelRatio || 1; }

    // CSS pixels of the screen for each pixel of the picture.
    get scale() { return this.pair.getBoundingClientRect().width / this.size[0]; }

    get size() { const [[image]] = this.images; return this.row.film ? [image.naturalWidth, image.naturalHeight] : uprightSize(this.row, image); }

    fit() {
      this.scroller.classList.remove("zoomed");
      this.scroller.tabIndex = -1;
      this.pair.style.width = "";
    }

    actualSize() { this.setScale(1 / this.ratio); }

    zoom(factor) {
      const fitted = this.scroller.clientWidth / this.size[0];
      const scale = Math.min(this.scale * factor, 16);
      if (scale <= Math.min(fitted, 1 / this.ratio)) this.fit(); else this.setScale(scale);
    }

    setScale(scale) {
      const {scroller} = this;
      const middle = [(scroller.scrollLeft + scroller.clientWidth / 2) / scroller.scrollWidth, (scroller.scrollTop + scroller.clientHeight / 2) / scroller.scrollHeight];
      scroller.classList.add("zoomed");
      scroller.tabIndex = 0;
      this.pair.style.width = `${scale * this.size[0]}px`;
      scroller.scrollLeft = middle[0] * scroller.scrollWidth - scroller.clientWidth / 2;
      scroller.scrollTop = middle[1] * scroller.scrollHeight - scroller.clientHeight / 2;
      const isSmall = this.images[0][0].naturalWidth < Math.min(scale * this.ratio, 1) * this.size[0];
      if (isSmall && !this.row.film) this.loadFiles();
    }

    loadFiles() {
      if (this.isAsked) return;
      this.isAsked = true;
      for (const [image, address] of this.images) {
        const reduced = image.src;
        image.addEventListener("error", () => {
          image.src = reduced;
          say("This browser cannot show the file itself; this is its reduced copy. archivecolor review shows every format.");
          $("reduced").hidden = false;
        }, {once: true});
        image.src = address;
      }
    }
  }
  let zoomer = null;

  function zoomButtons(target) {
    const bar = make("div", undefined, "zooms");
    const kinds = [["−", "Zoom out", () => target.zoom(1 / 1.5)], ["+", "Zoom in", () => target.zoom(1.5)], ["1:1", "Actual size", () => target.actualSize()], ["⤢", "Whole picture", () => target.fit()]];
    for (const [text, name, action] of kinds) {
      const button = make("button", text);
      button.type = "button";
      button.setAttribute("aria-label", name);
      button.addEventListener("click", action);
      bar.append(button);
    }
    return bar;
  }

  // The flag that pins a colour where the picture was clicked, in pixels of the upright picture at full size.
  function pinAt(row, image, event) {
    if (!$("hint")?.open || row.film) return;
    const box = image.getBoundingClientRect();
    const [width, height] = uprightSize(row, image);
    const pixel = (at, size) => Math.min(Math.max(Math.floor(at * size), 0), size - 1);
    const x = pixel((event.clientX - box.left) / box.width, width), y = pixel((event.clientY - box.top) / box.height, height);
    $("hint-flag").value = `--hint '${x},${y},${$("hint-colour").value}'`;
    $("hint-copy").disabled = false;
    say($("hint-flag").value);
  }

  function copyHint() {
    $("hint-flag").select();
    document.execCommand("copy"); // the newer way is not allowed to pages from a disk
    say("copied");
  }

  // The coloured film itself, where the browser knows how to play it: not numbered files.
  function moving(row) {
    if (!row.film?.plays || !row.output) return [];
    const player = make("video");
    player.controls = player.playsInline = true;
    player.preload = "metadata";
    player.setAttribute("aria-label", `${row.name}, coloured by AI`);
    player.addEventListener("error", () => {
      player.replaceWith(make("p", "This browser cannot play the file; the link below opens it."));
    });
    player.src = document.body.dataset.base + row.link;
    return [player];
  }

  function tell(slider) {
    const value = Math.round(Number(slider.value ?? 50));
    slider.setAttribute("aria-valuenow", String(value));
    slider.setAttribute("aria-valuetext", `${value} % original, the rest coloured`);
  }

  function toggle() {
    if (desk?.toggle()) return;
    const slider = document.querySelector("img-comparison-slider");
    if (!slider) return;
    slider.value = slider.value > 50 ? 0 : 100;
    tell(slider);
    say(slider.value > 50 ? "original" : "coloured");
  }

  function showDecision(row) {
    for (const [what, wanted] of [["accept", "accepted"], ["reject", "rejected"]]) {
      const button = dialog.querySelector(`[data-do=${what}]`);
      button.setAttribute("aria-pressed", String(verdict(row) === wanted));
      button.disabled = row.status !== "done";
    }
    $("stale").hidden = !(decided.get(row.input)?.decision && !fresh(row));
  }

  function disclosure(row) {
    const [model, weights, , term] = row.making;
    const person = row.guidance.length ? ` A person guided them: ${row.guidance.join("; ")}.` : "";
    return `Colours invented by a neural network (archivecolor, weights ${model}, SHA-256 ${weights}); the luminance is the original’s.${person}${term ? ` IPTC digital source type: ${term}.` : ""}`;
  }

  function facts(row) {
    const list = [];
    const add = (term, text) => { if (text || text === 0) list.push(make("dt", term), make("dd", text)); };
    add("status", [row.status, row.reason].filter(Boolean).join(": "));
    add("size", row.width ? `${row.width} × ${row.height} px, ${row.depth} bit, ${row.format.toUpperCase()}${row.pages > 1 ? `, ${row.pages} pages` : ""}` : "");
    const film = row.film;
    add("film", film ? `${clock(film.duration ?? 0)} min, ${film.frames} frames at ${film.fps}/s, ${film.shots} ${film.shots === 1 ? "shot" : "shots"}${film.bad_frames ? `, ${film.bad_frames} not decoded` : ""}` : "");
    add("confidence", row.confidence === null ? "" : row.confidence.toFixed(2));
    add("largest ΔL*", row.delta === null ? "" : row.delta.toFixed(4));
    add("notes", row.notes.join("; "));
    add("done again", row.redone ? "after a rejection" : "");
    add("seconds", data.stages.map((name, i) => (row.seconds[i] ? `${name} ${row.seconds[i]}` : "")).filter(Boolean).join(", "));
    add("not shown", row.missing);
    add("source", row.root + row.input);
    if (row.output) {
      const link = make("a", row.output);
      link.href = document.body.dataset.base + row.link;
      const place = make("dd");
      place.append(link);
      list.push(make("dt", "file"), place);
      add("SHA-256", row.after_all);
    }
    add("options", row.making[2]);
    return list;
  }

  function step(by) {
    // A filter may have dropped the open picture: the one that took its place is the next.
    const place = chosen.indexOf(open);
    const at = place >= 0 ? place + by : by > 0 ? openPlace : openPlace - 1;
    if (at < 0 || at >= chosen.length) return say("there is no further picture");
    if (Math.floor(at / PER_PAGE) !== page) {
      page = Math.floor(at / PER_PAGE);
      draw();
    }
    settle(at % PER_PAGE);
    showOne(chosen[at]);
  }

  const actions = {
    close: (target) => target.closest("dialog").close(),
    back: () => step(-1),
    on: () => step(1),
    toggle,
    accept: () => decide(open, "accepted"),
    reject: () => decide(open, "rejected"),
  };

  // --- keys and events -----------------------------------------------------------------------------------------------

  function keysOnSheet(event) {
    const row = shown()[focused];
    if (!row) return;
    const to = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(), ArrowUp: -across()}[event.key];
    if (to) move(Math.abs(to) > 1 ? Math.min(Math.max(focused + to, 0), shown().length - 1) : focused + to);
    else if (event.key === " ") flip(row);
    else if (event.key === "a") decide(row, "accepted");
    else if (event.key === "r") decide(row, "rejected");
    else if (event.key === "n") { showOne(row); $("note").focus(); }
    else if (event.key === "PageDown") turn(page + 1);
    else if (event.key === "PageUp") turn(page - 1);
    else return;
    event.preventDefault();
  }

  function keysOnOne(event) {
    if (event.target !== $("note") && event.target.closest("#correct, #hint, canvas, #stage input, select")) return; // fields with keys of their own
    if (event.target === $("note")) {
      if (event.key === "Escape") { event.preventDefault(); $("name").focus(); }
      return;
    }
    const onSlider = event.target.localName === "img-comparison-slider";
    if (event.target.localName === "video" && !/^[arn]$/.test(event.key)) return; // its own keys: space plays
    const viewer = desk?.viewer() ?? zoomer;
    const zoom = {"+": () => viewer.zoom(1.5), "=": () => viewer.zoom(1.5), "-": () => viewer.zoom(1 / 1.5), 0: () => viewer.fit(), 1: () => viewer.actualSize()}[event.key];
    if (viewer && zoom) zoom();
    else if (event.target.closest(".zoomed") && event.key.startsWith("Arrow")) return; // it scrolls
    else if (event.key === " " && event.target.localName !== "button") toggle();
    else if (event.key === "ArrowRight" && !onSlider) step(1);
    else if (event.key === "ArrowLeft" && !onSlider) step(-1);
    else if (event.key === "a") actions.accept();
    else if (event.key === "r") actions.reject();
    else if (event.key === "n") $("note").focus();
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("textarea, input[type=search], input[type=text]");
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) { event.preventDefault(); undo(); }
  });

  const plain = (handler) => (event) => { if (!event.ctrlKey && !event.metaKey && !event.altKey) handler(event); };

  function remember() {
    const words = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
    if (page) words.set("page", String(page + 1));
    try { history.replaceState(null, "", "#" + words); } catch { /* some browsers forbid it for files */ }
  }

  function recallFilters() {
    const words = new URLSearchParams(location.hash.slice(1));
    for (const field of filters.elements) if (words.has(field.name)) field.value = words.get(field.name);
    page = Math.max(0, Number(words.get("page") ?? 1) - 1) || 0;
  }

  function folders() {
    const all = new Set();
    for (const {folder} of rows) {
      if (folder) folder.split("/").forEach((_, i, parts) => all.add(parts.slice(0, i + 1).join("/")));
    }
    const select = filters.elements.folder;
    const option = (value, text) => { const one = make("option", text); one.value = value; select.append(one); };
    if (all.size && rows.some((row) => !row.folder)) option("./", "(top)");
    [...all].sort().forEach((folder) => option(folder, folder));
  }

  filters.addEventListener("input", () => { page = focused = 0; draw(); });
  filters.addEventListener("submit", (event) => event.preventDefault());
  $("sheet").addEventListener("keydown", plain(keysOnSheet));
  $("sheet").addEventListener("click", (event) => {
    if (event.target.closest("li")) showOne(shown()[placeOf(event.target)]);
  });
  // However a card gets the focus (a click, a screen reader), the keys speak of that one.
  $("sheet").addEventListener("focusin", (event) => { if (event.target.closest("li")) settle(placeOf(event.target)); });
  dialog.addEventListener("keydown", plain(keysOnOne));
  dialog.addEventListener("close", () => { // the browser has given the focus to the card that opened it; the reader went on
    const place = shown().indexOf(open);
    open = null;
    $("moving").replaceChildren(); // nothing plays on unseen
    desk?.hidePicture();
    if (place >= 0) settle(place);
    cardButton(focused)?.focus();
  });
  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("[data-do]");
    if (target) actions[target.dataset.do](target);
  });
  $("note").addEventListener("input", () => keep(open, verdict(open), $("note").value));
  $("save").addEventListener("click", save);
  $("load").addEventListener("change", (event) => { if (event.target.files[0]) load(event.target.files[0]); event.target.value = ""; });
  $("print").addEventListener("click", () => window.print());
  $("hint-copy")?.addEventListener("click", copyHint);
  $("undo").addEventListener("click", undo);
  $("accept-all").addEventListener("click", () => decideAll("accepted"));
  $("reject-all").addEventListener("click", () => decideAll("rejected"));
  $("help").addEventListener("click", () => $("keys").showModal());
  window.addEventListener("storage", () => { recall(); draw(); });
  window.addEventListener("beforeprint", () => document.querySelectorAll("#sheet img").forEach((image) => { image.loading = "eager"; }));

  openStore();
  recall();
  for (const entry of data.desk?.decisions ?? []) decided.set(entry.input, entry);
  folders();
  recallFilters();
  draw();

  // What desk.js may do with the page.
  desk?.start({
    data, say, warn, zoomButtons, addUndo,
    // Rows and decisions that other windows, or a run, changed.
    update(tables, decisions) {
      const places = new Map(rows.map((row, i) => [row.input, i]));
      for (const row of tables ? tables.rows.map((values) => unpack(values, tables)) : []) {
        const place = places.get(row.input), known = rows[place];
        if (!known) { rows.push(row); continue; }
        const isNew = known.after_all !== row.after_all;
        Object.assign(known, row); // the same object: the open picture and the list go on knowing it
        if (open === known && isNew) showOne(known);
      }
      for (const [input, entry] of Object.entries(decisions)) setEntry(input, entry);
      const isInSheet = $("sheet").contains(document.activeElement);
      draw();
      if (isInSheet) cardButton(focused)?.focus({preventScroll: true});
      if (open) {
        showDecision(open);
        if (document.activeElement !== $("note")) $("note").value = noteOf(open);
      }
    },
    rows: () => rows,
  });
})();
