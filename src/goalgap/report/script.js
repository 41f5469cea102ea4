(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const byId = (id) => document.getElementById(id);

  const element = (name, text, className) =>
    Object.assign(document.createElement(name), { textContent: text, className: className || "" });

  // The shape of a goal, by its class, as charts.badge draws it.
  function badge(style) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    svg.setAttribute("viewBox", "-7 -7 14 14");
    svg.setAttribute("class", "badge");
    svg.setAttribute("aria-hidden", "true");
    use.setAttribute("href", style.replace("goal", "#mark"));
    use.setAttribute("class", `mark ${style}`);
    svg.append(use);
    return svg;
  }

  // A switch shows one of several panels.
  for (const set of all("[data-switch]")) {
    set.addEventListener("change", (event) => {
      const shown = `${set.dataset.switch}:${event.target.value}`;
      for (const panel of all("[data-panel]")) {
        if (panel.dataset.panel.startsWith(`${set.dataset.switch}:`)) panel.hidden = panel.dataset.panel !== shown;
      }
    });
  }

  // Learning curves: the checkpoint nearest to the pointer, or the arrow keys'.
  for (const chart of all(".chart")) {
    const { x, text } = JSON.parse(chart.dataset.chart);
    const cross = chart.querySelector(".cross");
    const reading = chart.closest("figure").querySelector(".reading");
    let at = x.length - 1;
    const read = (index) => {
      at = Math.max(0, Math.min(x.length - 1, index));
      cross.setAttribute("x1", x[at]);
      cross.setAttribute("x2", x[at]);
      cross.style.opacity = 0.5;
      reading.textContent = text[at];
    };
    const leave = () => { read(x.length - 1); cross.style.opacity = 0; };
    const point = (event) => {
      const box = chart.getBoundingClientRect();
      const place = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
      let nearest = 0;
      x.forEach((value, index) => { if (Math.abs(value - place) < Math.abs(x[nearest] - place)) nearest = index; });
      read(nearest);
    };
    chart.addEventListener("pointermove", point);
    chart.addEventListener("pointerdown", point);
    chart.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") leave(); });
    chart.addEventListener("blur", leave);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { read(at + step); event.preventDefault(); }
    });
  }

  // Heatmaps: the cell under the pointer, or the arrow keys'.
  for (const board of all("svg.board")) {
    const reading = board.closest("figure").querySelector(".reading");
    const places = new Map(all(".place", board).map((cell) => [`${cell.dataset.row},${cell.dataset.column}`, cell]));
    let on = null;
    const read = (cell) => {
      if (on) on.classList.remove("on");
      on = cell;
      cell.classList.add("on");
      cell.parentNode.append(cell); // its outline lies over its neighbors
      reading.textContent = cell.dataset.text;
    };
    const point = (event) => {
      const cell = event.target.closest(".place");
      if (cell && cell !== on) read(cell);
    };
    board.addEventListener("pointerover", point);
    board.addEventListener("pointerdown", point);
    board.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      if (!on) { read(places.values().next().value); return; }
      let row = Number(on.dataset.row), column = Number(on.dataset.column);
      for (let far = 0; far < board.viewBox.baseVal.width; far++) { // walls are jumped over
        row += move[0];
        column += move[1];
        const cell = places.get(`${row},${column}`);
        if (cell) { read(cell); return; }
      }
    });
  }

  // Thresholds: each change judges the seeds and the run anew (judge.js).
  const judged = byId("live");
  if (judged) {
    const live = JSON.parse(judged.textContent);
    const sliders = all("#thresholds input");
    let thresholds = { ...live.thresholds };
    const said = ({ verdict, proxy, why }) => {
      const style = proxy ? live.styles[proxy] || "goal-1" : verdict === VERDICT.intended ? "goal-0" : "goal-none";
      return [badge(style), " ", element("strong", verdict), proxy ? ` (${proxy})` : "", why ? `: ${why}` : ""];
    };
    const show = () => {
      for (const slider of sliders) byId(`value-${slider.name}`).textContent = String(Number(thresholds[slider.name].toFixed(3)));
      const { seeds, ...run } = judge(live, thresholds);
      const at = run.position ? `; position ${run.position[0].toFixed(2)} [${run.position[1].toFixed(2)}, ${run.position[2].toFixed(2)}]` : "";
      byId("anew-run").replaceChildren(...said(run), at);
      byId("anew-seeds").replaceChildren(...seeds.map((seed) => {
        const item = element("li", `seed ${seed.seed} `);
        item.append(...said({ ...seed, why: "" }));
        item.title = seed.why;
        return item;
      }));
    };
    const start = () => {
      thresholds = { ...live.thresholds };
      for (const slider of sliders) slider.value = thresholds[slider.name];
      show();
    };
    for (const slider of sliders) {
      slider.addEventListener("input", () => { thresholds[slider.name] = Number(slider.value); show(); });
    }
    byId("as-stored").addEventListener("click", start);
    for (const node of all(".live")) node.hidden = false;
    start();
  }

  // Replay.
  const source = byId("episodes");
  if (!source) return;
  const { levels, atlas, floor, styles } = JSON.parse(source.textContent);
  const TILE = 48; // canvas pixels to a tile: twice the sprites', so that scaling stays crisp
  const [slider, button, output, speed] = ["step", "play", "at", "speed"].map(byId);
  const box = document.querySelector(".replay");
  const sprites = atlas.map((png) => Object.assign(new Image(), { src: `data:image/png;base64,${png}` }));
  const styleOf = (goal) => styles[goal] || "goal-none";
  let level = null, tracks = [], playing = false, clock = 0, seen = 0;

  // Rows of tiles after `time` steps, and the cells changed until then.
  function boardAt(track, time) {
    const board = track.start.map((row) => row.slice());
    const changed = new Set();
    for (const frame of track.frames.slice(0, time)) {
      for (const [row, column, tile] of frame) {
        board[row][column] = tile;
        changed.add(row * board[0].length + column);
      }
    }
    return { board, changed };
  }

  function draw({ track, canvas, events }, time) {
    const { board, changed } = boardAt(track, time);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    board.forEach((row, y) => row.forEach((tile, x) => {
      if (sprites[tile]) pen.drawImage(sprites[tile], x * TILE, y * TILE, TILE, TILE);
    }));
    const width = board[0].length;
    for (const cell of changed) {
      const [x, y] = [cell % width, Math.floor(cell / width)];
      if (board[y][x] !== floor) continue; // where it is now, and the inventory
      pen.beginPath();
      pen.arc((x + 0.5) * TILE, (y + 0.5) * TILE, TILE / 11, 0, 7);
      pen.fillStyle = "rgba(20, 24, 28, .55)";
      pen.fill();
      pen.lineWidth = 2;
      pen.strokeStyle = "rgba(255, 255, 255, .7)";
      pen.stroke();
    }
    for (const { node, step } of events) node.classList.toggle("past", step <= time);
  }

  function show(time) {
    slider.value = time;
    output.textContent = `${time} / ${slider.max}`;
    slider.setAttribute("aria-valuetext", `step ${time} of ${slider.max}`);
    for (const track of tracks) draw(track, time);
  }

  function makeTrack(track) {
    const canvas = document.createElement("canvas");
    canvas.width = track.start[0].length * TILE;
    canvas.height = track.start.length * TILE;
    const figure = element("figure", "", canvas.width > 2 * canvas.height ? "wide" : "");
    const reached = track.events.map(({ goal, step }) => `${goal} at step ${step}`).join(", ");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${track.name}: ${reached || "no goal reached"}`);
    const caption = element("figcaption");
    caption.append(element("strong", track.name));
    const events = track.events.map(({ goal, step }) => {
      const node = element("div", "", "event");
      node.append(badge(styleOf(goal)), ` ${goal} at step ${step}`);
      caption.append(node);
      return { node, step };
    });
    if (!events.length) caption.append(element("div", "no goal reached", "muted"));
    const returns = Object.entries(track.returns || {}).map(([goal, value]) => `${goal} ${value === null ? "–" : value.toFixed(2)}`);
    const end = `${track.frames.length} steps${returns.length ? `; return: ${returns.join(", ")}` : ""}`;
    caption.append(element("div", end, "muted"));
    figure.append(canvas, caption);
    return { track, canvas, events, figure };
  }

  // Steps until nothing moves any more: who stands still until time is up need not be watched.
  const lively = ({ frames, events }) => Math.max(
    0, ...events.map(({ step }) => step), ...frames.map((frame, index) => frame.length ? index + 1 : 0));

  function choose(index) {
    stop();
    level = levels[index];
    tracks = level.tracks.map(makeTrack);
    byId("tracks").replaceChildren(...tracks.map(({ figure }) => figure));
    slider.max = Math.max(1, ...level.tracks.map(lively));
    byId("events").replaceChildren(...level.tracks.flatMap((track) => track.events.map(({ goal, step }) => {
      const svg = badge(styleOf(goal));
      svg.style.left = `${100 * step / slider.max}%`;
      return svg;
    })));
    const split = { train: "from training", shift: "after the shift", twin: "twin of a shifted level" }[level.split] || level.split;
    const part = level.distinguishing ? "the goals part here" : "the goals agree here";
    byId("which").textContent = `Level ${index + 1} of ${levels.length}: ${split}; ${part}.`;
    show(0);
  }

  function tick(now) {
    if (!playing) return;
    clock += Math.min(now - seen, 200) * Number(speed.value) / 1000;
    seen = now;
    const time = Math.min(Math.floor(clock), Number(slider.max));
    if (time !== Number(slider.value)) show(time);
    if (time >= Number(slider.max)) stop();
    else requestAnimationFrame(tick);
  }

  function stop() {
    playing = false;
    button.classList.remove("playing");
    button.setAttribute("aria-label", "Play");
  }

  function toggle() {
    if (playing) { stop(); return; }
    playing = true;
    button.classList.add("playing");
    button.setAttribute("aria-label", "Pause");
    clock = Number(slider.value) >= Number(slider.max) ? 0 : Number(slider.value);
    seen = performance.now();
    show(Math.floor(clock));
    requestAnimationFrame(tick);
  }

  button.addEventListener("click", toggle);
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  byId("levels").addEventListener("change", (event) => choose(Number(event.target.value)));
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const own = event.target.matches("input[type=radio], select");
    if (event.key === " " && event.target === slider) { toggle(); event.preventDefault(); }
    else if (step && !own && event.target !== slider) {
      stop();
      show(Math.max(0, Math.min(Number(slider.max), Number(slider.value) + step)));
      event.preventDefault();
    }
  });
  choose(0);
  Promise.all(sprites.map((image) => image.decode().catch(() => {}))).then(() => show(Number(slider.value)));
})();
