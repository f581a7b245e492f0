// Draws the plots of the page and links them: the layer that is picked in one is picked in all, and told in words.
"use strict";
(function () {
  const views = [];
  const say = (box, text) => { box.classList.remove("drawn"); box.querySelector(".undrawn").textContent = text; };
  const read = (id) => JSON.parse(document.getElementById(id).textContent);

  function pick(layer) {
    for (const view of views) {
      if (view.getState().signals.picked !== undefined) { view.signal("picked", layer).runAsync(); }
    }
    for (const row of document.querySelectorAll("tr[data-layer]")) {
      row.classList.toggle("picked", row.dataset.layer === layer);
    }
    const choice = document.getElementById("layer");
    if (choice) {
      choice.value = layer;
      const row = [...document.querySelectorAll("tr[data-layer]")].find((one) => one.dataset.layer === layer);
      document.getElementById("picked-layer").textContent = row ? row.dataset.told : "";
    }
  }

  async function draw(box) {
    const spec = read(box.id + "-spec");
    const target = box.querySelector(".drawing");
    try {
      // ast: expressions are interpreted, so that the page may forbid the making of code.
      const drawn = await window.plotLibrary.embed(target, spec, { actions: false, ast: true, renderer: "svg", tooltip: true });
      await drawn.view.runAsync();
      if (!target.querySelector("svg .mark-rect path, svg .mark-symbol path, svg .mark-rule line")) {
        throw new Error("nothing was drawn");
      }
      // The box around it tells what is seen; the marks have no words of their own.
      target.querySelector("svg").setAttribute("aria-hidden", "true");
      box.classList.add("drawn");
      views.push(drawn.view);
      drawn.view.addEventListener("click", (_event, item) => {
        if (item && item.datum && item.datum.key !== undefined) { pick(item.datum.key); }
      });
    } catch (error) {
      target.textContent = "";
      say(box, "This plot could not be drawn: " + error.message + ". The table has its numbers.");
    }
  }

  const boxes = [...document.querySelectorAll(".plot")];
  const choice = document.getElementById("layer");
  if (choice) {
    choice.closest("p").hidden = false;
    choice.addEventListener("change", () => pick(choice.value));
  }
  Promise.all(boxes.map(draw)).then(() => { document.documentElement.dataset.plots = "done"; });
})();
