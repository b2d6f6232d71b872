import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { drawPNG } from "./png.ts";

/** The policy the front door sends with every page; the browser reports what breaks it. */
export const contentSecurityPolicy =
  "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'";

/** A running stand-in for llmhist: the built page, and just enough API for it. */
export interface FakeServer {
  readonly url: string;
  close(): Promise<void>;
}

const dist = join(import.meta.dirname, "../../dist");

const contentTypes: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

const picture = {
  path: "/image/0199a0c2-7d1e-7000-8000-000000000001/file?expires=1&signature=abc",
  png: drawPNG(512, 512),
};

/** Starts on a free port of the loopback address. */
export async function startFakeServer(): Promise<FakeServer> {
  const server = createServer((request, response) => {
    answer(request, response).catch((cause: unknown) => {
      response.writeHead(500, { "Content-Type": "text/plain" }).end(String(cause));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? "/").split("?")[0] ?? "/";
  response.setHeader("Content-Security-Policy", contentSecurityPolicy);
  switch (`${request.method} ${path}`) {
    case "GET /readyz":
      sendJSON(response, 200, {
        status: "ready",
        checks: [
          { name: "database", status: "ok", detail: "" },
          { name: "objects", status: "ok", detail: "" },
        ],
        version: "0.1.0",
      });
      return;
    case "GET /image/models":
      sendJSON(response, 200, {
        models: [{ id: "local/canvas", provider: "local", default: true, description: "drawn by rules, not by a model" }],
      });
      return;
    case "GET /speech/voices":
      sendJSON(response, 200, { voices: ["slt", "rms", "awb"].map(voice) });
      return;
    case "POST /image/generate":
      await generate(request, response);
      return;
    case `GET ${picture.path.split("?")[0]}`:
      response.writeHead(200, { "Content-Type": "image/png" }).end(picture.png);
      return;
    default:
      await sendFile(response, path === "/" ? "/index.html" : path);
  }
}

function voice(id: string): Record<string, unknown> {
  return { id, name: "", language: "en", model: "local/flite", provider: "local", available: true };
}

async function generate(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let raw = "";
  for await (const chunk of request) raw += String(chunk);
  const { prompt, size } = JSON.parse(raw) as { prompt: string; size: string };
  sendJSON(response, 201, {
    id: "0199a0c2-7d1e-7000-8000-000000000001",
    prompt,
    size,
    status: "completed",
    // As after PUBLIC_URL: the same server under a name the address bar does not have.
    download_url: `http://llmhist.example${picture.path}`,
    metadata: { processing_time_ms: 84, provider: "local", model: "local/canvas", content_type: "image/png" },
  });
}

function sendJSON(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

async function sendFile(response: ServerResponse, path: string): Promise<void> {
  const file = join(dist, normalize(path));
  try {
    const content = await readFile(file);
    response.writeHead(200, { "Content-Type": contentTypes[extname(file)] ?? "application/octet-stream" }).end(content);
  } catch {
    response.writeHead(404, { "Content-Type": "text/plain" }).end("not found");
  }
}
