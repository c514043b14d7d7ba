// A built book on this machine's own address, its pages, and a Chromium to open them in.

import { createServer } from "node:http";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import packed from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".json": "application/json",
  ".woff": "font/woff",
  ".woff2": "font/woff2",
};
// Sphinx's own lists, and the page that leads to the first one.
const SKIPPED = /^(genindex|search|index\.|_static\/)/;

/** Names of the pages below a folder, in the order of the alphabet. */
export async function pages(folder, base = "") {
  const found = [];
  for (const entry of await readdir(path.join(folder, base), { withFileTypes: true })) {
    const name = path.posix.join(base, entry.name);
    if (entry.isDirectory()) found.push(...(await pages(folder, name)));
    else if (name.endsWith(".html") && !SKIPPED.test(name)) found.push(name);
  }
  return found.sort();
}

/** A server of the files in these folders; a name in two of them is the first one's. */
export function serve(...folders) {
  const read = async (name) => {
    for (const folder of folders.slice(0, -1)) {
      const body = await readFile(path.join(folder, name)).catch(() => null);
      if (body) return body;
    }
    return readFile(path.join(folders.at(-1), name));
  };
  return new Promise((resolve) => {
    const server = createServer(async (request, answer) => {
      const name = decodeURIComponent(new URL(request.url, "http://x").pathname);
      try {
        const body = await read(path.normalize(name));
        answer.writeHead(200, { "content-type": TYPES[path.extname(name)] ?? "text/plain" });
        answer.end(body);
      } catch {
        answer.writeHead(404).end();
      }
    });
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

/** The Chromium that npm fetched. */
export async function chromium() {
  return puppeteer.launch({
    args: packed.args,
    executablePath: await packed.executablePath(),
    headless: "shell",
  });
}
