// Prints a built book as one PDF: pages numbered, contents, an outline, links that work.
//
//   node print.mjs SITE FILE [--version VERSION]
//
// The pages are those of the book online, in the order of its contents. Names, and exits 1 for, a
// formula that is not typeset, a picture or a page that is not there, a link to nowhere, an error
// in the console, a chapter without its page.

import { rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { PDFDocument, PDFHexString, PDFName } from "pdf-lib";
import { chromium, serve } from "./serve.mjs";

const FIRST = "book/intro.html";
const here = path.dirname(fileURLToPath(import.meta.url));
const [site, file, ...rest] = process.argv.slice(2);
if (!site || !file) {
  console.error("usage: node print.mjs SITE FILE [--version VERSION]");
  process.exit(2);
}
const version = rest[0] === "--version" ? (rest[1] ?? "") : "";

/** The outline's entries, from the first to the last, whatever their level. */
function outline(pdf) {
  const part = (of, name) => of?.lookup(PDFName.of(name));
  const below = (item) =>
    item ? [item, ...below(part(item, "First")), ...below(part(item, "Next"))] : [];
  return below(part(part(pdf.catalog, "Outlines"), "First"));
}

/** Gives the outline its words, which Chromium sometimes doubles; {chapter: page}. */
function named(pdf, headings) {
  const order = new Map(pdf.getPages().map((sheet, i) => [sheet.ref, i + 1]));
  const items = outline(pdf);
  if (items.length !== headings.length)
    throw new Error(`${items.length} entries in the outline for ${headings.length} headings`);
  const pages = {};
  items.forEach((item, i) => {
    const { words, chapter } = headings[i];
    item.set(PDFName.of("Title"), PDFHexString.fromText(words));
    const to =
      item.lookup(PDFName.of("Dest")) ?? item.lookup(PDFName.of("A")).lookup(PDFName.of("D"));
    if (chapter) pages[chapter] = order.get(to.get(0));
  });
  return pages;
}

const server = await serve(site, here);
const origin = `http://127.0.0.1:${server.address().port}/`;
const browser = await chromium();
const found = [];
const page = await browser.newPage();
page.on("console", (m) => m.type() === "error" && found.push(`console: ${m.text()}`));
page.on("pageerror", (e) => found.push(`script: ${e.message}`));
page.on("response", (r) => r.status() >= 400 && found.push(`${r.status()}: ${r.url()}`));
page.setDefaultTimeout(600000);
await page.goto(`${origin}printed.html`, { waitUntil: "load" });
const told = await page.evaluate((...given) => window.assemble(...given), FIRST, version);
found.push(...told.faults);

const print = async () =>
  PDFDocument.load(
    await page.pdf({
      preferCSSPageSize: true,
      printBackground: true,
      outline: true,
      tagged: true,
      timeout: 600000,
    }),
  );
// Once for the numbers of the pages, and once with them.
const headings = await page.evaluate(() => window.headings());
const numbers = named(await print(), headings);
const missing = await page.evaluate((given) => window.numbered(given), numbers);
found.push(...missing.map((each) => `no page for ${each}`));
const pdf = await print();
const again = named(pdf, headings);
for (const each in numbers) {
  if (again[each] !== numbers[each]) found.push(`its page changed: ${each}`);
}
await browser.close();
server.close();

pdf.setAuthor("conceptrevive contributors");
pdf.setLanguage("en");
const bytes = await pdf.save();
for (const each of found) console.log(each);
console.log(
  `${pdf.getPageCount()} pages, ${Object.keys(again).length} chapters, ${told.formulas} formulas, ` +
    `${told.pictures} pictures, ${(bytes.length / 1e6).toFixed(1)} MB, ${found.length} faults`,
);
if (found.length) process.exit(1);
await writeFile(`${file}.part`, bytes);
await rename(`${file}.part`, file);
