// The review page with a server behind it: decisions go to disk, pictures open at full size, colours are corrected.
"use strict";
window.archivecolorDesk = (() => {
  const POLL_MS = 1500;
  const $ = (id) => document.getElementById(id);
  let page = null, settings = null, last = 0, viewer = null, current = null;

  async function ask(path, body) {
    const text = JSON.stringify(body);
    // keepalive: a decision arrives although the page is closed at once; browsers allow it for 64 kB.
    const request = body === undefined ? {} : {method: "POST", body: text, headers: {"content-type": "application/json"}, keepalive: text.length < 60000};
    const response = await fetch(path, request);
    const answer = await response.json().catch(() => ({error: response.statusText}));
    if (!response.ok) throw new Error(answer.error ?? response.statusText);
    return answer;
  }

  // One after another: a later decision must not be overtaken. In slices, because a request has a limit.
  const SLICE = 2000;
  let queue = Promise.resolve();
  function decide(entries) {
    const send = async () => {
      for (let at = 0; at < entries.length; at += SLICE) await ask("decide", {decisions: entries.slice(at, at + SLICE)});
    };
    return queue = queue.catch(() => {}).then(send);
  }

  // --- one picture -------------------------------------------------------------------------------------------------

  const option = (value, text = value) => { const one = document.createElement("option"); one.value = value; one.textContent = text; return one; };
  const tool = () => document.querySelector("input[name=tool]:checked").value;
  const pick = (name) => { document.querySelector(`input[name=tool][value=${name}]`).checked = true; };

  async function showPicture(row, stage, part = current?.row === row ? current.part : 0) {
    hidePicture();
    const mine = current = {row, part, version: 0};
    stage.replaceChildren(Object.assign(document.createElement("p"), {textContent: "opening …"}));
    let facts;
    try {
      facts = await ask("open", {input: row.input, part});
    } catch (error) {
      if (mine === current) stage.replaceChildren(Object.assign(document.createElement("p"), {textContent: error.message}));
      return;
    }
    if (mine !== current) return;
    Object.assign(mine, facts);
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.style.aspectRatio = `${mine.width} / ${mine.height}`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${row.name}: the original on the left of the divider, colour by AI on the right. Keys: + and - zoom, 1 actual size, 0 whole, arrows move, Enter is a click in the middle.`);
    const divider = Object.assign(document.createElement("input"), {type: "range", min: 0, max: 100, value: 50, id: "divider"});
    divider.setAttribute("aria-label", "Divider between the original and the colour, per cent original");
    divider.addEventListener("input", () => viewer.setDivider(divider.value / 100));
    stage.replaceChildren(canvas, divider);
    viewer = new TileViewer(canvas, {
      ...facts, tile: settings.tile,
      address: (side, level, column, row_) => {
        const which = side === "left" ? "before" : mine.version ? "preview" : "after";
        return `tile/${mine.key}/${which}/${mine.version}/${level}/${column}/${row_}`;
      },
      onClick: (where) => clicked(mine, where),
      onBox: (box) => change(() => mine.settings.neutral.push(box)),
      onView: () => { divider.value = Math.round(viewer.divider * 100); },
    });
    stage.append(page.zoomButtons(viewer));
    viewer.setDivider(row.after ? 0.5 : 1);
    showParts(mine, stage);
    $("correct").hidden = !mine.can_correct;
    if (!mine.can_correct) return;
    mine.settings = mine.draft ?? mine.made;
    resetControls(row);
    if (mine.draft) {
      preview();
      page.say("what you changed before is shown; it is not kept yet");
    } else showSwatchesOf(mine);
  }

  // The pages of a file, or the frames that stand for a film.
  function showParts(mine, stage) {
    const {row, parts, part} = mine;
    $("parts-label").hidden = parts.length < 2;
    $("parts-label").firstElementChild.textContent = row.film ? "Frame" : "Page";
    $("parts").replaceChildren(...parts.map((label, i) => option(String(i), label)));
    $("parts").value = String(part);
    $("parts").onchange = async () => {
      await showPicture(row, stage, Number($("parts").value));
      $("parts").focus();
    };
    $("as-a-whole").hidden = !row.film && parts.length < 2;
    $("as-a-whole").textContent = row.film ? "These frames stand for the film. It is decided on and coloured as a whole: reject it, and redo the rejected with other settings."
      : `A decision is about the file with all its ${parts.length} pages, and so are the settings below.`;
  }

  async function showSwatchesOf(mine) {
    const {swatches} = await ask("swatches", {key: mine.key}).catch(() => ({swatches: []}));
    if (mine === current && !mine.version) showSwatches(swatches);
  }

  function hidePicture() {
    viewer?.close();
    viewer = current = null;
    for (const id of ["correct", "parts-label", "as-a-whole"]) $(id).hidden = true;
  }

  function toggle() {
    if (!viewer) return false;
    viewer.setDivider(viewer.divider > 0.5 ? 0 : 1);
    page.say(viewer.divider > 0.5 ? "original" : "coloured");
    return true;
  }

  const RANGES = ["strength", "warmth", "palette_strength"];

  function resetControls(row) {
    const rows = page.rows().filter((one) => one !== row && !one.film);
    const references = (label, chosen) => {
      const list = document.createElement("optgroup");
      list.label = label;
      list.append(...chosen.slice(0, 500).map((one) => option(one.input)));
      return list;
    };
    $("palette").replaceChildren(option("", "no other picture"), references("Photographs in colour", rows.filter((one) => one.colour)), references("Coloured by AI", rows.filter((one) => one.after_all)));
    $("keep").disabled = $("reset").disabled = true;
    $("flags").textContent = row.guidance.length ? `The file has: ${row.guidance.join("; ")}.` : "";
    $("fault").hidden = true;
    pick("move");
    toolChanged();
    showSwatches([]);
    showSettings();
  }

  // Puts the settings of the open picture into the controls.
  function showSettings() {
    const {settings: chosen} = current;
    for (const id of ["model", "size", "palette", ...RANGES]) $(id).value = chosen[id];
    for (const id of RANGES) $(`${id}-value`).value = $(id).value;
    $("mirror").checked = chosen.mirror;
    $("palette-share").hidden = !chosen.palette;
    showPlaces();
  }

  // Every change of the settings goes through here, so that it can be undone.
  function change(act) {
    const mine = current, before = structuredClone(mine.settings);
    act();
    record(mine, before);
  }

  function record(mine, before) {
    if (JSON.stringify(before) === JSON.stringify(mine.settings)) return;
    page.addUndo(() => {
      if (mine !== current) return false;
      mine.settings = before;
      showSettings();
      preview();
      page.say("the change of colours is undone");
      return true;
    });
    showSettings();
    preview();
  }

  async function clicked(picture, {x, y, mark, moved}) {
    if (!picture.can_correct) return;
    if (moved) return record(picture, {...picture.settings, hints: picture.beforeMove});
    if (mark) { // a click on a pin chooses its colour
      $("colour").value = mark.colour;
      return;
    }
    if (tool() === "move") return;
    if (tool() === "neutral") {
      const box = viewer.boxAround([x, y]);
      return void (box && change(() => picture.settings.neutral.push(box)));
    }
    let colour = $("colour").value;
    if (tool() === "leave") {
      try {
        ({colour} = await ask("colour", {key: picture.key, x, y, side: picture.version ? "preview" : "after"}));
      } catch (error) {
        return void fault(error);
      }
    }
    if (picture === current) change(() => picture.settings.hints.push({x, y, colour}));
  }

  function toolChanged() {
    if (viewer) viewer.drawsBoxes = tool() === "neutral";
  }

  // A list item with a number field for each of the names, and a button that removes it.
  function placeItem(list, i, what, names) {
    const item = document.createElement("li");
    item.append(`${what} `);
    for (const name of names) {
      const field = Object.assign(document.createElement("input"), {type: "number", min: 0, step: 1, value: list[i][name]});
      field.setAttribute("aria-label", `${name} of ${what} ${i + 1}, pixels`);
      field.addEventListener("change", () => change(() => { list[i][name] = Math.max(0, Math.round(Number(field.value)) || 0); }));
      item.append(`${name} `, field, " ");
    }
    const remove = Object.assign(document.createElement("button"), {type: "button", textContent: "Remove"});
    remove.setAttribute("aria-label", `Remove ${what} ${i + 1}`);
    remove.addEventListener("click", () => change(() => list.splice(i, 1)));
    item.append(remove);
    return item;
  }

  function showPlaces() {
    const mine = current, {hints, neutral} = mine.settings;
    const focused = document.activeElement?.getAttribute("aria-label");
    $("hints").replaceChildren(...hints.map((hint, i) => {
      const item = placeItem(hints, i, "pin", ["x", "y"]);
      const colour = Object.assign(document.createElement("input"), {type: "color", value: hint.colour});
      colour.setAttribute("aria-label", `Colour of pin ${i + 1}`);
      colour.addEventListener("change", () => change(() => { hint.colour = colour.value; }));
      item.firstChild.after(colour, " ");
      return item;
    }));
    $("regions").replaceChildren(...neutral.map((region, i) => placeItem(neutral, i, "region", ["x", "y", "width", "height"])));
    if (focused) document.querySelector(`#correct [aria-label="${CSS.escape(focused)}"]`)?.focus();
    mine.beforeMove = structuredClone(hints);
    viewer.marks = hints;
    viewer.boxes = neutral;
    viewer.draw();
  }

  function showSwatches(colours) {
    $("swatches").replaceChildren(...colours.map((colour) => {
      const button = Object.assign(document.createElement("button"), {type: "button"});
      button.style.background = colour;
      button.setAttribute("aria-label", `Use ${colour}`);
      button.title = colour;
      button.addEventListener("click", () => useColour(colour));
      return button;
    }));
  }

  function useColour(colour) {
    $("colour").value = colour;
    pick("colour");
    toolChanged();
  }

  function takeControls() {
    change(() => Object.assign(current.settings, {
      model: $("model").value, size: Number($("size").value), mirror: $("mirror").checked, palette: $("palette").value,
      ...Object.fromEntries(RANGES.map((id) => [id, Number($(id).value)])),
    }));
  }

  // Only the newest request counts; while one is under way, the next waits and takes what is set then.
  let busy = false, again = null; // the picture that waits
  async function preview() {
    if (!current) return;
    if (busy) { again = current; return; }
    busy = true;
    const mine = current;
    try {
      const answer = await ask("preview", {key: mine.key, ...mine.settings});
      if (mine === current) {
        mine.version = answer.version;
        $("flags").textContent = answer.flags;
        $("fault").hidden = true;
        showSwatches(answer.swatches);
        $("keep").disabled = $("reset").disabled = false;
        viewer.draw();
      }
    } catch (error) {
      if (mine === current) fault(error);
    }
    busy = false;
    const next = again;
    again = null;
    if (next && next === current) preview();
  }

  function fault(error) {
    $("fault").textContent = error.message;
    $("fault").hidden = false;
  }

  async function keep() {
    const mine = current;
    $("keep").disabled = true;
    page.say("colouring the file");
    try {
      await ask("keep", {input: mine.row.input, key: mine.key, ...mine.settings});
      page.say(`${mine.row.name} is coloured anew`);
      await poll();
    } catch (error) {
      fault(error);
      $("keep").disabled = false;
    }
  }

  async function reset() {
    const mine = current;
    try {
      const {made} = await ask("discard", {input: mine.row.input});
      if (mine !== current) return;
      Object.assign(mine, {settings: made, version: 0});
      resetControls(mine.row);
      showSwatchesOf(mine);
      viewer.draw();
    } catch (error) {
      fault(error);
    }
  }

  // --- tasks and other windows -------------------------------------------------------------------------------------

  function showTask(task) {
    const atWork = task.state === "running" || task.state === "paused";
    const words = {run: "Run", redo: "Redo", verify: "Verify", export: "Export"}[task.kind];
    const count = task.total ? ` ${task.done} of ${task.total}` : "";
    $("task").textContent = !task.kind ? "Nothing is at work." : `${words}: ${task.state}${count}${task.message ? `; ${task.message}` : ""}`;
    $("task-progress").hidden = !atWork;
    if (task.total) { $("task-progress").max = task.total; $("task-progress").value = task.done; } else $("task-progress").removeAttribute("value");
    $("task-details").replaceChildren(...task.details.slice(0, 50).map((text) => Object.assign(document.createElement("li"), {textContent: text})));
    for (const button of document.querySelectorAll("[data-task]")) {
      const does = button.dataset.task;
      const isRun = task.kind === "run" || task.kind === "redo";
      if (does === "pause") button.hidden = task.state !== "running" || !isRun;
      else if (does === "resume") button.hidden = task.state !== "paused";
      else if (does === "stop") button.hidden = !atWork || !isRun;
      else button.disabled = atWork || (!settings.can_run && (does === "run" || does === "redo"));
    }
  }

  let polling = false, isLost = false;
  async function poll() {
    if (polling) return;
    polling = true;
    try {
      const answer = await ask(`changes?since=${last}`);
      const isNew = answer.change !== last;
      last = answer.change;
      if (isNew) page.update(answer.rows, answer.decisions);
      showTask(answer.task);
      if (isLost) $("warning").hidden = true;
      isLost = false;
    } catch (error) {
      page.warn(`The server does not answer (${error.message}). Start archivecolor review again; decisions made so far are kept.`);
      isLost = true;
    }
    polling = false;
  }

  async function startTask(name) {
    const form = $("settings").elements;
    const body = {
      do: name, model: form.model.value, size: Number(form.size.value), strength: Number(form.strength.value), mirror: form.mirror.checked,
    };
    try {
      showTask(await ask("task", body));
    } catch (error) {
      page.warn(error.message);
    }
    poll();
  }

  function start(reviewPage) {
    page = reviewPage;
    settings = page.data.desk;
    last = settings.change;
    $("model").replaceChildren(...settings.models.map((name) => option(name)));
    $("settings").elements.model.replaceChildren(...settings.models.map((name) => option(name)));
    $("named").append(...Object.entries(settings.colours).map(([name, colour]) => option(colour, name)));
    $("named").addEventListener("change", () => { if ($("named").value) useColour($("named").value); });
    $("colour").addEventListener("input", () => { pick("colour"); toolChanged(); });
    for (const radio of document.querySelectorAll("input[name=tool]")) radio.addEventListener("change", toolChanged);
    for (const id of RANGES) $(id).addEventListener("input", () => { $(`${id}-value`).value = $(id).value; });
    for (const id of ["model", "size", "mirror", "palette", ...RANGES]) $(id).addEventListener("change", takeControls);
    $("keep").addEventListener("click", keep);
    $("reset").addEventListener("click", reset);
    document.querySelector(".tasks").addEventListener("click", (event) => {
      const name = event.target.dataset?.task;
      if (name) startTask(name);
    });
    document.querySelector("[data-task=export]").title = `to ${settings.export_to}`;
    if (!settings.can_run) document.querySelectorAll("[data-task=run], [data-task=redo]").forEach((button) => { button.disabled = true; button.title = "start archivecolor review with --inputs"; });
    poll();
    setInterval(poll, POLL_MS);
  }

  return {decide, showPicture, hidePicture, toggle, start, viewer: () => viewer};
})();
