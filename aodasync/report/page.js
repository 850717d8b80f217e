// SPDX-License-Identifier: MIT
// The timeline that can be zoomed and filtered. Without it the page shows the same, drawn once.
(async () => {
  "use strict";
  if (!window.DecompressionStream) return;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const data = JSON.parse($("rows").textContent);
  const plot = $("plot"), strip = $("strip"), tip = $("tip");
  const MOST_POINTS = 5000, CELL = 5, NEAR = 14, UNKNOWN = 0xffffffff;
  const LEFT = 56, RIGHT = 10, TOP = 22, BOTTOM = 26, STRIP_EDGE = 3;
  const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60,
    120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400].map((sec) => sec * 1000);

  const packed = Uint8Array.from(atob(data.columns), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(unpacked).arrayBuffer(), count = data.count;
  let read = 0;
  const column = (kind) => {
    const values = new kind(buffer, read, count);
    read += values.byteLength;
    return values;
  };
  // In the order, and of the types, in which they were packed.
  const ticks = column(Uint32Array), micros = column(Uint32Array);
  const wire = column(Uint32Array), send = column(Uint32Array);
  const process = column(Uint16Array), command = column(Uint8Array);
  const share = column(Uint8Array), status = column(Uint8Array), mark = column(Uint8Array);
  let passed = 0;  // each time is the distance from the one before
  const time = Float64Array.from(ticks, (tick) => (passed += tick) * data.tick_ms);
  const latency = Float64Array.from(micros, (micro) => micro / 1000);
  const last = Math.max(data.decided_ms, time[count - 1], 1);
  const home = [Math.max(0, data.began_ms - 30000), last + (last - data.began_ms + 1) * 0.01];
  let low = 1, high = 10;
  for (const ms of latency) { if (ms > 0 && ms < low) low = ms; if (ms > high) high = ms; }
  for (const [ms] of data.flying) if (ms > high) high = ms;
  low = Math.floor(Math.log10(Math.max(low, 0.01)));
  high = Math.ceil(Math.log10(high * 1.05));
  let range = home.slice(), wanted = [], inside = [], found = -1, drag = null;

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const length = (ms) => ms >= 1000 ? `${+(ms / 1000).toPrecision(4)} s`
    : ms >= 1 ? `${+ms.toPrecision(3)} ms` : `${+(ms * 1000).toPrecision(3)} \u00b5s`;
  const clock = (ms, digits) => {
    if (data.clock_ms === null) return `${((ms - data.decided_ms) / 1000).toFixed(digits)} s`;
    const at = new Date(data.clock_ms + ms + data.zone_ms).toISOString();
    return at.slice(11, digits ? 20 + digits : 19);
  };
  const digits = () => range[1] - range[0] < 5000 ? 3 : 0;

  // A canvas in device pixels; what is drawn on it is in those of the page.
  const surface = (canvas) => {
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = '12px system-ui, "DejaVu Sans", sans-serif';
    return [pen, box.width, box.height];
  };
  const scales = (width, height) => ({
    x: (ms) => LEFT + (ms - range[0]) / (range[1] - range[0]) * (width - LEFT - RIGHT),
    y: (ms) => height - BOTTOM - (Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low)
      * (height - BOTTOM - TOP),
  });

  const filter = () => {
    const only = ["command", "process", "share"].map((name) => $(`by-${name}`).value);
    const [c, p, s] = only.map((value) => value === "" ? -1 : Number(value));
    const bad = $("by-failed").checked;
    wanted = [];
    for (let i = 0; i < count; i++) {
      if ((c < 0 || command[i] === c) && (p < 0 || process[i] === p)
        && (s < 0 || share[i] === s) && (!bad || mark[i])) wanted.push(i);
    }
    for (const bar of document.querySelectorAll("g.request")) {
      const { c: ofCommand, p: ofProcess, s: ofShare } = bar.dataset;
      const off = (c >= 0 && data.commands[c] !== ofCommand)
        || (p >= 0 && data.processes[p] !== ofProcess) || (s >= 0 && data.shares[s] !== ofShare);
      bar.classList.toggle("off", off);
    }
    draw();
  };

  const axes = (pen, width, height, { x, y }) => {
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--dim");
    pen.textAlign = "right";
    for (let power = low; power <= high; power++) {
      const at = y(10 ** power);
      pen.strokeRect(LEFT, at, width - LEFT - RIGHT, 0);
      pen.fillText(length(10 ** power), LEFT - 6, at + 4);
    }
    const step = STEPS.find((ms) => (range[1] - range[0]) / ms <= width / 95) || STEPS.at(-1);
    const zero = data.clock_ms === null ? data.decided_ms : -(data.clock_ms + data.zone_ms) % step;
    pen.textAlign = "center";
    for (let n = Math.ceil((range[0] - zero) / step); zero + n * step <= range[1]; n++) {
      const at = x(zero + n * step);
      pen.strokeRect(at, height - BOTTOM, 0, 5);
      if (at < width - 24) pen.fillText(clock(zero + n * step, step < 1000 ? 3 : 0), at, height - 6);
    }
  };
  const band = (pen, from, to, top, bottom) => {
    pen.globalAlpha = 0.45;
    pen.fillStyle = colour("--during");
    pen.fillRect(from, top, Math.max(1, to - from), bottom - top);
    pen.globalAlpha = 1;
  };
  const heat = (pen, width, height, { x, y }) => {
    const across = Math.ceil(width / CELL), cells = new Uint32Array(across * Math.ceil(height / CELL));
    let most = 1;
    for (const i of inside) {
      const cell = Math.floor(y(latency[i]) / CELL) * across + Math.floor(x(time[i]) / CELL);
      most = Math.max(most, ++cells[cell]);
    }
    pen.fillStyle = colour("--c0");
    cells.forEach((n, cell) => {
      if (!n) return;
      pen.globalAlpha = 0.25 + 0.75 * Math.log(1 + n) / Math.log(1 + most);
      pen.fillRect(cell % across * CELL, Math.floor(cell / across) * CELL, CELL - 0.5, CELL - 0.5);
    });
    pen.globalAlpha = 1;
  };
  const points = (pen, { x, y }) => {
    const colours = Array.from({ length: 8 }, (_, n) => colour(`--c${n}`));
    pen.globalAlpha = 0.8;
    for (const i of inside) {
      pen.fillStyle = colours[Math.min(command[i], 7)];
      pen.fillRect(x(time[i]) - 2, y(latency[i]) - 2, 4, 4);
    }
    pen.globalAlpha = 1;
  };
  const marks = (pen, { x, y }) => {
    pen.strokeStyle = pen.fillStyle = colour("--accent");
    pen.lineWidth = 1.6;
    for (const i of inside.filter((one) => mark[one]).slice(-2000)) {
      const [a, b] = [x(time[i]), y(latency[i])];
      pen.beginPath();
      if (mark[i] === 1) pen.arc(a, b, 4.5, 0, 7);
      else { pen.moveTo(a - 4, b - 4); pen.lineTo(a + 4, b + 4); pen.moveTo(a + 4, b - 4); pen.lineTo(a - 4, b + 4); }
      pen.stroke();
    }
    for (const [ms] of data.troubles) {
      const a = x(ms);
      if (a < LEFT) continue;
      pen.beginPath();
      pen.moveTo(a, TOP - 7); pen.lineTo(a + 5, TOP); pen.lineTo(a, TOP + 7); pen.lineTo(a - 5, TOP);
      pen.fill();
    }
    pen.lineWidth = 1;
    pen.strokeStyle = colour("--ink");
    const at = x(data.decided_ms);
    if (at >= LEFT) for (const [ms] of data.flying) {
      const b = y(ms);
      pen.beginPath();
      pen.moveTo(at - 10, b); pen.lineTo(at - 1, b - 5); pen.lineTo(at - 1, b + 5); pen.closePath();
      pen.stroke();
    }
  };

  const draw = () => {
    const [pen, width, height] = surface(plot);
    const scale = scales(width, height), { x, y } = scale;
    inside = wanted.filter((i) => time[i] >= range[0] && time[i] <= range[1]);
    axes(pen, width, height, scale);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT - RIGHT, height - BOTTOM + 1);
    pen.clip();
    band(pen, x(data.began_ms), x(data.ended_ms ?? data.decided_ms), TOP, height - BOTTOM);
    const many = inside.length > MOST_POINTS;
    if (many) heat(pen, width, height, scale); else points(pen, scale);
    marks(pen, scale);
    pen.strokeStyle = pen.fillStyle = colour("--accent");
    const at = x(data.decided_ms);
    pen.strokeRect(at, TOP - 6, 0, height - BOTTOM - TOP + 6);
    pen.textAlign = at > width * 0.7 ? "right" : "left";
    pen.fillText("decision", at + (at > width * 0.7 ? -5 : 5), TOP - 9);
    if (found >= 0) {
      pen.strokeStyle = colour("--ink");
      pen.strokeRect(x(time[found]) - 5, y(latency[found]) - 5, 10, 10);
    }
    if (drag && drag.on === plot) band(pen, Math.min(drag.from, drag.to), Math.max(drag.from, drag.to), 0, height);
    pen.restore();
    plot.dataset.mode = many ? "heat" : "points";
    plot.dataset.from = range[0];
    plot.dataset.to = range[1];
    $("heat-key").hidden = !many;
    $("shown").textContent = `${inside.length.toLocaleString("en")} of ${count.toLocaleString("en")}`
      + ` requests, ${clock(range[0], digits())} to ${clock(range[1], digits())}`;
    overview();
  };
  const edges = (width) => {
    const whole = width - 2 * STRIP_EDGE;
    return { x: (ms) => STRIP_EDGE + ms / last * whole, ms: (at) => (at - STRIP_EDGE) / whole * last };
  };
  const overview = () => {
    const [pen, width, height] = surface(strip);
    const { x } = edges(width), worst = new Float64Array(Math.max(1, Math.floor(width / 3)));
    for (const i of wanted) {
      const n = Math.min(worst.length - 1, Math.floor(time[i] / last * worst.length));
      if (latency[i] > worst[n]) worst[n] = latency[i];
    }
    const tallest = Math.log10(1 + Math.max(1, ...worst));
    pen.fillStyle = colour("--dim");
    worst.forEach((ms, n) => {
      const tall = (height - 4) * Math.log10(1 + ms) / tallest;
      pen.fillRect(STRIP_EDGE + n * (width - 2 * STRIP_EDGE) / worst.length, height - tall, 2, tall);
    });
    const [from, to] = drag && drag.on === strip && !drag.moving
      ? [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)] : range.map(x);
    band(pen, from, to, 0, height);
    pen.strokeStyle = colour("--accent");
    pen.strokeRect(Math.max(0.5, from), 0.5, Math.min(width - 1, to) - Math.max(0.5, from), height - 1);
  };

  const show = (from, to) => {
    const least = 1, span = Math.min(Math.max(to - from, least), home[1]);
    const start = Math.min(Math.max(from, 0), home[1] - span);
    range = [start, start + span];
    found = -1;
    tip.hidden = true;
    draw();
  };
  const zoom = (factor, around) => {
    const middle = around ?? (range[0] + range[1]) / 2;
    show(middle - (middle - range[0]) * factor, middle + (range[1] - middle) * factor);
  };
  const move = (part) => show(range[0] + part * (range[1] - range[0]), range[1] + part * (range[1] - range[0]));

  const describe = (i) => {
    const said = [
      `${data.commands[command[i]]} ${length(latency[i])}`,
      `${data.processes[process[i]]}${data.shares[share[i]] ? `, ${data.shares[share[i]]}` : ""}`,
      `${data.statuses[status[i]]}, ended ${clock(time[i], 3)}`,
    ];
    if (wire[i] !== UNKNOWN) {
      const sent = send[i] === UNKNOWN ? "" : `sent after ${length(send[i] / 1000)}, `;
      said.push(`${sent}response after ${length(wire[i] / 1000)},`
        + ` taken ${length(Math.max(0, latency[i] - wire[i] / 1000))} later`);
    } else said.push("no response");
    return said;
  };
  const hover = (event) => {
    const box = plot.getBoundingClientRect(), { x, y } = scales(box.width, box.height);
    const [a, b] = [event.clientX - box.left, event.clientY - box.top];
    let near = NEAR ** 2, nearest = -1;
    for (const i of inside) {
      const away = (x(time[i]) - a) ** 2 + (y(latency[i]) - b) ** 2;
      if (away <= near) { near = away; nearest = i; }
    }
    if (nearest === found) return;
    found = nearest;
    tip.hidden = found < 0;
    if (found >= 0) {
      tip.replaceChildren(...describe(found).map((line) => {
        const row = document.createElement("div");
        row.textContent = line;
        return row;
      }));
      tip.style.left = `${Math.min(Math.max(0, a + 14), Math.max(0, box.width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${b + 16}px`;
    }
    draw();
  };

  const place = (event) => event.clientX - event.currentTarget.getBoundingClientRect().left;
  const press = (event) => {
    if (event.button) return;
    const canvas = event.currentTarget, at = place(event);
    const { x } = edges(strip.getBoundingClientRect().width);
    const held = canvas === strip && at > x(range[0]) && at < x(range[1]) && range[1] - range[0] < last * 0.9;
    drag = { on: canvas, from: at, to: at, moving: held, range: range.slice() };
    canvas.setPointerCapture(event.pointerId);
  };
  const pull = (event) => {
    if (!drag || drag.on !== event.currentTarget) { if (event.currentTarget === plot) hover(event); return; }
    drag.to = place(event);
    if (drag.moving) {
      const by = (drag.to - drag.from) / strip.getBoundingClientRect().width * last;
      show(drag.range[0] + by, drag.range[1] + by);
    } else draw();
  };
  const release = (event) => {
    const done = drag;
    drag = null;
    if (!done || done.moving) return;
    const box = done.on.getBoundingClientRect();
    const ms = done.on === strip ? edges(box.width).ms
      : (at) => range[0] + (at - LEFT) / (box.width - LEFT - RIGHT) * (range[1] - range[0]);
    const [from, to] = [Math.min(done.from, done.to), Math.max(done.from, done.to)];
    if (to - from >= 4) show(ms(from), ms(to));
    else if (done.on === strip) {
      const half = (range[1] - range[0]) / 2;
      show(ms(from) - half, ms(from) + half);
    } else { draw(); hover(event); }
  };
  for (const canvas of [plot, strip]) {
    canvas.addEventListener("pointerdown", press);
    canvas.addEventListener("pointermove", pull);
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", () => { drag = null; draw(); });
  }
  plot.addEventListener("pointerleave", () => { if (!drag) { found = -1; tip.hidden = true; draw(); } });
  plot.addEventListener("dblclick", () => zoom(2));
  strip.addEventListener("dblclick", () => show(0, home[1]));
  plot.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.altKey) return;  // otherwise the page scrolls
    event.preventDefault();
    const box = plot.getBoundingClientRect();
    const at = range[0] + (place(event) - LEFT) / (box.width - LEFT - RIGHT) * (range[1] - range[0]);
    zoom(event.deltaY > 0 ? 1.25 : 0.8, at);
  }, { passive: false });
  const actions = {
    anomaly: () => show(...home), all: () => show(0, home[1]), closer: () => zoom(0.5),
    wider: () => zoom(2), earlier: () => move(-0.5), later: () => move(0.5),
  };
  for (const [name, act] of Object.entries(actions)) $(`go-${name}`).addEventListener("click", act);
  const keys = { ArrowLeft: "earlier", ArrowRight: "later", "+": "closer", "-": "wider", Home: "anomaly", End: "all" };
  plot.addEventListener("keydown", (event) => {
    if (keys[event.key]) { event.preventDefault(); actions[keys[event.key]](); }
  });

  for (const [name, words] of [["command", data.commands], ["process", data.processes], ["share", data.shares]]) {
    const select = $(`by-${name}`);
    words.slice(0, 300).forEach((word, n) => select.append(new Option(word || "none", n)));
    select.addEventListener("change", filter);
    select.parentElement.hidden = words.length < 2;
  }
  $("by-failed").addEventListener("change", filter);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  const folded = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  window.addEventListener("beforeprint", () => { opened = folded(); for (const one of opened) one.open = true; });
  window.addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
  root.classList.add("scripted");
  $("live").hidden = false;
  new ResizeObserver(draw).observe(plot);
  filter();
})();
