"use strict";
// Charts from the JSON inside each <figure data-chart>. Colours come from the page's tokens, so a change of theme
// redraws. Texts come from the server; this file formats nothing but the axes. Tooltips are drawn in the SVG
// (richText), because the content security policy forbids style attributes.
(() => {
  const charts = new Map(); // plot element -> instance
  const english = !document.documentElement.lang.startsWith("zh");
  const axisNumber = new Intl.NumberFormat(english ? "en" : "zh-CN", { maximumFractionDigits: 6 });

  // Reads the tokens through a probe, so that any notation comes back as a colour the chart library knows.
  function palette() {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.hidden = true;
    const read = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
    const names = ["text", "text2", "text3", "line", "edge", "surface", "sunken", "accent", "demand", "supply", "warn", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];
    const colours = Object.fromEntries(names.map((name) => [name, read(name)]));
    probe.remove();
    return colours;
  }

  const FONT = () => getComputedStyle(document.body).fontFamily;

  function base(c) {
    return {
      animation: false,
      textStyle: { fontFamily: FONT(), fontSize: 12, color: c.text2 },
      grid: { left: 4, right: 12, top: 4, bottom: 2, outerBoundsMode: "same", outerBoundsContain: "all" },
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true, transitionDuration: 0, backgroundColor: c.surface, borderColor: c.edge, borderWidth: 1, padding: [6, 10],
        textStyle: { fontFamily: FONT(), fontSize: 12, lineHeight: 18, color: c.text }, axisPointer: { type: "line", lineStyle: { color: c.edge, type: "dashed" }, animation: false },
      },
    };
  }

  function axis(c, name, extra) {
    return {
      type: "value", name, nameTextStyle: { color: c.text2, fontSize: 12, padding: 0 }, axisLine: { show: false }, axisTick: { show: false },
      axisLabel: { color: c.text2, fontSize: 12, hideOverlap: true, formatter: (value) => axisNumber.format(value) }, splitLine: { lineStyle: { color: c.line, width: 1 } }, ...extra,
    };
  }
  const bottom = (c, name, extra) => axis(c, name, { nameLocation: "middle", nameGap: 22, splitLine: { show: false }, axisLine: { show: true, lineStyle: { color: c.edge } }, ...extra });
  const left = (c, name, extra) => axis(c, name, { nameLocation: "end", nameGap: 10, nameTextStyle: { color: c.text2, fontSize: 12, align: "left", padding: 0 }, ...extra });

  // Levels [cumulative, price] become the corners of a staircase that starts at zero.
  function staircase(levels) {
    const corners = [];
    let before = 0;
    for (const [quantity, price] of levels) {
      corners.push([before, Number(price)], [Number(quantity), Number(price)]);
      before = Number(quantity);
    }
    return corners;
  }
  const levelAt = (levels, x) => levels.find(([quantity]) => x <= Number(quantity));

  const KINDS = {
    "supply-demand"(data, c) {
      const line = (name, key, extra) => ({ name, type: "line", data: staircase(data[key]), showSymbol: false, color: c[key], lineStyle: { width: 2, color: c[key] }, emphasis: { disabled: true }, ...extra });
      const clearing = data.clearing && { x: Number(data.clearing.quantity), y: Number(data.clearing.price) };
      const series = [line(data.names.demand, "demand"), line(data.names.supply, "supply")];
      if (clearing) {
        series.push({
          name: "", type: "line", data: [[clearing.x, clearing.y]], symbol: "diamond", symbolSize: 13, showSymbol: true, silent: true, z: 5, itemStyle: { color: c.text, borderColor: c.surface, borderWidth: 1.5 },
          markLine: { silent: true, animation: false, symbol: "none", label: { show: false }, lineStyle: { color: c.text, type: "dashed", width: 1 },
            data: [[{ coord: [0, clearing.y] }, { coord: [clearing.x, clearing.y] }], [{ coord: [clearing.x, clearing.y] }, { coord: [clearing.x, 0] }]] },
        });
      }
      for (const own of data.own || []) {
        const span = [Number(own.from), Number(own.to)];
        series.push({
          name: "", type: "line", silent: true, showSymbol: false, z: 4, data: span.map((x) => [x, Number(own.price)]), lineStyle: { width: 5, color: c[own.side] },
          markArea: { silent: true, itemStyle: { color: c[own.side], opacity: 0.14 }, data: [[{ xAxis: span[0] }, { xAxis: span[1] }]] },
        });
      }
      const option = base(c);
      option.tooltip.formatter = (points) => {
        const x = Number(points[0].axisValue);
        return ["demand", "supply"].map((key) => [data.names[key], levelAt(data[key], x)]).filter(([, level]) => level).map(([name, level]) => `${name}: ${level[2]}`).join("\n");
      };
      const furthest = Math.max(0, ...["demand", "supply"].flatMap((key) => data[key].map(([quantity]) => Number(quantity))));
      return { ...option, xAxis: bottom(c, data.x, { min: 0, max: furthest || 1, axisLabel: { color: c.text2, fontSize: 12, hideOverlap: true, showMaxLabel: false, formatter: (v) => axisNumber.format(v) } }), yAxis: left(c, data.y, { min: 0 }), series };
    },

    "price-volume"(data, c) {
      const labels = data.points.map(([label]) => label);
      const option = base(c);
      option.tooltip.formatter = (points) => data.points[points[0].dataIndex][3];
      return {
        ...option,
        axisPointer: { link: [{ xAxisIndex: "all" }] },
        grid: [{ left: 64, right: 12, top: 28, bottom: "38%" }, { left: 64, right: 12, top: "72%", bottom: 22 }],
        xAxis: [
          bottom(c, "", { type: "category", data: labels, axisLabel: { show: false }, gridIndex: 0 }),
          bottom(c, "", { type: "category", data: labels, gridIndex: 1, axisLabel: { color: c.text2, fontSize: 12, hideOverlap: true } }),
        ],
        yAxis: [left(c, data.y, { scale: true, gridIndex: 0, splitNumber: 4 }), left(c, data.y2, { gridIndex: 1, min: 0, splitNumber: 2 })],
        series: [
          { name: data.names.price, type: "line", step: "end", data: data.points.map(([, price]) => (price === null ? null : Number(price))), showSymbol: labels.length === 1, color: c.accent, lineStyle: { width: 2 }, emphasis: { disabled: true },
            markArea: { silent: true, itemStyle: { color: c.sunken }, data: (data.offpeak || []).map(([from, to]) => [{ xAxis: from }, { xAxis: to }]) } },
          { name: data.names.volume, type: "bar", xAxisIndex: 1, yAxisIndex: 1, data: data.points.map(([, , volume]) => Number(volume)), color: c.c8, itemStyle: { opacity: 0.65 }, barCategoryGap: "25%", emphasis: { disabled: true } },
        ],
      };
    },

    waterfall(data, c) {
      const option = base(c);
      option.tooltip.formatter = (points) => `${points[0].axisValue}: ${data.bars[points[0].dataIndex].text}`;
      const bar = { type: "bar", stack: "all", emphasis: { disabled: true }, barMaxWidth: 56 };
      return {
        ...option,
        xAxis: bottom(c, "", { type: "category", data: data.bars.map((one) => one.name), axisLabel: { color: c.text2, fontSize: 12, interval: 0, width: 76, overflow: "break" } }),
        yAxis: left(c, data.y, {}),
        series: [
          { ...bar, silent: true, itemStyle: { opacity: 0 }, data: data.bars.map((one) => Number(one.low)) },
          { ...bar, data: data.bars.map((one) => ({ value: Number(one.height), itemStyle: { color: c[one.color] } })) },
        ],
      };
    },
    stacked(data, c) {
      const option = base(c);
      option.tooltip.formatter = (points) => [points[0].axisValue, ...points.map((point) => `${point.seriesName}: ${data.series[point.seriesIndex].texts?.[point.dataIndex] ?? point.value}`)].join("\n");
      return {
        ...option,
        xAxis: bottom(c, "", { type: "category", data: data.labels, axisLabel: { color: c.text2, fontSize: 12, hideOverlap: true } }),
        yAxis: left(c, data.y, {}),
        series: data.series.map((one, index) => {
          const color = c[one.color] || c[`c${(index % 8) + 1}`];
          const common = { name: one.name, color, emphasis: { disabled: true }, data: one.values.map((value) => (value === null ? null : Number(value))) };
          return one.type === "line"
            ? { ...common, type: "line", showSymbol: false, z: 4, lineStyle: { width: 2, type: one.dashed ? "dashed" : "solid" } }
            : { ...common, type: "bar", stack: "all", itemStyle: { borderColor: c.surface, borderWidth: 0.5 }, barMaxWidth: 40 };
        }),
      };
    },
  };

  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) charts.get(target)?.resize({ animation: { duration: 0 } });
  });

  function draw(figure) {
    const plot = figure.querySelector("[data-plot]");
    const source = figure.querySelector('script[type="application/json"]');
    const build = KINDS[figure.dataset.chart];
    if (!plot || !source || !build) return;
    let chart = charts.get(plot);
    if (!chart) {
      chart = echarts.init(plot, null, { renderer: "svg", locale: english ? "EN" : "ZH" });
      charts.set(plot, chart);
      sizes.observe(plot);
    }
    chart.setOption(build(JSON.parse(source.textContent), palette()), { notMerge: true });
  }

  function drawAll(scope) {
    if (scope.matches?.("[data-chart]")) draw(scope);
    for (const figure of scope.querySelectorAll("[data-chart]")) draw(figure);
  }

  function dropDetached() {
    for (const [plot, chart] of charts) {
      if (plot.isConnected) continue;
      sizes.unobserve(plot);
      chart.dispose();
      charts.delete(plot);
    }
  }

  const redraw = () => drawAll(document);
  document.addEventListener("ui:preference", (event) => { if (event.detail.name === "theme") redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("htmx:load", (event) => drawAll(event.detail.elt));
  document.addEventListener("htmx:afterSettle", dropDetached);
  document.fonts.ready.then(redraw);
})();
