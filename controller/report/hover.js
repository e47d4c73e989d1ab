// Shows the values under the pointer in place of the totals. Everything else on the page works without it.
(function () {
  "use strict";
  var section = document.querySelector(".plots[data-end]"), kept = document.getElementById("values");
  if (!section || !kept) { return; }
  var values = JSON.parse(kept.textContent), end = Number(section.dataset.end);
  var outputs = Array.from(section.querySelectorAll("output[data-key]"));
  var totals = outputs.map(function (output) { return output.textContent; });
  var plots = Array.from(section.querySelectorAll("svg.panel, svg.lanes"));
  var cursors = plots.map(function (plot) {
    var cursor = document.createElementNS(plot.namespaceURI, "path");
    cursor.setAttribute("class", "cursor");
    plot.appendChild(cursor);
    return cursor;
  });
  function digits(value, count) { return Number(value.toPrecision(count)).toLocaleString("en"); }
  var forms = {
    share: function (value) { return digits(100 * value, 3) + "%"; },
    rate: function (value) { return digits(value, 3) + "/s"; },
    seconds: function (value) { return Math.min(value, 1) === 1 ? digits(value, 3) + " s" : digits(1000 * value, 3) + " ms"; },
    odds: function (value) { return Math.min(value, 1) === 1 ? digits(value, 3) + " : 1" : "1 : " + digits(1 / value, 3); }
  };
  function nearest(at) {
    return values.t.reduce(function (best, each, place) {
      return Math.sign(Math.abs(each - at) - Math.abs(values.t[best] - at)) === -1 ? place : best;
    }, 0);
  }
  function show(row) {
    outputs.forEach(function (output, place) {
      var value = row === null ? null : values[output.dataset.key][row];
      output.textContent = row === null ? totals[place] : value === null ? "–" : forms[output.dataset.form](value);
    });
    plots.forEach(function (plot, place) {
      var box = plot.viewBox.baseVal, sides = plot.parentNode.dataset;
      var x = row === null ? -9 : Number(sides.left) + (box.width - sides.left - sides.right) * values.t[row] / end;
      cursors[place].setAttribute("d", row === null ? "" : "M" + x + " 0V" + box.height);
    });
  }
  section.addEventListener("pointermove", function (event) {
    var plot = event.target.closest("svg.panel, svg.lanes");
    if (!plot || !values.t.length) { show(null); return; }
    var box = plot.getBoundingClientRect(), sides = plot.parentNode.dataset, width = plot.viewBox.baseVal.width;
    var x = (event.clientX - box.left) * width / box.width;
    show(nearest(end * (x - sides.left) / (width - sides.left - sides.right)));
  });
  section.addEventListener("pointerleave", function () { show(null); });
})();
