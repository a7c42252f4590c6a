const search = document.getElementById("search");
const found = document.getElementById("found");
const kernels = [...document.querySelectorAll("details.kernel")].map(
  (kernel) => [kernel, kernel.textContent.toLowerCase()]);
const stages = [...document.querySelectorAll("details.stage")];

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter((word) => word);
  let shown = 0;
  for (const [kernel, text] of kernels) {
    kernel.hidden = !words.every((word) => text.includes(word));
    shown += kernel.hidden ? 0 : 1;
  }
  for (const stage of stages) {
    const has = [...stage.querySelectorAll("details.kernel")].some((kernel) => !kernel.hidden);
    stage.hidden = !has;
    if (words.length && has) stage.open = true;
  }
  found.textContent = words.length ? `${shown} of ${kernels.length}` : "";
}
search.addEventListener("input", filter);
// What is behind the page's own mark is searched for: page.html#search=dot
const asked = decodeURIComponent(location.hash).match(/^#search=(.*)$/);
if (asked) {
  search.value = asked[1];
  filter();
}
