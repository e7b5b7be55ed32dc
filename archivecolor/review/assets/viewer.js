// Shows a picture of any size in tiles: zoom, pan, and a divider between before and after.
"use strict";
class TileViewer {
  // address(side, level, column, row) -> the tile's address; sides are "left" and "right" of the divider.
  constructor(canvas, {width, height, levels, tile, address, onClick, onBox, onView}) {
    Object.assign(this, {canvas, width, height, levels, tile, address, onClick, onBox, onView});
    this.divider = 0.5;
    this.marks = []; // {x, y, colour}: pixels of the picture
    this.boxes = []; // {x, y, width, height}: the same
    this.drawsBoxes = false; // whether a drag draws a box, or moves the picture
    this.tiles = new Map(); // address -> image
    this.pointers = new Map();
    this.context = canvas.getContext("2d");
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(canvas);
    const listen = (kind, handler, options) => canvas.addEventListener(kind, handler, options);
    listen("wheel", (event) => this.wheel(event), {passive: false});
    listen("pointerdown", (event) => this.down(event));
    listen("pointermove", (event) => this.moved(event));
    for (const kind of ["pointerup", "pointercancel"]) listen(kind, (event) => this.up(event));
    listen("keydown", (event) => this.key(event));
    for (const kind of ["focus", "blur"]) listen(kind, () => this.draw());
    this.fit();
  }

  close() {
    this.observer.disconnect();
    this.closed = true;
  }

  get ratio() { return window.devicePixelRatio || 1; }

  resized() {
    const {clientWidth, clientHeight} = this.canvas;
    const whole = this.isFitted;
    this.canvas.width = Math.max(1, Math.round(clientWidth * this.ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * this.ratio));
    if (whole) this.fit(); else this.draw();
  }

  fit() {
    const {clientWidth, clientHeight} = this.canvas;
    this.scale = Math.min(clientWidth / this.width, clientHeight / this.height) || 1;
    this.centre = [this.width / 2, this.height / 2];
    this.isFitted = true;
    this.draw();
  }

  // Zooms by a factor; the pixel under `at` (CSS pixels of the canvas) stays where it is.
  zoom(factor, at = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    const fitted = Math.min(this.canvas.clientWidth / this.width, this.canvas.clientHeight / this.height) || 1;
    const scale = Math.min(Math.max(this.scale * factor, Math.min(fitted, 1 / this.ratio)), 16);
    const [x, y] = this.toPicture(at);
    this.scale = scale;
    this.isFitted = scale === fitted;
    const [newX, newY] = this.toPicture(at);
    this.pan(newX - x, newY - y);
  }

  actualSize(at) { this.zoom(1 / this.ratio / this.scale, at); }

  pan(x, y) {
    const clamp = (value, size) => Math.min(Math.max(value, 0), size);
    this.centre = [clamp(this.centre[0] - x, this.width), clamp(this.centre[1] - y, this.height)];
    this.draw();
  }

  toPicture([x, y]) {
    return [this.centre[0] + (x - this.canvas.clientWidth / 2) / this.scale, this.centre[1] + (y - this.canvas.clientHeight / 2) / this.scale];
  }

  toScreen([x, y]) {
    return [(x - this.centre[0]) * this.scale + this.canvas.clientWidth / 2, (y - this.centre[1]) * this.scale + this.canvas.clientHeight / 2];
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    event.preventDefault();
    this.isFitted = false;
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), this.place(event));
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.pointers.set(event.pointerId, at);
    this.start = at;
    this.travelled = 0;
    const onDivider = Math.abs(at[0] - this.divider * this.canvas.clientWidth) < 14;
    const hit = this.marks.findIndex((mark) => Math.hypot(...this.toScreen([mark.x + .5, mark.y + .5]).map((v, i) => v - at[i])) < 12);
    if (this.pointers.size > 1) this.box = this.dragged = null;
    else this.dragged = hit >= 0 ? {mark: this.marks[hit]} : this.drawsBoxes ? {corner: this.toPicture(at)} : onDivider ? {divider: true} : {};
    this.isPinch = this.pointers.size > 1;
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const at = this.place(event);
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    this.pointers.set(event.pointerId, at);
    const [dx, dy] = [at[0] - before[0], at[1] - before[1]];
    this.travelled += Math.hypot(dx, dy);
    if (others.length) { // two fingers: zoom and pan
      const [other] = others;
      const distance = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
      const middle = [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2];
      this.isFitted = false;
      this.zoom(distance(at) / distance(before), middle);
      this.pan(dx / 2 / this.scale, dy / 2 / this.scale);
    } else if (this.dragged?.divider) {
      this.setDivider(at[0] / this.canvas.clientWidth);
    } else if (this.dragged?.mark && this.travelled > 4) {
      const [x, y] = this.toPicture(at);
      this.dragged.mark.x = Math.min(Math.max(Math.floor(x), 0), this.width - 1);
      this.dragged.mark.y = Math.min(Math.max(Math.floor(y), 0), this.height - 1);
      this.draw();
    } else if (this.dragged?.corner) {
      this.box = this.boxBetween(this.dragged.corner, this.toPicture(at));
      this.draw();
    } else if (this.travelled > 4) {
      this.isFitted = false;
      this.pan(dx / this.scale, dy / this.scale);
    }
  }

  up(event) {
    const known = this.pointers.delete(event.pointerId);
    if (!known || this.pointers.size) return;
    const box = this.box;
    this.box = null;
    if (event.type === "pointercancel" || this.isPinch) return this.draw();
    if (this.dragged?.corner && this.travelled > 4) return void (box && this.onBox?.(box));
    const [x, y] = this.toPicture(this.place(event)).map(Math.floor);
    const inside = x >= 0 && y >= 0 && x < this.width && y < this.height;
    if (this.travelled > 4) { if (this.dragged?.mark) this.onClick({moved: this.dragged.mark}); }
    else if (inside && !this.dragged?.divider) this.onClick({x, y, mark: this.dragged?.mark});
  }

  // The part of the rectangle between two places that lies inside the picture; null where none does.
  boxBetween(one, other) {
    const clamp = (value, size) => Math.min(Math.max(Math.round(value), 0), size);
    const [left, right] = [one[0], other[0]].map((value) => clamp(value, this.width)).sort((a, b) => a - b);
    const [top, bottom] = [one[1], other[1]].map((value) => clamp(value, this.height)).sort((a, b) => a - b);
    return right > left && bottom > top ? {x: left, y: top, width: right - left, height: bottom - top} : null;
  }

  // A fifth of what is on the screen, around a place.
  boxAround([x, y]) {
    const [across, down] = [this.canvas.clientWidth, this.canvas.clientHeight].map((side) => side / this.scale / 10);
    return this.boxBetween([x - across, y - down], [x + across, y + down]);
  }

  key(event) {
    const step = 60 / this.scale;
    const pans = {ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]};
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.fit();
    else if (event.key === "1") this.actualSize();
    else if (event.key === "Enter") {
      const [x, y] = this.centre.map(Math.floor);
      this.onClick({x: Math.min(x, this.width - 1), y: Math.min(y, this.height - 1)});
    } else if (pans[event.key] && !this.isFitted) this.pan(...pans[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  setDivider(share) {
    this.divider = Math.min(Math.max(share, 0), 1);
    this.draw();
    this.onView?.();
  }

  // Draws soon, once, however often it is asked.
  draw() {
    if (this.waiting || this.closed) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; if (!this.closed) this.paint(); });
  }

  paint() {
    const {context, canvas, ratio} = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const x = this.divider * width;
    this.paintSide("left", 0, x);
    this.paintSide("right", x, width);
    context.fillStyle = "#fffc";
    context.fillRect(x - 1, 0, 2, height);
    context.beginPath();
    context.arc(x, height / 2, 9, 0, 7);
    context.fill();
    for (const box of this.box ? [...this.boxes, this.box] : this.boxes) this.paintBox(box);
    for (const mark of this.marks) this.paintMark(mark);
    if (canvas.matches(":focus-visible")) this.paintCross(width / 2, height / 2); // where Enter clicks
  }

  outline() {
    const {context} = this;
    for (const [width, colour] of [[3, "#000"], [1.5, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    }
  }

  paintBox({x, y, width, height}) {
    this.context.beginPath();
    this.context.rect(...this.toScreen([x, y]), width * this.scale, height * this.scale);
    this.outline();
  }

  paintCross(x, y) {
    this.context.beginPath();
    for (const [dx, dy] of [[6, 0], [0, 6]]) {
      this.context.moveTo(x - dx, y - dy);
      this.context.lineTo(x + dx, y + dy);
    }
    this.outline();
  }

  paintMark({x, y, colour}) {
    const {context} = this;
    context.beginPath();
    context.arc(...this.toScreen([x + .5, y + .5]), 7, 0, 7);
    context.fillStyle = colour;
    context.fill();
    this.outline();
  }

  paintSide(side, from, to) {
    if (to <= from) return;
    const {context} = this;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, this.canvas.clientHeight);
    context.clip();
    const best = Math.min(Math.max(Math.floor(Math.log2(1 / (this.scale * this.ratio))), 0), this.levels - 1);
    context.imageSmoothingEnabled = this.scale * this.ratio < 2;
    for (const level of new Set([this.levels - 1, best])) this.paintLevel(side, level, from, to);
    context.restore();
  }

  paintLevel(side, level, from, to) {
    const step = this.tile * 2 ** level; // pixels of the picture
    const [left, top] = this.toPicture([from, 0]);
    const [right, bottom] = this.toPicture([to, this.canvas.clientHeight]);
    const first = (value) => Math.max(0, Math.floor(value / step));
    const last = (value, size) => Math.min(Math.ceil(size / step) - 1, Math.floor(value / step));
    for (let row = first(top); row <= last(bottom, this.height); row++) {
      for (let column = first(left); column <= last(right, this.width); column++) {
        const image = this.image(this.address(side, level, column, row));
        if (!image.complete || !image.naturalWidth) continue;
        const [x, y] = this.toScreen([column * step, row * step]);
        const size = 2 ** level * this.scale;
        this.context.drawImage(image, x, y, image.naturalWidth * size, image.naturalHeight * size);
      }
    }
  }

  image(address) {
    let image = this.tiles.get(address);
    if (!image) {
      image = new Image();
      image.onload = () => this.draw();
      image.src = address;
      this.tiles.set(address, image);
      if (this.tiles.size > 400) this.tiles.delete(this.tiles.keys().next().value);
    }
    return image;
  }

  // Whether every tile that is on the screen has come; for tests and for those who wait.
  isComplete() { return [...this.tiles.values()].every((image) => image.complete); }
}
