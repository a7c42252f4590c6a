const search = document.getElementById("search");
const found = document.getElementById("found");
const fusions = JSON.parse(document.getElementById("fusions").textContent);
const stages = [...document.querySelectorAll("details.stage")];

const inside = (kernel) => (fusions.lists[kernel.dataset.list] ?? []).map((line) => fusions.lines[line]);

// What is in a fusion is written when it is unfolded.
document.getElementById("kernels").addEventListener("toggle", ({ target }) => {
  if (!target.open || !target.dataset.list || target.querySelector("pre")) return;
  const lines = inside(target);
  const widths = [0, 1].map((column) => Math.max(...lines.map((line) => line[column].length)));
  const text = lines.map(([opcode, shape, origin]) =>
    `${opcode.padEnd(widths[0])}  ${shape.padEnd(widths[1])}  ${origin}`.trimEnd());
  const pre = document.createElement("pre");
  pre.textContent = text.join("\n");
  target.append(pre);
}, true);

// Stages of layers of kernels, each kernel with the text it is found by.
let tree;
function build() {
  const text = (details) => details.querySelector(":scope > summary").textContent;
  return stages.map((stage) => [stage, [...stage.children].slice(1).map((layer) => [
    layer,
    layer.open,
    [...layer.children].slice(1).map((kernel) => [
      kernel,
      [stage, layer].map((outer) => outer.querySelector("b").textContent)
        .concat(text(kernel), ...inside(kernel)).join(" ").toLowerCase(),
    ]),
  ])]);
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter((word) => word);
  if (!tree && !words.length) return;
  tree ??= build();
  let [shown, all, last] = [0, 0, null];
  for (const [stage, layers] of tree) {
    let inStage = 0;
    for (const [layer, wasOpen, kernels] of layers) {
      let inLayer = 0;
      for (const [kernel, text] of kernels) {
        kernel.hidden = !words.every((word) => text.includes(word));
        if (!kernel.hidden) [inLayer, last] = [inLayer + 1, kernel];
      }
      layer.hidden = inLayer === 0;
      layer.open = words.length ? inLayer > 0 : wasOpen;
      inStage += inLayer;
      all += kernels.length;
    }
    stage.hidden = inStage === 0;
    shown += inStage;
  }
  if (words.length && shown === 1) last.open = true;
  found.textContent = words.length ? `${shown} of ${all} kernels` : "";
}

let waiting;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(filter, 80);
});

// page.html#q=dot searches for what stands behind the mark.
function ask() {
  const asked = location.hash.match(/^#q=(.*)$/s);
  if (!asked) return;
  try {
    search.value = decodeURIComponent(asked[1].replaceAll("+", " "));
  } catch {
    search.value = asked[1];
  }
  filter();
}
addEventListener("hashchange", ask);
ask();
