"use strict";
// Draws the charts from their data attribute and renews parts of a page. Pages work without it.

const own = { ...document.currentScript.dataset }; // addresses of the chart library
const PALETTE = ["--c0", "--c2", "--c1", "--c3"];
const FORMATS = {
  decimal: (v) => v.toFixed(3),
  percent: (v) => `${(100 * v).toFixed(1)}%`,
  count: (v) => v.toFixed(0).replace(/\B(?=(\d{3})+$)/g, "\u202f"),
};
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function translucent(name) {
  return `color-mix(in srgb, ${colour(name)} 18%, transparent)`;
}

function days(plot, ticks) {
  const day = 86400, span = ticks.at(-1) - ticks[0];
  const part = ticks.length > 1 && ticks[1] - ticks[0] < day ? [5, 16] : span > 300 * day ? [0, 10] : [5, 10];
  return ticks.map((t) => new Date(1000 * t).toISOString().slice(...part).replace("T", " "));
}

function options(data, width) {
  const format = FORMATS[data.form];
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
    font: "12px system-ui, sans-serif" };
  const series = [{ value: (u, v) => (v == null ? "–" : new Date(1000 * v).toISOString().slice(0, 16).replace("T", " ")) }];
  const bands = [];
  data.lines.forEach((line, i) => {
    const name = PALETTE[i % PALETTE.length];
    series.push({ label: line.label, stroke: colour(name), width: 2, points: { show: data.x.length < 40, size: 6 },
      value: (u, v) => (v == null ? "–" : format(v)) });
    series.push({ stroke: "transparent", points: { show: false }, label: "" });
    series.push({ stroke: "transparent", points: { show: false }, label: "" });
    bands.push({ series: [3 * i + 3, 3 * i + 2], fill: translucent(name) });
  });
  return { width, height: 200, series, bands, legend: { show: false }, cursor: { y: false },
    axes: [{ ...axis, space: 80, values: days }, { ...axis, size: 52, values: (u, ticks) => ticks.map((v) => (data.form === "percent" ? `${+(100 * v).toFixed(2)}%` : v)) }],
    scales: { y: { range: (u, low, high) => [0, high > 0 ? 1.1 * high : 1] } } };
}

function draw(figure) {
  const data = JSON.parse(figure.dataset.chart), place = figure.querySelector(".plot");
  if (data.x.length < 2) {
    return;
  }
  const columns = [data.x];
  for (const line of data.lines) {
    columns.push(line.value, line.low, line.high);
  }
  place.replaceChildren();
  const plot = new uPlot(options(data, place.clientWidth), columns, place);
  const legend = document.createElement("ul");
  legend.className = "legend";
  data.lines.forEach((line, i) => {
    const entry = document.createElement("li"), swatch = document.createElement("span");
    swatch.className = `swatch ${PALETTE[i % PALETTE.length].slice(2)}`;
    entry.append(swatch, line.label);
    legend.append(entry);
  });
  figure.querySelector(".legend")?.remove();
  place.after(legend);
  new ResizeObserver(() => {
    if (place.clientWidth && Math.abs(place.clientWidth - plot.width) > 2) {
      plot.setSize({ width: place.clientWidth, height: 200 });
    }
  }).observe(place);
}

function drawAll() {
  document.querySelectorAll("figure[data-chart]").forEach(draw);
}

async function renew(place) {
  try {
    const answer = await fetch(place.dataset.renew, { headers: { Accept: "text/html" } });
    if (answer.ok && !answer.redirected) {
      const there = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(place.id);
      if (there && there.innerHTML !== place.innerHTML && !place.contains(document.activeElement)) {
        place.replaceWith(there);
        const ended = place.querySelector("progress") && !there.querySelector("progress");
        if (ended) {
          location.reload();
        }
        place = there;
      }
    }
  } catch {
    // the reader is away; the next try may find it
  }
  if (place.childElementCount > 0 && place.dataset.renew) {
    setTimeout(renew, 4000, place);
  }
}

function loadCharts() {
  const style = document.createElement("link"), script = document.createElement("script");
  style.rel = "stylesheet";
  style.href = own.style;
  script.src = own.charts;
  script.addEventListener("load", () => {
    drawAll();
    dark.addEventListener("change", drawAll);
  });
  document.head.append(style, script);
}

function begin() {
  if (own.charts && document.querySelector("figure[data-chart]")) {
    loadCharts();
  }
  document.querySelectorAll("[data-renew]").forEach((place) => {
    if (place.childElementCount > 0) {
      setTimeout(renew, "soon" in place.dataset ? 0 : 4000, place);
    }
  });
}

requestAnimationFrame(() => setTimeout(begin, 0)); // after the first paint, which needs no script
