// In the browser: the book's pages, one after another, as one page to be printed.

const MATHJAX = "/_static/mathjax/tex-chtml.js";

async function fetched(name) {
  const answer = await fetch(`/${name}`);
  if (!answer.ok) throw new Error(`${answer.status}: ${name}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** The sidebar's order: [{part, name, title}]; `first` is the page that it is read from. */
async function contents(first) {
  const nav = (await fetched(first)).querySelector("nav.bd-links");
  const found = [];
  let part = "";
  for (const node of nav.querySelectorAll("p.caption, li > a.reference.internal")) {
    if (node.matches("p.caption")) part = node.textContent.trim();
    else {
      const name = new URL(node.getAttribute("href"), `${location.origin}/${first}`).pathname.slice(
        1,
      );
      found.push({
        part,
        name,
        title: node.textContent.trim(),
        level: node.closest("ul ul") ? 2 : 1,
      });
    }
  }
  return found;
}

/** Anchors and links so that one page holds them all; what is not in the book is read online. */
function joined(article, name, names, online) {
  for (const node of article.querySelectorAll("[id]")) node.id = anchor(name, node.id);
  for (const link of article.querySelectorAll("a[href]")) {
    const to = new URL(link.getAttribute("href"), `${location.origin}/${name}`);
    if (to.origin !== location.origin) continue;
    const page = to.pathname.slice(1);
    const id = decodeURIComponent(to.hash.slice(1));
    link.setAttribute("href", names.has(page) ? `#${anchor(page, id)}` : online + page + to.hash);
  }
  for (const image of article.querySelectorAll("img")) {
    image.src = new URL(image.getAttribute("src"), `${location.origin}/${name}`).href;
  }
}

function chapter({ name, title }, article, names, online, solutions) {
  article.querySelectorAll(".headerlink, button.copybtn, template").forEach((n) => n.remove());
  for (const box of article.querySelectorAll(".cr-moving")) {
    const id = box.closest("figure, .cell")?.id ?? "";
    still(box, `${online}${name}${id && `#${id}`}`);
  }
  if (solutions) {
    joined(article, name, names, online);
    unfolded(article, name, solutions);
  }
  article.querySelectorAll("script, style").forEach((n) => n.remove());
  const running = `running-${names.size}-${anchor(name)}`.replace(/[^\w-]/g, "");
  const node = make("article", { id: anchor(name), className: "chapter" }, ...article.childNodes);
  node.style.page = running;
  const words = JSON.stringify(title);
  document.head.append(
    make("style", { textContent: `@page ${running} { @top-right { content: ${words}; } }` }),
  );
  return node;
}

const QUESTION =
  "When a diffusion model is made to forget a concept by pruning weights, does it really forget?";
const NOTE =
  "Figures with a slider show some of their positions; they move in the book online, where the " +
  "code of figures can be unfolded, too. Solutions of the exercises are at the end.";

function titled(online, version) {
  const day = new Date().toISOString().slice(0, 10);
  return make(
    "header",
    { className: "title" },
    make("img", { src: "/_static/favicon.svg", alt: "" }),
    make("p", { className: "name", textContent: document.title }),
    make("p", { className: "subtitle", textContent: QUESTION }),
    make("p", { textContent: `conceptrevive ${version}, printed ${day}` }),
    make("p", {}, make("a", { href: online, textContent: online })),
    make("p", { className: "note", textContent: NOTE }),
  );
}

function listed(entries) {
  const list = make("nav", { className: "contents" }, make("h1", { textContent: "Contents" }));
  let part = "";
  for (const { part: now, name, title, level } of entries) {
    if (now !== part) list.append(make("p", { className: "part", textContent: (part = now) }));
    const line = make(
      "a",
      { href: `#${anchor(name)}`, className: `level-${level}` },
      make("span", { textContent: title }),
      make("i"),
      make("b", { textContent: "000" }),
    );
    list.append(line);
  }
  return list;
}

/** Everything into this document; resolves when formulas and pictures are there. */
async function assemble(first, version) {
  const entries = await contents(first);
  const names = new Set(entries.map((e) => e.name));
  const start = await fetched(first);
  const online = start.querySelector('meta[property="og:url"]').content.replace(/book\/.*$/, "");
  const solutions = [];
  const chapters = [];
  for (const entry of entries) {
    const article = (await fetched(entry.name)).querySelector("article.bd-article");
    chapters.push(chapter(entry, article, names, online, solutions));
  }
  const last = { part: "", name: "solutions.html", title: "Solutions", level: 1 };
  const answers = make("article", {}, make("h1", { textContent: last.title }));
  for (const entry of entries) {
    const own = solutions.filter(([name]) => name === entry.name).map(([, node]) => node);
    if (own.length)
      answers.append(make("section", {}, make("h2", { textContent: entry.title }), ...own));
  }
  chapters.push(chapter(last, answers, names, online));
  document.body.append(titled(online, version), listed([...entries, last]), ...chapters);
  await typeset();
  await Promise.all(Array.from(document.images, (image) => image.decode().catch(() => {})));
  await document.fonts.ready;
  return faults();
}

function typeset() {
  if (!document.querySelector(".math")) return null;
  return new Promise((resolve, reject) => {
    window.MathJax = {
      options: { ignoreHtmlClass: "chapter", processHtmlClass: "math", enableMenu: false },
      startup: {
        ready: () => {
          MathJax.startup.defaultReady();
          MathJax.startup.promise.then(resolve, reject);
        },
      },
    };
    document.head.append(
      make("script", {
        src: MATHJAX,
        onerror: () => reject(new Error(`cannot be loaded: ${MATHJAX}`)),
      }),
    );
  });
}

/** What would be missed on paper. */
function faults() {
  const out = [];
  for (const node of document.querySelectorAll(".math")) {
    if (!node.querySelector("mjx-container"))
      out.push(`not typeset: ${node.textContent.slice(0, 60)}`);
  }
  for (const node of document.querySelectorAll("mjx-merror, [data-mjx-error]")) {
    out.push(`a formula with an error: ${node.textContent.slice(0, 60)}`);
  }
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    if (!document.getElementById(decodeURIComponent(link.getAttribute("href").slice(1))))
      out.push(
        `a link to nowhere: ${link.getAttribute("href")} (${link.textContent.slice(0, 40)})`,
      );
  }
  for (const image of document.images) {
    if (!image.naturalWidth) out.push(`a picture that does not load: ${image.src.slice(0, 80)}`);
  }
  return {
    faults: out,
    formulas: document.querySelectorAll("mjx-container").length,
    pictures: document.images.length,
  };
}

/** Headings in the order of the outline: their words, and of a chapter's first one its anchor. */
function headings() {
  const seen = new Set();
  return Array.from(document.querySelectorAll("h1, h2, h3, h4, h5, h6"), (node) => {
    const id = node.closest("article")?.id ?? "";
    const chapter = seen.has(id) ? "" : id;
    seen.add(id);
    return { words: node.textContent.trim().replace(/\s+/g, " "), chapter };
  });
}

/** Page numbers into the contents: {anchor of a chapter: page}; returns the chapters without one. */
function numbered(pages) {
  const lines = Array.from(document.querySelectorAll(".contents a"));
  for (const line of lines) line.querySelector("b").textContent = pages[line.hash.slice(1)] ?? "";
  return lines.filter((line) => !(line.hash.slice(1) in pages)).map((line) => line.hash);
}
