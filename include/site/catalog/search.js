// Shows only the assets whose text contains each word of the search.
const input = document.getElementById("search");
const count = document.querySelector("output[for=search]");
const rows = [...document.querySelectorAll("tr[data-search]")];
const texts = rows.map((row) => row.dataset.search);
const sections = [...document.querySelectorAll("section.layer")];
const show = () => {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  rows.forEach((row, place) => {
    const matches = words.every((word) => texts[place].includes(word));
    row.hidden = !matches;
    found += matches;
  });
  sections.forEach((section) => {
    section.hidden = !section.querySelector("tr[data-search]:not([hidden])");
  });
  count.textContent = words.length ? `${found} of ${rows.length}` : "";
};
input.form.hidden = false;
input.form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("input", show);
show();
