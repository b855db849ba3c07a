// npm start: shows dist/ at http://127.0.0.1:8080/, with the headers that threads need (leave them out with --one-thread). For trying
// out: a real server sends the same two headers and these types.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
  ".json": "application/json", ".wasm": "application/wasm", ".svg": "image/svg+xml",
};
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const root = fileURLToPath(new URL("dist/", import.meta.url));
const port = Number(process.argv.find((argument) => argument.startsWith("--port="))?.slice(7) ?? 8080);
const isolated = !process.argv.includes("--one-thread");

const server = createServer(async (request, response) => {
  const refuse = (status) => response.writeHead(status).end();
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(405);
  let path;
  try {
    path = normalize(join(root, decodeURIComponent(new URL(request.url, "http://local").pathname)));
  } catch {
    return refuse(400);
  }
  if (path.endsWith(sep)) path += "index.html";
  const file = path.startsWith(root) ? await stat(path).catch(() => null) : null;
  if (!file?.isFile()) return refuse(404);
  const headers = { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream", "Content-Length": file.size };
  response.writeHead(200, isolated ? { ...headers, ...ISOLATED } : headers);
  if (request.method === "HEAD") return response.end();
  return createReadStream(path).pipe(response);
});
server.on("error", (error) => {
  const way = error.code === "EADDRINUSE" ? `something else listens at port ${port}: npm start -- --port=${port + 1}` : error.message;
  console.error(way);
  process.exitCode = 1;
});
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
