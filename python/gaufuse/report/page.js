"use strict";
(async () => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const lengths = read("lengths");
  const [light, dark] = read("colours");
  const figures = {}, views = {};

  // Figures are drawn on canvas, which style sheets do not reach: text and grids are repainted.
  const isDark = window.matchMedia("screen and (prefers-color-scheme: dark)");
  const twin = {};
  for (const name of Object.keys(light)) twin[light[name]] = twin[dark[name]] = name;
  const paint = (figure, palette) => {
    for (const model of figure.references()) {
      for (const property of model) {
        const value = property.attr.endsWith("_color") ? property.get_value() : null;
        if (typeof value === "string" && value in twin) model[property.attr] = palette[twin[value]];
      }
    }
  };
  const paintAll = (palette) => Object.values(figures).forEach((own) => paint(own, palette));

  // Paper is white, and a canvas does not grow or shrink with it: pictures are printed instead.
  const toPictures = () => {
    paintAll(light);
    for (const [id, view] of Object.entries(views)) {
      view.repaint();
      const picture = new Image();
      picture.className = "printed";
      picture.alt = "";
      picture.src = view.export("png", true).canvas.toDataURL();
      document.getElementById(id).append(picture);
    }
  };
  const fromPictures = () => {
    for (const picture of document.querySelectorAll(".printed")) picture.remove();
    paintAll(now());
  };
  const now = () => (isDark.matches ? dark : light);

  for (const [id, item] of Object.entries(read("items"))) {
    const manager = await Bokeh.embed.embed_item(item, document.getElementById(id));
    [views[id]] = manager.roots;
    figures[id] = views[id].model;
    views[id].canvas_view.events_el.tabIndex = -1; // the buttons are for the keyboard
    paint(figures[id], now());
    // A finger that drags across a figure scrolls the page; the buttons move the figure.
    if (window.matchMedia("(pointer: coarse)").matches) figures[id].toolbar.active_drag = null;
  }
  isDark.addEventListener("change", () => paintAll(now()));
  window.addEventListener("beforeprint", toPictures);
  window.addEventListener("afterprint", fromPictures);

  const steps = {
    in: (start, end) => [start + (end - start) / 4, end - (end - start) / 4],
    out: (start, end) => [start - (end - start) / 2, end + (end - start) / 2],
    earlier: (start, end) => [start - (end - start) / 2, end - (end - start) / 2],
    later: (start, end) => [start + (end - start) / 2, end + (end - start) / 2],
    all: () => [0, Infinity],
  };
  for (const controls of document.querySelectorAll(".controls")) {
    const figure = figures[controls.dataset.figure], whole = lengths[controls.dataset.figure];
    const say = () => {
      const { start, end } = figure.x_range;
      controls.querySelector("output").textContent = `${start.toFixed(1)} s to ${end.toFixed(1)} s`;
    };
    controls.addEventListener("click", (event) => {
      const step = steps[event.target.dataset.do];
      if (step === undefined) return;
      let [start, end] = step(figure.x_range.start, figure.x_range.end);
      const length = Math.min(whole, Math.max(end - start, whole / 1000));
      start = Math.min(Math.max(0, start), whole - length);
      figure.x_range.setv({ start, end: start + length });
      say();
    });
    say();
  }
  document.documentElement.dataset.drawn = Object.keys(figures).length;
})();
