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

  async function showPicture(row, stage) {
    hidePicture();
    const mine = current = {row, hints: [], version: 0, changed: false};
    stage.replaceChildren(Object.assign(document.createElement("p"), {textContent: "opening …"}));
    let facts;
    try {
      facts = await ask("open", {input: row.input});
    } catch (error) {
      if (mine === current) stage.replaceChildren(Object.assign(document.createElement("p"), {textContent: error.message}));
      return;
    }
    if (mine !== current) return;
    Object.assign(mine, facts, {version: 0});
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${row.name}: the original on the left of the divider, colour by AI on the right. Keys: + and - zoom, 1 actual size, 0 whole, arrows move.`);
    const divider = Object.assign(document.createElement("input"), {type: "range", min: 0, max: 100, value: 50, id: "divider"});
    divider.setAttribute("aria-label", "Divider between the original and the colour, per cent original");
    divider.addEventListener("input", () => viewer.setDivider(divider.value / 100));
    const zooms = document.createElement("div");
    zooms.className = "zooms";
    for (const [text, name, action] of [["−", "Zoom out", () => viewer.zoom(1 / 1.5)], ["+", "Zoom in", () => viewer.zoom(1.5)], ["1:1", "Actual size", () => viewer.actualSize()], ["⤢", "Whole picture", () => viewer.fit()]]) {
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: text});
      button.setAttribute("aria-label", name);
      button.addEventListener("click", action);
      zooms.append(button);
    }
    stage.replaceChildren(canvas, divider, zooms);
    viewer = new TileViewer(canvas, {
      ...facts, tile: settings.tile,
      address: (side, level, column, row_) => {
        const which = side === "left" ? "before" : mine.version ? "preview" : "after";
        return `tile/${mine.key}/${which}/${mine.version}/${level}/${column}/${row_}`;
      },
      onClick: (where) => clicked(mine, where),
      onView: () => { divider.value = Math.round(viewer.divider * 100); },
    });
    viewer.setDivider(row.after ? 0.5 : 1);
    $("correct").hidden = false;
    resetControls(row);
  }

  function hidePicture() {
    viewer?.close();
    viewer = current = null;
    if ($("correct")) $("correct").hidden = true;
  }

  function toggle() {
    if (!viewer) return false;
    viewer.setDivider(viewer.divider > 0.5 ? 0 : 1);
    page.say(viewer.divider > 0.5 ? "original" : "coloured");
    return true;
  }

  function resetControls(row) {
    const known = settings.models.includes(row.making[0]);
    $("model").value = known ? row.making[0] : settings.models[0];
    $("size").value = 256;
    $("strength").value = $("strength-value").value = 1;
    $("mirror").checked = false;
    $("palette").replaceChildren(option("", "no other picture"), ...page.rows().filter((one) => one.after_all && one !== row && !one.film).slice(0, 500).map((one) => option(one.input)));
    $("keep").disabled = $("reset").disabled = true;
    $("flags").textContent = row.guidance.length ? `The file has: ${row.guidance.join("; ")}.` : "";
    $("fault").hidden = true;
    pick("move");
    showHints();
    showSwatches([]);
  }

  async function clicked(picture, {x, y, mark, moved}) {
    if (moved) return void preview();
    if (mark) { // a click on a pin chooses its colour
      $("colour").value = mark.colour;
      return;
    }
    if (tool() === "move") return;
    let colour = $("colour").value;
    if (tool() === "leave") {
      try {
        ({colour} = await ask("colour", {key: picture.key, x, y, side: picture.version ? "preview" : "after"}));
      } catch (error) {
        return void fault(error);
      }
    }
    picture.hints.push({x, y, colour, leaves: tool() === "leave"});
    showHints();
    preview();
  }

  function showHints() {
    const hints = current?.hints ?? [];
    $("hints").replaceChildren(...hints.map((hint, i) => {
      const item = document.createElement("li");
      const colour = Object.assign(document.createElement("input"), {type: "color", value: hint.colour});
      colour.setAttribute("aria-label", `Colour of pin ${i + 1}`);
      colour.addEventListener("change", () => { hint.colour = colour.value; preview(); });
      const remove = Object.assign(document.createElement("button"), {type: "button", textContent: "Remove"});
      remove.setAttribute("aria-label", `Remove pin ${i + 1}`);
      remove.addEventListener("click", () => { hints.splice(i, 1); showHints(); preview(); });
      item.append(colour, ` ${hint.leaves ? "left as it is" : hint.colour} at ${hint.x}, ${hint.y} `, remove);
      return item;
    }));
    if (viewer) {
      viewer.marks = hints;
      viewer.draw();
    }
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
  }

  function correction() {
    return {
      model: $("model").value, size: Number($("size").value), strength: Number($("strength").value), mirror: $("mirror").checked,
      palette: $("palette").value, hints: current.hints.map(({x, y, colour}) => ({x, y, colour})),
    };
  }

  // Only the newest request counts; while one is under way, the next waits and takes what is set then.
  let busy = false, again = false;
  async function preview() {
    if (!current) return;
    if (busy) { again = true; return; }
    busy = true;
    const mine = current;
    try {
      const answer = await ask("preview", {key: mine.key, ...correction()});
      if (mine === current) {
        mine.version = answer.version;
        $("flags").textContent = answer.flags;
        $("fault").hidden = true;
        showSwatches(answer.swatches);
        showHints();
        $("keep").disabled = $("reset").disabled = false;
        viewer.draw();
      }
    } catch (error) {
      if (mine === current) fault(error);
    }
    busy = false;
    const isAsked = again && mine === current;
    again = false;
    if (isAsked) preview();
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
      await ask("keep", {input: mine.row.input, key: mine.key, ...correction()});
      page.say(`${mine.row.name} is coloured anew`);
      await poll();
    } catch (error) {
      fault(error);
      $("keep").disabled = false;
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
    $("colour").addEventListener("input", () => pick("colour"));
    $("strength").addEventListener("input", () => { $("strength-value").value = $("strength").value; });
    for (const id of ["model", "size", "strength", "mirror", "palette"]) $(id).addEventListener("change", preview);
    $("keep").addEventListener("click", keep);
    $("reset").addEventListener("click", () => { if (current) { current.hints = []; current.version = 0; resetControls(current.row); viewer.draw(); } });
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
