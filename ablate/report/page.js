"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 700px)");
  const coarse = matchMedia("(pointer: coarse)");
  const printing = location.hash === "#print";
  const sources = new Map();
  const drawn = new Set();

  for (const element of document.querySelectorAll("script[data-plot]"))
    sources.set(element.dataset.plot, element);

  async function unpacked() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
    const script = document.createElement("script");
    script.textContent = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(script);
  }
  const library = unpacked();

  function coloured(source, isPrint) {
    const figure = JSON.parse(source.textContent);
    const isDark = dark.matches && !isPrint;
    const ink = isDark ? "#c9ced4" : "#3a424b";
    const layout = figure.layout;
    layout.font = Object.assign({}, layout.font, { color: ink, size: narrow.matches ? 12 : 13 });
    layout.hoverlabel = { bgcolor: isDark ? "#262c33" : "#ffffff", bordercolor: isDark ? "#454d57" : "#c9ced4", font: { color: isDark ? "#e4e7ea" : "#1c2127" } };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: isDark ? "#7b8590" : "#8a929b", activecolor: ink };
    layout.dragmode = coarse.matches ? false : "zoom";
    for (const trace of figure.data) if (trace.type === "heatmap") trace.textfont = { color: isDark ? "#f2f4f6" : "#1c2127" };
    return figure;
  }

  function draw(name, isPrint = false) {
    const place = document.getElementById(name);
    const figure = coloured(sources.get(name), isPrint);
    const settings = { responsive: true, displaylogo: false, displayModeBar: coarse.matches || isPrint ? false : "hover", scrollZoom: false };
    settings.modeBarButtonsToRemove = ["lasso2d", "select2d", "autoScale2d"];
    drawn.add(name);
    return library.then(() => Plotly.react(place, figure.data, figure.layout, settings)).then(() => { place.dataset.drawn = isPrint ? "print" : "screen"; });
  }

  function drawAll(isPrint) {
    document.documentElement.classList.toggle("paper", isPrint); // figures take the width of the sheet
    if (isPrint) for (const part of document.querySelectorAll("details.method")) part.open = true;
    return Promise.all([...sources.keys()].map((name) => draw(name, isPrint)));
  }

  function watch() {
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        draw(entry.target.id);
      }
    }, { rootMargin: "600px 0px" });
    for (const name of sources.keys()) near.observe(document.getElementById(name));
  }

  if (printing) drawAll(true).then(() => { document.documentElement.dataset.ready = "print"; });
  else watch();
  dark.addEventListener("change", () => { for (const name of drawn) draw(name); });
  addEventListener("beforeprint", () => { drawAll(true); });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    for (const name of drawn) draw(name);
  });

  function value(row, column) {
    const text = row.cells[column].textContent.trim().replace(/−/g, "-");
    const unit = / (s|min|h)$/.exec(text);
    const scale = unit ? { s: 1, min: 60, h: 3600 }[unit[1]] : 1;
    const number = /^[-+]?[\d.]+(e[-+]?\d+)?( \w+)?$/i.test(text) ? parseFloat(text) * scale : NaN;
    return { text, number, empty: text === "" || text === "–" };
  }

  function compare(a, b, sign) {
    if (a.empty || b.empty) return a.empty - b.empty;
    if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
    return sign * a.text.localeCompare(b.text, "en", { numeric: true });
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [row, value(row, column)]);
        rows.sort((a, b) => compare(a[1], b[1], sign));
        body.append(...rows.map(([row]) => row));
      });
    });
  }

  function filterable(field) {
    const rows = [...document.getElementById(`${field.dataset.filter}-table`).tBodies[0].rows];
    const status = document.querySelector(`[data-count="${field.dataset.filter}"]`);
    const whole = status.textContent;
    const texts = rows.map((row) => row.textContent.toLowerCase());
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, k) => {
        row.hidden = !words.every((word) => texts[k].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      status.textContent = words.length ? `${shown} of ${rows.length} trials` : whole;
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) sortable(table);
  for (const field of document.querySelectorAll("[data-filter]")) filterable(field);

  const contents = document.querySelector(".contents");
  const roomy = matchMedia("(min-width: 1120px)");
  const unfold = () => { contents.open = roomy.matches; };
  roomy.addEventListener("change", unfold);
  unfold();
})();
