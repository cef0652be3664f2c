"use strict";
// Draws the plots of a report from the JSON in the page. Words and tables are made without it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => innerWidth <= 760;
  const NEVER = null;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const font = (px, weight = 400) => `${weight} ${px}px Inter, ui-sans-serif, system-ui, sans-serif`;
  const ratio = () => devicePixelRatio || 1;

  // Numbers for people, as the Go side writes them.
  const trim = (v, decimals) => String(+v.toFixed(decimals));
  function time(ms) {
    if (ms === NEVER || ms === undefined) return "never";
    const a = Math.abs(ms);
    if (a >= 10000) return trim(ms / 1000, 1) + " s";
    if (a >= 1000) return trim(ms / 1000, 2) + " s";
    if (a >= 100) return trim(ms, 0) + " ms";
    if (a >= 1) return trim(ms, 1) + " ms";
    return a === 0 ? "0" : trim(ms * 1000, 0) + " µs";
  }
  function clock(ms) {
    const s = ms / 1000, m = Math.floor(s / 60), h = Math.floor(m / 60), rest = h % 24 ? ` ${h % 24} h` : "";
    if (h >= 48) return `${Math.floor(h / 24)} d${rest}`;
    if (h >= 2) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
    return m > 0 ? `${m}:${String(Math.floor(s % 60)).padStart(2, "0")}` : trim(s, 1) + " s";
  }
  const count = (n) => n == null ? "–" : Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
  function short(n) {
    if (n >= 1e6) return trim(n / 1e6, 1) + " M";
    return n >= 1e4 ? trim(n / 1e3, 0) + " k" : n >= 1e3 ? trim(n / 1e3, 1) + " k" : trim(n, 2);
  }
  const percent = (share) => share >= 1 ? "100 %" : share > .999 ? trim(Math.floor(share * 1e5) / 1e3, 3) + " %" : trim(share * 100, 1) + " %";

  const axis = (more) => ({
    stroke: color("soft"), font: font(12), ticks: { show: false }, gap: 6,
    grid: { stroke: color("line"), width: 1 }, border: { show: false }, ...more,
  });
  // One grid line a power of ten, with its time.
  const latencyAxis = () => axis({
    size: 58, values: (_, splits) => splits.map(time),
    splits: (_, __, low, high) => {
      const tens = [];
      for (let e = Math.ceil(Math.log10(low)); e <= Math.log10(high); e++) tens.push(Math.pow(10, e));
      return tens;
    },
  });
  // Ticks of a time are at whole seconds, minutes, hours and days.
  const ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 432000, 604800].map((s) => s * 1000)];
  const timeAxis = () => axis({ incrs: ticks, values: (_, splits) => splits.map(clock), grid: { show: false }, size: 30, space: narrow() ? 56 : 70 });

  // Text with a halo, so that it reads over lines.
  function label(ctx, text, x, y, fill, align = "left", weight = 600) {
    ctx.save();
    ctx.font = font(11.5 * ratio(), weight);
    ctx.textAlign = align;
    ctx.textBaseline = "middle";
    ctx.lineJoin = "round";
    ctx.lineWidth = 4 * ratio();
    ctx.strokeStyle = color("card");
    ctx.strokeText(text, x, y);
    ctx.fillStyle = fill;
    ctx.fillText(text, x, y);
    ctx.restore();
  }
  function stroke(ctx, x0, y0, x1, y1, style, width = 1, dash = []) {
    ctx.save();
    ctx.strokeStyle = style;
    ctx.lineWidth = width * ratio();
    ctx.setLineDash(dash.map((d) => d * ratio()));
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
    ctx.restore();
  }
  function clipped(u, draw) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    draw(ctx, bbox);
    ctx.restore();
  }

  const faultColor = { kill: "bad", stop: "third", restart: "sick", delay: "third" };
  const phaseName = { warmup: "warm-up" };

  // Phases as bands with their names above the plot, faults as marks at their moments.
  function phasesAndFaults() {
    return { hooks: {
      drawClear: (u) => clipped(u, (ctx, box) => {
        data.phases.forEach((p, i) => {
          if (i % 2) return;
          const x0 = u.valToPos(p.fromMs, "x", true), x1 = u.valToPos(p.toMs, "x", true);
          ctx.fillStyle = color("band");
          ctx.fillRect(x0, box.top, x1 - x0, box.height);
        });
        for (const f of data.faults) {
          if (f.action !== "delay" || f.backMs == null) continue;
          const x0 = u.valToPos(f.atMs, "x", true), x1 = u.valToPos(f.backMs, "x", true);
          ctx.globalAlpha = .14;
          ctx.fillStyle = color(faultColor.delay);
          ctx.fillRect(x0, box.top, x1 - x0, box.height);
          ctx.globalAlpha = 1;
        }
      }),
      draw: (u) => {
        const { ctx, bbox: box } = u, right = box.left + box.width;
        for (const f of data.faults) {
          const x = u.valToPos(f.atMs, "x", true);
          if (x < box.left || x > right) continue;
          const ink = color(faultColor[f.action] || "bad");
          ctx.globalAlpha = .55;
          stroke(ctx, x, box.top, x, box.top + box.height, ink, 1, [2, 3]);
          ctx.globalAlpha = 1;
          ctx.fillStyle = ink;
          ctx.beginPath();
          const r = 4 * ratio();
          ctx.moveTo(x - r, box.top - r);
          ctx.lineTo(x + r, box.top - r);
          ctx.lineTo(x, box.top + r * .8);
          ctx.fill();
        }
        for (const p of data.phases) {
          const x0 = Math.max(u.valToPos(p.fromMs, "x", true), box.left), x1 = Math.min(u.valToPos(p.toMs, "x", true), right);
          const name = phaseName[p.name] || p.name;
          ctx.font = font(11.5 * ratio(), 600);
          if (x1 - x0 < ctx.measureText(name).width + 4 * ratio()) continue;
          label(ctx, name, (x0 + x1) / 2, box.top - 14 * ratio(), color("faint"), "center", 500);
        }
      },
    } };
  }

  // A dashed line at a bound, and a tint beyond it.
  function bound(scale, value, text) {
    return { hooks: {
      drawClear: (u) => clipped(u, (ctx, box) => {
        const at = u.valToPos(value, scale, true);
        ctx.fillStyle = color("tint");
        if (scale === "x") ctx.fillRect(at, box.top, box.left + box.width - at, box.height);
        else ctx.fillRect(box.left, box.top, box.width, at - box.top);
      }),
      draw: (u) => {
        const { ctx, bbox: box } = u, at = u.valToPos(value, scale, true);
        if (scale === "x") {
          if (at < box.left || at > box.left + box.width) return;
          stroke(ctx, at, box.top, at, box.top + box.height, color("bad"), 1.5, [5, 4]);
          label(ctx, text, at - 7 * ratio(), box.top + box.height - 14 * ratio(), color("bad"), "right");
        } else {
          if (at < box.top || at > box.top + box.height) return;
          stroke(ctx, box.left, at, box.left + box.width, at, color("bad"), 1.5, [5, 4]);
          label(ctx, text, box.left + 8 * ratio(), at - 9 * ratio(), color("bad"));
        }
      },
    } };
  }

  const options = (host, more) => ({
    width: host.clientWidth, height: host.clientHeight, padding: [8, 12, 0, 0],
    ...more,
    legend: { ...(more.legend || { show: false }), markers: { width: 0, fill: (u, i) => u.series[i].stroke(u, i) } },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false }, ...more.cursor },
  });

  function reach(host) {
    const c = data.reach, readout = document.querySelector('[data-readout="reach"]');
    const xs = c.curves[0].shares.map((_, i) => i * c.stepMs);
    const curves = [...c.curves].sort((a, b) => a.worst - b.worst);
    const slowest = curves[curves.length - 1];
    const idle = () => {
      const at = slowest.shares.findIndex((s) => s >= .999);
      readout.textContent = `Slowest: broadcast ${slowest.number}` + (at < 0 ? ", which did not reach 99.9 %." : `. Move over the plot to read the shares.`);
    };
    idle();
    return new uPlot(options(host, {
      scales: { x: { time: false }, y: { range: [0, 1.02] } },
      axes: [
        axis({ values: (_, s) => s.map(time), size: 30, grid: { show: false }, space: 64 }),
        axis({ values: (_, s) => s.map((v) => v > 1 ? "" : trim(v * 100, 0) + " %"), size: 50, splits: () => [0, .25, .5, .75, 1] }),
      ],
      series: [{}, ...curves.map((l) => ({
        stroke: l.worst ? color("accent") : color("accent-soft"), width: l.worst ? 2.5 : 1.5, points: { show: false },
      }))],
      plugins: c.boundMs > 0 ? [bound("x", c.boundMs, "deliver within " + time(c.boundMs))] : [],
      hooks: { setCursor: [(u) => {
        const i = u.cursor.idx;
        if (i == null || u.cursor.left < 0) return idle();
        const all = curves.map((l) => l.shares[i]).sort((a, b) => a - b);
        readout.innerHTML = `After <b>${time(xs[i])}</b>: between <b>${percent(all[0])}</b> and <b>${percent(all[all.length - 1])}</b> of the recipients had it, by broadcast.`;
      }] },
    }), [xs, ...curves.map((l) => l.shares)], host);
  }

  function spectrum(host) {
    const lines = data.spectrum.lines, bounds = data.spectrum.bounds;
    const nines = (p) => p >= 100 ? NEVER : -Math.log10(1 - p / 100);
    const end = Math.max(...lines.map((l) => nines(l.points[l.points.length - 2]?.percentile ?? 0) || 0), ...bounds.map((b) => nines(b.percentile) || 0), 1);
    const xs = [...new Set(lines.flatMap((l) => l.points.map((p) => nines(p.percentile) ?? end)))].sort((a, b) => a - b);
    const values = lines.map((l) => {
      const at = new Map(l.points.filter((p) => p.percentile < 100).map((p) => [nines(p.percentile), p.ms]));
      return xs.map((x) => at.has(x) ? at.get(x) : undefined);
    });
    const all = values.flat().filter((v) => v > 0).concat(bounds.map((b) => b.ms));
    const low = Math.min(...all), high = Math.max(...all);
    const unit = narrow() ? "" : " %", names = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999"].map((p) => p === "0" ? p : p + unit);
    const look = { delivery: ["accent", 2.5, []], response: ["second", 2, []], service: ["third", 1.5, [4, 3]], sendLag: ["ghost", 1.5, []] };
    return new uPlot(options(host, {
      legend: { show: true, live: !narrow() },
      scales: { x: { time: false, range: [0, end] }, y: { distr: 3, range: [low * .7, high * 1.5] } },
      axes: [
        axis({ size: 30, font: font(narrow() ? 11 : 12), splits: () => [...Array(Math.floor(end) + 1).keys()], values: (_, s) => s.map((v) => names[v] || trim(v, 0) + " nines") }),
        latencyAxis(),
      ],
      series: [
        { label: "percentile", value: (_, v) => v == null ? "–" : trim(100 * (1 - Math.pow(10, -v)), Math.min(6, Math.ceil(v) + 1)) + " %" },
        ...lines.map((l) => ({
          label: l.name, stroke: color(look[l.key][0]), width: look[l.key][1], dash: look[l.key][2], points: { show: false },
          spanGaps: false, value: (_, v) => v == null ? "–" : time(v),
        })),
      ],
      plugins: [{ hooks: { draw: (u) => {
        const { ctx, bbox: box } = u;
        for (const b of bounds) {
          const x = u.valToPos(nines(b.percentile), "x", true), y = u.valToPos(b.ms, "y", true);
          stroke(ctx, box.left, y, x, y, color("bad"), 1.5, [5, 4]);
          ctx.fillStyle = color("bad");
          ctx.beginPath();
          ctx.arc(x, y, 5 * ratio(), 0, 7);
          ctx.fill();
          label(ctx, b.title, box.left + 8 * ratio(), y - 10 * ratio(), color("bad"));
        }
      } } }],
    }), [xs, ...values], host);
  }

  function ramp() {
    const stops = [0, 1, 2, 3].map((i) => {
      const hex = color("heat-" + i).slice(1);
      return [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16));
    });
    return (t) => {
      const at = Math.min(Math.max(t, 0), 1) * 3, i = Math.min(Math.floor(at), 2), f = at - i;
      return `rgb(${stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * f)).join(",")})`;
    };
  }

  function heat(host) {
    const c = data.heat, readout = document.querySelector('[data-readout="heat"]');
    const never = c.topMs.length - 1, rows = c.cells.map((cell) => cell[1]).filter((r) => r < never - 1);
    const first = Math.min(...rows), last = Math.max(...rows);
    const bottom = (row) => row <= 0 ? c.topMs[0] / 2 : c.topMs[row - 1];
    const lost = c.cells.filter((cell) => cell[1] >= never - 1);
    const low = Math.max(bottom(first) / 1.3, 0.03);
    const high = Math.max(c.topMs[last], c.boundMs || 0) * (lost.length ? 2.6 : 1.6);
    const most = Math.log(Math.max(...c.cells.map((cell) => cell[2])) + 1);
    const columns = Math.max(...c.cells.map((cell) => cell[0])) + 1;
    const end = Math.max(c.fromMs + columns * c.widthMs, Math.min(data.endMs, c.fromMs + columns * c.widthMs + 5000));
    const xs = [...Array(columns).keys()].map((i) => c.fromMs + i * c.widthMs);
    const found = new Map(c.cells.map((cell) => [cell[0] + "," + cell[1], cell[2]]));
    const idle = () => { readout.textContent = !lost.length ? "Move over the plot to read it." : `Red at the top: ${count(lost.reduce((n, cell) => n + cell[2], 0))} that never came, or took minutes.`; };
    idle();
    const cells = { hooks: { draw: [(u) => clipped(u, (ctx, box) => {
      const shade = ramp(), width = Math.max(u.valToPos(c.fromMs + c.widthMs, "x", true) - u.valToPos(c.fromMs, "x", true), 1.5 * ratio());
      for (const [column, row, n] of c.cells) {
        const x = u.valToPos(c.fromMs + column * c.widthMs, "x", true);
        if (row >= never - 1) {
          ctx.fillStyle = color("bad");
          ctx.fillRect(x, box.top, Math.max(width, 3 * ratio()), 9 * ratio());
          continue;
        }
        const top = u.valToPos(c.topMs[row], "y", true), below = u.valToPos(Math.max(bottom(row), low), "y", true);
        ctx.fillStyle = shade(Math.log(n + 1) / most);
        ctx.fillRect(Math.floor(x), Math.floor(top), Math.ceil(width), Math.ceil(below - top));
      }
    })] } };
    return new uPlot(options(host, {
      padding: [22, 12, 0, 0],
      scales: { x: { time: false, range: (_, a, b) => a == null || b === xs[columns - 1] ? [c.fromMs, end] : [a, b] }, y: { distr: 3, range: [low, high] } },
      axes: [timeAxis(), latencyAxis()],
      series: [{}, { stroke: "transparent", points: { show: false } }],
      cursor: { y: true, sync: { key: "time", scales: ["x", null] } },
      plugins: [phasesAndFaults(), cells, ...(c.boundMs > 0 ? [bound("y", c.boundMs, "objective " + time(c.boundMs))] : [])],
      hooks: { setCursor: [(u) => {
        if (u.cursor.left < 0 || u.cursor.top < 0) return idle();
        const at = u.posToVal(u.cursor.left, "x"), ms = u.posToVal(u.cursor.top, "y");
        const column = Math.floor((at - c.fromMs) / c.widthMs), row = c.topMs.findIndex((top) => top !== NEVER && ms < top);
        const n = found.get(column + "," + row) || 0;
        readout.innerHTML = `Posts due at <b>${clock(c.fromMs + column * c.widthMs)}</b>, delivered after <b>${time(bottom(row))}</b> to <b>${time(c.topMs[row])}</b>: <b>${count(n)}</b>`;
      }] },
    }), [xs, xs.map(() => low)], host);
  }

  // Lines of counts over the run.
  function overTime(host, c, look, step) {
    const n = Math.max(...c.lines.map((l) => l.values.length));
    const xs = [...Array(n).keys()].map((i) => c.fromMs + (i + (step ? 0 : .5)) * c.widthMs);
    return new uPlot(options(host, {
      padding: [22, 12, 0, 0], legend: { show: true, live: !narrow() },
      scales: { x: { time: false, range: (_, a, b) => a <= xs[0] && b >= xs[n - 1] ? [0, Math.max(data.endMs, xs[n - 1])] : [a, b] }, y: { range: (_, __, top) => [0, (top || 1) * 1.08] } },
      axes: [timeAxis(), axis({ size: 50, values: (_, s) => s.map(short), space: 34 })],
      series: [{ label: "at", value: (_, v) => v == null ? "–" : clock(v) }, ...c.lines.map((l) => {
        const [ink, width, dash, fill] = look[l.key];
        return { label: l.name, stroke: color(ink), width, dash, fill: fill && color(fill), points: { show: false }, value: (_, v) => count(v),
          paths: step ? uPlot.paths.stepped({ align: 1 }) : undefined };
      })],
      cursor: { sync: { key: "time", scales: ["x", null] } },
      plugins: [phasesAndFaults()],
    }), [xs, ...c.lines.map((l) => l.values)], host);
  }

  const draw = {
    reach, spectrum, heat,
    sessions: (host) => overTime(host, data.sessions, { wanted: ["ghost", 1.5, [4, 4]], established: ["second", 1.5, []], signedIn: ["accent", 2, [], "accent-soft"] }, false),
    posts: (host) => overTime(host, data.posts, { offered: ["ghost", 2.5, []], sent: ["second", 1.5, []], acknowledged: ["accent", 1.5, []] }, false),
    signIns: (host) => overTime(host, data.signIns, { signIns: ["accent", 1.5, [], "accent-soft"] }, true),
    arrivals: (host) => overTime(host, data.arrivals, { delivered: ["accent", 1.5, [], "accent-soft"] }, true),
  };

  let plots = [];
  function render() {
    plots.forEach(([, plot]) => plot.destroy());
    plots = [...document.querySelectorAll("[data-chart]")].map((host) => {
      const plot = draw[host.dataset.chart](host);
      fit(host, plot);
      return [host, plot];
    });
  }
  // The legend is below the canvas and inside the same box.
  function fit(host, plot) {
    const legend = plot.root.querySelector(".u-legend");
    plot.setSize({ width: host.clientWidth, height: host.clientHeight - (legend ? legend.offsetHeight : 0) });
  }
  render();
  dark.addEventListener("change", render);
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's address bar that comes and goes
    width = innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => plots.forEach(([host, plot]) => fit(host, plot)));
  });
})();
