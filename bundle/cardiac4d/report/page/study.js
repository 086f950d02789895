// SPDX-License-Identifier: Apache-2.0
// The beating heart of a study page: one clock, three views, one cursor. Reads the block "report-data" and nothing else.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const byId = (id) => document.getElementById(id);
  const numFrames = data.num_frames;
  const SHOWN_CYCLE_MS = data.cycle_ms || 1000; // a beat per second where the true length is not known
  const SIDE = 512; // of a canvas; pictures are scaled to it, letters and lines are not
  const zoom = SIDE / data.pixels;
  const COLOURS = { cavity: "#E69F00", wall: "#56B4E9", cut: "#FFFFFF", reference: "#FFFFFF" };
  const state = { frame: data.ed_frame, playing: false, speed: 1, contours: true, cuts: true, reference: true };
  let clock = null; // time of the last step of the animation, and how far the heart is in its beat

  // --- views ---------------------------------------------------------------------------------------------------

  const views = data.views.map((view) => {
    const figure = document.querySelector(`[data-view="${view.key}"]`);
    const canvas = figure.querySelector("canvas");
    const slider = figure.querySelector("input[type=range]");
    const own = { ...view, figure, canvas, slider, index: view.start, sheets: new Map() };
    canvas.width = canvas.height = SIDE;
    slider.addEventListener("input", () => {
      own.index = Number(slider.value);
      draw();
    });
    return own;
  });

  function sheet(view) {
    const index = view.index;
    if (!view.sheets.has(index)) {
      const image = new Image();
      image.addEventListener("load", draw);
      image.src = view.cuts[index].sprite;
      view.sheets.set(index, image);
    }
    return view.sheets.get(index);
  }

  function drawView(view) {
    const context = view.canvas.getContext("2d");
    const cut = view.cuts[view.index];
    const side = data.pixels;
    const image = sheet(view);
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
    if (image.complete && image.naturalWidth) {
      const column = state.frame % data.columns;
      const row = Math.floor(state.frame / data.columns);
      context.drawImage(image, column * side, row * side, side, side, 0, 0, SIDE, SIDE);
    }
    if (state.cuts) views.filter((other) => other !== view).forEach((other) => drawCutLine(context, cut, other));
    const [cavity, whole] = cut.contours[state.frame];
    if (state.contours) drawContours(context, [[whole, COLOURS.wall], [cavity, COLOURS.cavity]], []);
    if (state.reference && cut.reference) {
      drawContours(context, cut.reference[state.frame].map((path) => [path, COLOURS.reference]), [7, 7]);
    }
    drawLetters(context, cut.letters);
    drawScaleBar(context);
    const where = cut.title;
    view.figure.querySelector(".where").textContent = where;
    view.slider.setAttribute("aria-valuetext", where);
    view.canvas.setAttribute("aria-label", `${view.name}, ${where}, ${spoken()}`);
  }

  function drawContours(context, lines, dashes) {
    context.save();
    const scale = zoom / data.units_per_pixel;
    context.setTransform(scale, 0, 0, scale, zoom / 2, zoom / 2); // paths count from the centre of the first pixel
    context.lineWidth = 3 / scale;
    context.lineJoin = "round";
    context.setLineDash(dashes.map((length) => length / scale));
    lines.forEach(([path, colour]) => {
      if (!path) return;
      context.strokeStyle = colour;
      context.stroke(new Path2D(path));
    });
    context.restore();
  }

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

  // The line in which the plane of another view meets this picture: normal . (centre + x right + y down - point) = 0.
  function drawCutLine(context, cut, other) {
    const plane = other.cuts[other.index];
    const normal = cross(plane.right, plane.down);
    const across = dot(normal, cut.right);
    const along = dot(normal, cut.down);
    const length = Math.hypot(across, along);
    if (length < 0.05) return; // parallel
    const away = dot(normal, [0, 1, 2].map((k) => plane.center[k] - cut.center[k])) / length;
    const [nx, ny] = [across / length, along / length];
    const x = SIDE / 2 + (away * nx * zoom) / data.mm_per_pixel;
    const y = SIDE / 2 + (away * ny * zoom) / data.mm_per_pixel;
    context.save();
    context.beginPath();
    context.moveTo(x - 999 * ny, y + 999 * nx);
    context.lineTo(x + 999 * ny, y - 999 * nx);
    context.setLineDash([8, 10]);
    context.lineWidth = 2;
    context.globalAlpha = 0.55;
    context.strokeStyle = COLOURS.cut;
    context.stroke();
    context.restore();
  }

  function label(context, text, x, y, align, baseline) {
    context.textAlign = align;
    context.textBaseline = baseline;
    context.font = "600 26px system-ui, sans-serif";
    context.lineWidth = 6;
    context.lineJoin = "round";
    context.strokeStyle = "#000";
    context.fillStyle = "#fff";
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }

  function drawLetters(context, letters) {
    const [left, right, top, bottom] = letters.split(" ");
    const [side, edge] = [SIDE, 10];
    label(context, left, edge, side / 2, "left", "middle");
    label(context, right, side - edge, side / 2, "right", "middle");
    label(context, top, side / 2, edge, "center", "top");
    label(context, bottom, side / 2, side - edge, "center", "bottom");
  }

  function drawScaleBar(context) {
    const millimetres = data.pixels * data.mm_per_pixel > 100 ? 50 : 20;
    const length = (millimetres / data.mm_per_pixel) * zoom;
    const [right, y] = [SIDE - 16, SIDE - 16];
    context.lineCap = "butt";
    [["#000", 8], ["#fff", 4]].forEach(([colour, width]) => {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(right - length, y);
      context.lineTo(right, y);
      context.stroke();
    });
    label(context, `${millimetres} mm`, right, y - 8, "right", "bottom");
  }

  // --- what else follows the frame -----------------------------------------------------------------------------

  function spoken() {
    const time = data.times ? `, ${Math.round(data.times[state.frame])} ms` : "";
    const volume = data.lv_ml[state.frame];
    const amount = volume === null ? "cavity not measured" : `cavity ${volume.toFixed(0)} mL`;
    const phase = state.frame === data.ed_frame ? ", end-diastole" : state.frame === data.es_frame ? ", end-systole" : "";
    const known = !data.reference_frames || data.reference_frames.includes(state.frame);
    return `frame ${state.frame} / ${numFrames - 1}${time}, ${amount}${phase}${known ? "" : ", no reference here"}`;
  }

  function draw() {
    views.forEach(drawView);
    const text = spoken();
    const time = byId("time");
    time.value = state.frame;
    time.setAttribute("aria-valuetext", text);
    byId("readout").textContent = text[0].toUpperCase() + text.slice(1);
    const [x, y] = data.cursor[state.frame];
    byId("cursor").setAttribute("x1", x);
    byId("cursor").setAttribute("x2", x);
    byId("cursor-dot").setAttribute("cx", x);
    byId("cursor-dot").setAttribute("cy", y === null ? -99 : y);
  }

  function show(frame) {
    state.frame = ((frame % numFrames) + numFrames) % numFrames;
    draw();
  }

  function seek(frame) {
    pause();
    show(frame);
    byId("live").textContent = spoken(); // read aloud; silent while the heart beats
  }

  // --- play ----------------------------------------------------------------------------------------------------

  const starts = Array.from({ length: numFrames }, (_, t) =>
    data.times && numFrames > 1 ? data.times[t] - data.times[0] : (t * SHOWN_CYCLE_MS) / numFrames);

  function step(now) {
    if (!state.playing) return;
    clock.phase = (clock.phase + (now - clock.last) * state.speed) % SHOWN_CYCLE_MS;
    clock.last = now;
    let frame = 0;
    while (frame + 1 < numFrames && starts[frame + 1] <= clock.phase) frame += 1;
    if (frame !== state.frame) show(frame);
    requestAnimationFrame(step);
  }

  function play() {
    if (state.playing || numFrames < 2) return;
    state.playing = true;
    clock = { last: performance.now(), phase: starts[state.frame] };
    nameButton();
    requestAnimationFrame(step);
  }

  function pause() {
    state.playing = false;
    nameButton();
  }

  function nameButton() {
    byId("play").textContent = state.playing ? "❚❚ Pause" : "▶ Play";
  }

  // --- controls ------------------------------------------------------------------------------------------------

  const toggle = () => (state.playing ? pause() : play());
  byId("play").addEventListener("click", toggle);
  byId("back").addEventListener("click", () => seek(state.frame - 1));
  byId("forward").addEventListener("click", () => seek(state.frame + 1));
  byId("time").addEventListener("input", (event) => seek(Number(event.target.value)));
  byId("speed").addEventListener("change", (event) => { state.speed = Number(event.target.value); });
  const boxes = { contours: byId("contours"), cuts: byId("cuts"), reference: byId("reference-contours") };
  Object.entries(boxes).forEach(([name, box]) =>
    box?.addEventListener("change", () => {
      state[name] = box.checked;
      draw();
    }));
  document.querySelectorAll("[data-frame]").forEach((button) =>
    button.addEventListener("click", () => {
      seek(Number(button.dataset.frame));
      if (!button.closest("#heart")) byId("heart").scrollIntoView({ block: "nearest" });
    }));

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, button, summary, a") || event.ctrlKey || event.altKey || event.metaKey) return;
    const action = {
      " ": toggle,
      ArrowLeft: () => seek(state.frame - 1),
      ArrowRight: () => seek(state.frame + 1),
      Home: () => seek(data.ed_frame),
      End: () => seek(data.es_frame),
      r: boxes.reference && (() => boxes.reference.click()),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  const curve = byId("curve");
  function seekAt(event) {
    const box = curve.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * curve.viewBox.baseVal.width;
    const away = data.cursor.map(([position]) => Math.abs(position - x));
    seek(away.indexOf(Math.min(...away)));
  }
  curve.addEventListener("pointerdown", (event) => {
    curve.setPointerCapture(event.pointerId);
    seekAt(event);
  });
  curve.addEventListener("pointermove", (event) => { if (event.buttons) seekAt(event); });

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  still.addEventListener("change", () => { if (still.matches) pause(); });
  document.addEventListener("visibilitychange", () => { if (clock) clock.last = performance.now(); });
  const wanted = /^#frame=(\d+)$/.exec(location.hash); // a link to one moment
  document.documentElement.classList.add("scripted");
  if (wanted && Number(wanted[1]) < numFrames) seek(Number(wanted[1]));
  else draw();
  if (!wanted && !still.matches) play();
})();
