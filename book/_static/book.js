// What the theme leaves to be done for screen readers and the keyboard.
function help() {
  // Controls are called by the words they show.
  document
    .querySelectorAll("summary[aria-label], .search-button-field, .theme-switch-button")
    .forEach((control) => control.textContent.trim() && control.removeAttribute("aria-label"));
  document.querySelectorAll(".theme-switch-button").forEach((button) => {
    if (button.querySelector(".cr-name")) return;
    button.querySelectorAll("*").forEach((part) => part.setAttribute("aria-hidden", "true"));
    button.insertAdjacentHTML("beforeend", '<span class="cr-name visually-hidden">Colour mode</span>');
  });
  document.querySelectorAll(".has-children > details > summary").forEach((summary) => {
    const link = summary.closest("li").querySelector("a");
    summary.setAttribute("aria-label", `Pages below: ${link ? link.textContent.trim() : "more"}`);
  });
  const brand = document.querySelector(".sidebar-primary-items__start > .sidebar-primary-item");
  if (brand) {
    brand.setAttribute("role", "navigation");
    brand.setAttribute("aria-label", "Home");
  }
  // The corner of a data frame heads nothing.
  document.querySelectorAll("th").forEach((corner) => {
    if (corner.textContent.trim()) return;
    const cell = document.createElement("td");
    cell.className = corner.className;
    cell.colSpan = corner.colSpan;
    cell.rowSpan = corner.rowSpan;
    corner.replaceWith(cell);
  });
  // What scrolls can be reached and scrolled by keys.
  document.querySelectorAll(".pst-scrollable-table-container, .bd-article pre").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  });
  // Works in the bibliography are items of its list.
  document
    .querySelectorAll('[role="doc-biblioentry"]')
    .forEach((work) => work.setAttribute("role", "listitem"));
}
document.addEventListener("DOMContentLoaded", help);
window.addEventListener("load", help);
window.addEventListener("resize", help);
