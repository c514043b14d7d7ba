// Looks at every page of a built book as a reader would: light and dark, on a desk and on a telephone.
//
//   node look.mjs SITE [--only PART] [--shots FOLDER]
//
// Names, and exits 1 for, every accessibility violation (axe-core), console error, request to
// another server, missing file, page that is too tall or scrolls sideways, and figure with a slider
// whose picture does not change when the slider is moved by mouse or keyboard.

import { readFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium, pages, serve } from "./serve.mjs";

const MOST_PIXELS = 12000;
const VIEWS = [
  { theme: "light", width: 1280, height: 900 },
  { theme: "dark", width: 1280, height: 900 },
  { theme: "light", width: 390, height: 844 },
  { theme: "dark", width: 390, height: 844 },
];
const [site, ...rest] = process.argv.slice(2);
const option = (name) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : "");
if (!site) {
  console.error("usage: node look.mjs SITE [--only PART] [--shots FOLDER]");
  process.exit(2);
}

async function moving(page) {
  const faults = [];
  for (const box of await page.$$(".cr-moving")) {
    const told = await box.evaluate((b) => b.getAttribute("aria-label"));
    for (const slider of await box.$$("input[type=range]")) {
      const picture = await box.$(".cr-picture");
      await picture.scrollIntoView();
      const before = Buffer.from(await picture.screenshot()).toString("base64");
      const alt = await box.$eval("img", (i) => i.alt);
      await slider.focus();
      await page.keyboard.press("Home");
      await page.keyboard.press("End");
      await new Promise((r) => setTimeout(r, 150));
      const after = Buffer.from(await picture.screenshot()).toString("base64");
      const now = await box.$eval("img", (i) => i.alt);
      const curtain = await box.$(".cr-over");
      if (before === after) faults.push(`the picture does not change: ${told}`);
      if (!curtain && alt === now) faults.push(`the words do not change: ${told}`);
      await page.keyboard.press("Home");
    }
    const button = await box.$("button");
    if (button) {
      const first = await box.$eval("output", (o) => o.textContent);
      await button.click();
      await new Promise((r) => setTimeout(r, 1000));
      const outputs = await box.$$eval("output", (os) => os.map((o) => o.textContent));
      if (outputs.includes(first) && outputs.length === 1) faults.push(`Play does not play: ${told}`);
      await button.click();
    }
  }
  return faults;
}

const require = createRequire(import.meta.url);
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
const server = await serve(site);
const origin = `http://127.0.0.1:${server.address().port}/`;
const browser = await chromium();
const shots = option("--shots");
if (shots) await mkdir(shots, { recursive: true });

let count = 0, looked = 0;
const say = (where, what) => {
  count += 1;
  console.log(`${where}: ${what}`);
};
for (const name of (await pages(site)).filter((n) => n.includes(option("--only")))) {
  for (const view of VIEWS) {
    const where = `${name} (${view.theme}, ${view.width} px)`;
    const page = await browser.newPage();
    await page.setViewport({ width: view.width, height: view.height });
    await page.evaluateOnNewDocument((theme) => {
      localStorage.setItem("mode", theme);
      localStorage.setItem("theme", theme);
    }, view.theme);
    page.on("console", (m) => m.type() === "error" && say(where, `console: ${m.text()}`));
    page.on("pageerror", (e) => say(where, `script: ${e.message}`));
    page.on("response", (r) => r.status() >= 400 && say(where, `${r.status()}: ${r.url()}`));
    page.on("request", (r) => {
      if (!r.url().startsWith(origin) && !/^(data|blob):/.test(r.url())) say(where, `asks ${r.url()}`);
    });
    await page.goto(origin + name, { waitUntil: "load", timeout: 120000 });
    await page.evaluate(() => window.MathJax?.startup?.promise);
    const size = await page.evaluate(() => ({
      tall: document.documentElement.scrollHeight,
      wide: document.documentElement.scrollWidth,
    }));
    if (view.width > 1000 && size.tall > MOST_PIXELS) say(where, `${size.tall} px tall`);
    if (size.wide > view.width + 1) say(where, `scrolls sideways: ${size.wide} px`);
    if (shots) {
      const file = `${name.replaceAll("/", "-").replace(".html", "")}-${view.theme}-${view.width}.png`;
      await page.screenshot({ path: path.join(shots, file), fullPage: true });
    }
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() =>
      axe.run(document, { resultTypes: ["violations"] }),
    );
    for (const v of violations)
      say(where, `${v.id} × ${v.nodes.length}: ${v.nodes[0].target.join(" ")} (${v.help})`);
    for (const fault of await moving(page)) say(where, fault);
    await page.close();
    looked += 1;
  }
}
await browser.close();
server.close();
console.log(`${looked} views of ${looked / VIEWS.length} pages, ${count} faults`);
process.exit(count || !looked ? 1 : 0);
