// In the browser: what a page online does by itself, for paper: sliders and folded cells.

const PAGE = /\.html$/;

/** `book/glossary.html` and `term-mask` → `book-glossary--term-mask`. */
const anchor = (name, id) => `${name.replace(PAGE, "").replaceAll("/", "-")}--${id || "top"}`;

const make = (tag, attributes = {}, ...inside) => {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...inside);
  return node;
};

/** Some states of a moving figure side by side, and where it moves. */
function still(box, where) {
  const told = box.querySelector('script[type="application/json"]');
  const pictures = Array.from(box.querySelectorAll("img"));
  // Plots have words and stand one above the other; sheets of pictures stand beside each other.
  const kind = ["small", "pairs", "wide"][[400, 600].filter((w) => pictures[0].width > w).length];
  let states = pictures.map((image, i) => [
    image.src,
    box.querySelectorAll(".cr-row > span")[i]?.textContent,
    image.alt,
  ]);
  if (told) {
    const { sources, alts } = JSON.parse(told.textContent);
    const sliders = Array.from(box.querySelectorAll("input"), (s) => ({
      name: box.querySelector(`label[for="${s.id}"]`).textContent,
      labels: JSON.parse(s.dataset.labels),
    }));
    const label = (at) =>
      sliders
        .reduceRight(
          ({ rest, words }, { name, labels }) => ({
            rest: Math.floor(rest / labels.length),
            words: [`${name} ${labels[rest % labels.length]}`, ...words],
          }),
          { rest: at, words: [] },
        )
        .words.join(", ");
    const most = { small: sources.length > 6 ? 4 : 6, pairs: 4, wide: 2 }[kind];
    const count = Math.min(sources.length, most);
    states = Array.from({ length: count }, (_, i) =>
      Math.round((i * (sources.length - 1)) / (count - 1)),
    ).map((at) => [sources[at], label(at), alts[at]]);
  }
  const strip = make("div", { className: `states ${kind}` });
  if (kind === "small" && [3, 5, 6].includes(states.length)) strip.classList.add("threes");
  for (const [src, words, alt] of states) {
    strip.append(
      make("div", {}, make("img", { src, alt }), make("span", { textContent: words ?? "" })),
    );
  }
  const caption = box.closest("figure")?.querySelector("figcaption .caption-text p, figcaption p");
  if (caption?.lastChild) {
    const last = caption.lastChild;
    last.textContent = last.textContent.replace(/\s*Move (the|both) (slider|curtain)[^.]*\.$/, "");
  }
  const link = make("a", { href: where, textContent: "It moves in the book online." });
  box.replaceWith(make("div", {}, strip, make("p", { className: "moves" }, link)));
}

/** Solutions go to the end of the book; code of figures is read online. */
function unfolded(article, name, solutions) {
  for (const cell of article.querySelectorAll(".tag_solution")) {
    const heading = cell.closest("section").querySelector("h3");
    cell.querySelectorAll("summary").forEach((s) => s.remove());
    cell.querySelector("details").replaceWith(...cell.querySelector("details").childNodes);
    const id = anchor(name, `solution-${solutions.length}`);
    const title = heading.textContent.replace(/\s*\(.*\)$/, "");
    const to = make("a", { href: `#${heading.parentElement.id}`, textContent: title });
    cell.replaceWith(
      make(
        "p",
        { className: "to-solution" },
        make("a", { href: `#${id}`, textContent: "Solution" }),
      ),
    );
    solutions.push([name, make("section", { id }, make("h3", {}, to), cell)]);
  }
  for (const output of article.querySelectorAll(".cell_output")) {
    if (output.textContent.trim().startsWith("✗ Not yet: put your answer")) output.remove();
  }
  for (const box of article.querySelectorAll(".cell details.hide")) {
    const outputs = box.querySelector(".cell_output");
    if (outputs) box.replaceWith(outputs);
    else box.remove();
  }
  for (const box of article.querySelectorAll("details")) box.open = true;
}
