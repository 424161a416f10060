// Draws charts with uPlot: a <figure data-chart="ID"> with <script type="application/json" id="ID">DATA</script>.
// DATA: {"x": [seconds or numbers], "time": true for seconds since the epoch, "series": [{"label", "values", "color"}],
//        "label": text for screen readers, "unit": text}. A color is the name of a CSS variable, such as --flower-active.
(() => {
  "use strict";
  const charts = new Map();

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function draw(id, data) {
    const box = document.querySelector(`[data-chart="${CSS.escape(id)}"]`);
    if (!box || !window.uPlot || data.x.length < 2) return;
    charts.get(id)?.plot.destroy();
    const muted = css("--flower-text-muted"), grid = { stroke: css("--bs-border-color"), width: 1 };
    const axis = { stroke: muted, grid, ticks: grid, font: "12px system-ui" };
    const series = data.series.map((line) => ({
      label: line.label, stroke: css(line.color), width: 2, points: { show: data.x.length < 40 }, spanGaps: true,
    }));
    const plot = new uPlot({
      width: box.clientWidth, height: 220, scales: { x: { time: Boolean(data.time) } },
      axes: [axis, { ...axis, size: 60, label: data.unit, labelFont: "12px system-ui" }],
      series: [{}, ...series], legend: { show: data.series.length > 1 }, cursor: { y: false },
    }, [data.x, ...data.series.map((line) => line.values)], box);
    charts.set(id, { plot, data, box });
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", data.label);
  }

  const redraw = () => charts.forEach(({ data }, id) => draw(id, data));
  window.applejackChart = draw;
  for (const box of document.querySelectorAll("[data-chart]")) {
    const source = document.getElementById(box.dataset.chart);
    if (source) draw(box.dataset.chart, JSON.parse(source.textContent));
  }
  new ResizeObserver(() => charts.forEach(({ plot, box }) => plot.setSize({ width: box.clientWidth, height: 220 })))
    .observe(document.getElementById("main-content"));
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
})();
