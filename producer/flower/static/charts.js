// Draws charts with uPlot: a <figure data-chart="ID"> with <script type="application/json" id="ID">DATA</script>.
// DATA: {"x": [seconds or numbers], "time": true for seconds since the epoch, "series": [{"label", "values", "color",
//        "fill": true for a filled area}], "label": text for screen readers, "unit": text}. A color is the name of a
//        CSS variable, such as --flower-active. The style sheet gives the figure its height, so that nothing moves.
(() => {
  "use strict";
  const charts = new Map();
  // Seconds between two times of the axis: whole minutes, as its labels are.
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080].map((minutes) => 60 * minutes);

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const rows = (data) => [data.x, ...data.series.map((line) => line.values)];
  const kind = (data) => JSON.stringify([data.time, data.unit, data.series.map((line) => [line.label, line.color])]);
  const heightFor = (box, data) => (box.clientHeight || 240) - (data.series.length > 1 ? 32 : 4);

  // In 24 hours and UTC, as all times of the pages; a new day is marked by its date.
  function times(_, splits) {
    let day = "";
    return splits.map((seconds) => {
      const at = new Date(seconds * 1e3), [date, time] = at.toISOString().split("T");
      const first = date !== day && (day !== "" || time.startsWith("00:00"));
      day = date;
      return first ? at.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" }) : time.slice(0, 5);
    });
  }

  function options(box, data) {
    const muted = css("--flower-text-muted"), grid = { stroke: css("--bs-border-color"), width: 1 };
    const axis = { stroke: muted, grid, ticks: grid, font: "12px system-ui" };
    const series = data.series.map((line) => ({
      label: line.label, stroke: css(line.color), width: 2, spanGaps: true,
      fill: line.fill ? `color-mix(in srgb, ${css(line.color)} 12%, transparent)` : undefined,
      points: { show: line.values.filter((value) => value != null).length < 40 },
    }));
    return {
      width: box.clientWidth, height: heightFor(box, data), scales: {
        x: { time: Boolean(data.time) }, y: { range: (_, __, most) => [0, (most || 1) * 1.08] },
      },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      axes: [data.time ? { ...axis, values: times, space: 60, incrs: STEPS } : axis, { ...axis, size: 56, label: data.unit, labelSize: 20, labelFont: "12px system-ui" }],
      series: [{}, ...series], legend: { show: data.series.length > 1, live: false }, cursor: { y: false },
    };
  }

  function draw(id, data) {
    const box = document.querySelector(`[data-chart="${CSS.escape(id)}"]`);
    if (!box || !window.uPlot || data.x.length < 2) return;
    const known = charts.get(id);
    box.removeAttribute("data-empty");
    if (known && known.box === box && kind(known.data) === kind(data)) {
      known.plot.setData(rows(data));
      known.data = data;
    } else {
      known?.plot.destroy();
      charts.set(id, { plot: new uPlot(options(box, data), rows(data), box), data, box });
    }
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", data.label);
  }

  function redraw() {
    for (const [id, { plot, data }] of [...charts]) {
      plot.destroy();
      charts.delete(id);
      draw(id, data);
    }
  }

  window.applejackChart = draw;
  for (const box of document.querySelectorAll("[data-chart]")) {
    const source = document.getElementById(box.dataset.chart);
    if (source) draw(box.dataset.chart, JSON.parse(source.textContent));
  }
  const resized = () => charts.forEach(({ plot, box, data }) => {
    plot.setSize({ width: box.clientWidth, height: heightFor(box, data) });
  });
  new ResizeObserver(resized).observe(document.getElementById("main-content"));
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
})();
