"use strict";
// Two charts drawn from the JSON block of the page: the augmentation curve and FROC. No library, no request.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const fixed = (value, digits = 3) => (value === null ? "undefined" : value.toFixed(digits));

  function node(parent, name, attributes = {}, text = null) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    parent.appendChild(made);
    return made;
  }

  function element(parent, name, attributes = {}, text = null) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    parent.appendChild(made);
    return made;
  }

  // Markers as paths about the origin, the same as matplotlib's letters in the printed figures.
  function marker(kind, r) {
    const shapes = {
      s: `M${-r},${-r}H${r}V${r}H${-r}Z`,
      D: `M0,${-1.25 * r}L${1.25 * r},0L0,${1.25 * r}L${-1.25 * r},0Z`,
      "^": `M0,${-1.2 * r}L${1.15 * r},${0.9 * r}H${-1.15 * r}Z`,
      v: `M0,${1.2 * r}L${1.15 * r},${-0.9 * r}H${-1.15 * r}Z`,
      "<": `M${-1.2 * r},0L${0.9 * r},${-1.15 * r}V${1.15 * r}Z`,
      ">": `M${1.2 * r},0L${-0.9 * r},${-1.15 * r}V${1.15 * r}Z`,
      p: `M0,${-1.2 * r}L${1.14 * r},${-0.37 * r}L${0.7 * r},${0.97 * r}H${-0.7 * r}L${-1.14 * r},${-0.37 * r}Z`,
      P: `M${-r / 2.4},${-1.2 * r}h${r / 1.2}v${0.78 * r}h${0.78 * r}v${r / 1.2}h${-0.78 * r}v${0.78 * r}h${-r / 1.2}v${-0.78 * r}h${-0.78 * r}v${-r / 1.2}h${0.78 * r}Z`,
      X: `M${-r},${-0.6 * r}L${-0.6 * r},${-r}L0,${-0.4 * r}L${0.6 * r},${-r}L${r},${-0.6 * r}L${0.4 * r},0L${r},${0.6 * r}L${0.6 * r},${r}L0,${0.4 * r}L${-0.6 * r},${r}L${-r},${0.6 * r}L${-0.4 * r},0Z`,
    };
    return shapes[kind] || `M${-r},0a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0Z`;
  }

  function steps(low, high, count) {
    const raw = (high - low) / count || 1;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((k) => k * unit).find((k) => k >= raw * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9); i += 1) found.push(i * step);
    return found;
  }

  function powers(low, high) {
    const found = [];
    for (let e = Math.ceil(Math.log2(low) - 1e-9); e <= Math.log2(high) + 1e-9; e += 1) found.push(2 ** e);
    return found;
  }

  const fraction = (value) => (value >= 1 ? String(value) : `1/${Math.round(1 / value)}`);
  const plain = (value) => String(Number(value.toPrecision(6)));

  class Chart {
    // series: {label, colour, marker, dash}; each may be switched off. draw() of a subclass fills this.plot.
    constructor(id, series, options) {
      this.box = document.getElementById(id);
      this.box.replaceChildren();
      this.series = series;
      this.hidden = new Set(series.flatMap((one, i) => (one.off ? [i] : [])));
      this.options = element(this.box, "div", { class: "controls options" });
      const legend = element(this.box, "div", { class: "controls legend" });
      series.forEach((one, i) => this.switch(legend, one, i));
      options(this);
      this.svg = node(this.box, "svg", { role: "img", "aria-label": this.box.dataset.label });
      this.tip = element(this.box, "div", { class: "tip", hidden: "" });
      this.svg.addEventListener("pointermove", (event) => this.hover(event));
      this.svg.addEventListener("pointerdown", (event) => this.hover(event));
      this.svg.addEventListener("pointerleave", () => this.leave());
      new ResizeObserver(() => this.render()).observe(this.box);
    }

    switch(legend, one, i) {
      const button = element(legend, "button", { type: "button", "aria-pressed": String(!one.off) });
      const icon = node(button, "svg", { width: 26, height: 14, viewBox: "-13 -7 26 14", style: "width:26px", "aria-hidden": "true" });
      node(icon, "path", { d: "M-13,0H13", stroke: one.colour, "stroke-width": 2, "stroke-dasharray": one.dash });
      node(icon, "path", { d: marker(one.marker, 4), fill: one.colour });
      element(button, "span", {}, one.label);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(i)) this.hidden.add(i);
        button.setAttribute("aria-pressed", String(!this.hidden.has(i)));
        this.render();
      });
    }

    tick(label, initial, change) {
      const wrap = element(this.options, "label");
      const input = element(wrap, "input", { type: "checkbox" });
      input.checked = initial;
      wrap.append(label);
      input.addEventListener("change", () => { change(input.checked); this.render(); });
    }

    shown() { return this.series.filter((_, i) => !this.hidden.has(i)); }

    frame(xRange, yRange, logX, xTitle, yTitle, xTicks, xFormat) {
      const width = Math.max(280, this.box.clientWidth - 20);
      const height = Math.round(Math.min(430, Math.max(290, width * 0.52)));
      const pad = { left: 50, right: 14, top: 26, bottom: 46 };
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.svg.replaceChildren();
      const scale = logX ? Math.log2 : (v) => v;
      const [x0, x1] = xRange.map(scale);
      this.inner = { left: pad.left, right: width - pad.right, top: pad.top, bottom: height - pad.bottom };
      const { left, right, top, bottom } = this.inner;
      this.x = (v) => left + ((scale(v) - x0) / (x1 - x0)) * (right - left);
      this.unx = (p) => { const v = x0 + ((p - left) / (right - left)) * (x1 - x0); return logX ? 2 ** v : v; };
      this.y = (v) => bottom - ((v - yRange[0]) / (yRange[1] - yRange[0])) * (bottom - top);
      for (const v of steps(yRange[0], yRange[1], 6)) {
        node(this.svg, "path", { d: `M${left},${this.y(v)}H${right}`, stroke: "#e6e8eb" });
        node(this.svg, "text", { x: left - 8, y: this.y(v) + 4, "text-anchor": "end" }, plain(v));
      }
      for (const v of xTicks) {
        node(this.svg, "path", { d: `M${this.x(v)},${top}V${bottom}`, stroke: "#f0f1f3" });
        node(this.svg, "text", { x: this.x(v), y: bottom + 18, "text-anchor": "middle" }, xFormat(v));
      }
      node(this.svg, "path", { d: `M${left},${top}V${bottom}H${right}`, fill: "none", stroke: "#80868b" });
      node(this.svg, "text", { x: (left + right) / 2, y: height - 8, "text-anchor": "middle", class: "title" }, xTitle);
      node(this.svg, "text", { x: 4, y: 14, class: "title" }, yTitle);
      const clip = `clip-${this.box.id}`;
      node(node(this.svg, "clipPath", { id: clip }), "rect", { x: left, y: top - 6, width: right - left + 8, height: bottom - top + 12 });
      this.plot = node(this.svg, "g", { "clip-path": `url(#${clip})` });
      this.mark = node(this.svg, "g", { "pointer-events": "none" });
    }

    at(event) {
      const area = this.svg.getBoundingClientRect();
      const ratio = this.svg.viewBox.baseVal.width / area.width;
      return [(event.clientX - area.left) * ratio, (event.clientY - area.top) * ratio, ratio];
    }

    show(lines, px, py, ratio) {
      this.tip.replaceChildren();
      lines.forEach(([text, colour], i) => {
        const row = element(this.tip, "div");
        if (colour) element(row, "span", { class: "key", style: `background:${colour}` });
        element(row, i ? "span" : "b", {}, text);
      });
      this.tip.hidden = false;
      const x = this.svg.getBoundingClientRect().left - this.box.getBoundingClientRect().left + px / ratio;
      const free = this.box.clientWidth - this.tip.offsetWidth - 4;
      const side = x + 16 > free ? x - this.tip.offsetWidth - 16 : x + 16;
      this.tip.style.left = `${Math.max(4, Math.min(free, side))}px`;
      this.tip.style.top = `${this.svg.getBoundingClientRect().top - this.box.getBoundingClientRect().top + py / ratio + 14}px`;
    }

    leave() { this.tip.hidden = true; this.mark?.replaceChildren(); }
  }

  class Curve extends Chart {
    constructor() {
      super("curve", data.lines, (chart) => {
        chart.metric = data.headline;
        chart.logarithmic = false;
        const wrap = element(chart.options, "label", {}, "Metric");
        const select = element(wrap, "select");
        for (const one of data.metrics) element(select, "option", { value: one.name }, one.label);
        select.value = chart.metric;
        select.addEventListener("change", () => { chart.metric = select.value; chart.render(); });
        chart.tick("logarithmic axis", false, (on) => { chart.logarithmic = on; });
      });
    }

    render() {
      this.tip.hidden = true;
      const metric = data.metrics.find((one) => one.name === this.metric);
      const all = this.series.flatMap((line) => line.points);
      const sizes = all.map((point) => point.n_train);
      const spread = Math.max(...sizes) - Math.min(...sizes) || 1;
      const shift = spread * 0.07;
      const low = Math.max(1, Math.min(...sizes) - shift), high = Math.max(...sizes) + shift;
      const values = all.flatMap((point) => point.estimates[this.metric]).filter((v) => v !== null);
      let y0 = Math.floor(Math.min(...values, 1) * 10 - 0.2) / 10, y1 = Math.ceil(Math.max(...values, 0) * 10 + 0.2) / 10;
      if (metric.share) { y0 = Math.max(0, y0); y1 = Math.min(1, y1); }
      const ticks = this.logarithmic ? [...new Set(sizes)].sort((a, b) => a - b) : steps(low, high, this.box.clientWidth < 500 ? 4 : 7).filter(Number.isInteger);
      this.frame([low, high], [y0, y1], this.logarithmic, `Training images, real and synthetic${this.logarithmic ? " (logarithmic)" : ""}`, metric.label, ticks, plain);
      this.targets = [];
      const added = this.shown().filter((line) => line.based);
      for (const line of this.shown()) this.line(line, line.based ? (added.indexOf(line) - (added.length - 1) / 2) * 9 : 0);
    }

    line(line, shift) {
      const place = (point, i) => this.x(point.n_train) + (line.based && i === 0 ? 0 : shift);
      const whole = line.points.map((point, i) => [point, place(point, i), i]).filter(([point]) => point.estimates[this.metric][0] !== null);
      const path = whole.map(([point, x]) => `${x},${this.y(point.estimates[this.metric][0])}`).join("L");
      if (path) node(this.plot, "path", { d: `M${path}`, fill: "none", stroke: line.colour, "stroke-width": 1.8, "stroke-dasharray": line.dash });
      for (const [point, x, i] of whole) {
        if (line.based && i === 0) continue;
        const [value, low, high] = point.estimates[this.metric];
        if (low !== null) node(this.plot, "path", { d: `M${x},${this.y(low)}V${this.y(high)}`, stroke: line.colour, "stroke-width": 1.5 });
        const seeds = point.seeds[this.metric] || [];
        if (seeds.length > 1) for (const v of seeds) node(this.plot, "path", { d: `M${x - 6},${this.y(v)}H${x + 6}`, stroke: line.colour, "stroke-width": 1.2, opacity: 0.7 });
        node(this.plot, "path", { d: marker(line.marker, 5), transform: `translate(${x},${this.y(value)})`, fill: line.colour, stroke: "#fff" });
        this.targets.push({ x, y: this.y(value), point, line });
      }
    }

    hover(event) {
      const [px, py, ratio] = this.at(event);
      const far = ({ x, y }) => Math.hypot(x - px, (y - py) / 3);
      const best = [...this.targets].sort((a, b) => far(a) - far(b))[0];
      if (!best || far(best) > 40) return this.leave();
      const { point, line } = best;
      const [value, low, high] = point.estimates[this.metric];
      const seeds = point.seeds[this.metric] || [];
      this.mark.replaceChildren();
      node(this.mark, "circle", { cx: best.x, cy: best.y, r: 10, fill: "none", stroke: line.colour, "stroke-width": 1.5 });
      const rows = [[point.label, line.colour], [`${fixed(value)}${low === null ? "" : ` (95 % ${fixed(low)} to ${fixed(high)})`}`]];
      if (seeds.length > 1) rows.push([`seeds: ${seeds.map((v) => fixed(v)).join(", ")}`]);
      rows.push([`${point.n_train} images: ${point.n_real} real, ${point.n_synthetic} synthetic`]);
      this.show(rows, best.x, best.y, ratio);
    }
  }

  class Froc extends Chart {
    constructor() {
      super("froc", data.froc, (chart) => {
        chart.logarithmic = true;
        chart.bands = true;
        chart.tick("logarithmic axis", true, (on) => { chart.logarithmic = on; });
        chart.tick("95 % intervals", true, (on) => { chart.bands = on; });
      });
    }

    render() {
      this.tip.hidden = true;
      const range = this.logarithmic ? [1 / 16, 16] : [0, 8];
      const ticks = this.logarithmic ? powers(...range) : [0, 1, 2, 3, 4, 5, 6, 7, 8];
      this.frame(range, [0, 1], this.logarithmic, `False positives per image${this.logarithmic ? " (logarithmic)" : ""}`, "Sensitivity (share of lesions found)", ticks, this.logarithmic ? fraction : plain);
      node(this.plot, "path", { d: `M${this.x(1)},${this.inner.top}V${this.inner.bottom}`, stroke: "#9aa0a6", "stroke-dasharray": "2 3" });
      for (const one of this.shown()) {
        if (this.bands && one.band.length) {
          const up = one.band.map(([x, low]) => `${this.x(x)},${this.y(low)}`);
          const down = [...one.band].reverse().map(([x, , high]) => `${this.x(x)},${this.y(high)}`);
          node(this.plot, "path", { d: `M${[...up, ...down].join("L")}Z`, fill: one.colour, opacity: 0.1 });
        }
        const floor = this.logarithmic ? range[0] : 0;
        let path = `M${this.x(floor)},${this.y(this.reached(one, floor))}`;
        one.x.forEach((x, i) => { if (x > floor) path += `H${this.x(x)}V${this.y(one.y[i])}`; });
        node(this.plot, "path", { d: path, fill: "none", stroke: one.colour, "stroke-width": 1.8, "stroke-dasharray": one.dash });
      }
    }

    reached(one, x) {
      let found = 0;
      for (let i = 0; i < one.x.length && one.x[i] <= x; i += 1) found = one.y[i];
      return found;
    }

    hover(event) {
      const [px, py, ratio] = this.at(event);
      if (px < this.inner.left || px > this.inner.right) return this.leave();
      const x = this.unx(px);
      this.mark.replaceChildren();
      node(this.mark, "path", { d: `M${px},${this.inner.top}V${this.inner.bottom}`, stroke: "#5f6368" });
      const rows = this.shown().map((one) => [this.reached(one, x), one]).sort((a, b) => b[0] - a[0]);
      for (const [y, one] of rows) node(this.mark, "circle", { cx: px, cy: this.y(y), r: 3.5, fill: one.colour, stroke: "#fff" });
      this.show([[`at ${x.toFixed(2)} false positives per image`], ...rows.map(([y, one]) => [`${fixed(y)} ${one.label}`, one.colour])], px, Math.min(py, this.inner.top + 60), ratio);
    }
  }

  new Curve();
  new Froc();
  window.addEventListener("beforeprint", () => document.querySelectorAll("details.print").forEach((one) => { one.open = true; }));
})();
