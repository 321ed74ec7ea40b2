// An origin that knows its visitors but keeps no state: Spindrift keeps the sessions. Any number of copies may run, and
// any of them can answer any request. Needs Node.js 18 or newer, and no packages.
//
//   node origin.mjs [port]
import { createServer } from "node:http";

// What is known about the visitor; the methods change it, through fields of the response.
class Session {
  #response;
  constructor(request, response) {
    this.#response = response;
    const text = request.headers["spindrift-session"];
    this.data = text ? JSON.parse(Buffer.from(text, "base64url")) : {};
    this.user = request.headers["spindrift-session-user"];
  }
  // Members are replaced individually, so concurrent requests do not overwrite each other's.
  merge(members) {
    this.#say("merge", Buffer.from(JSON.stringify(members)).toString("base64url"));
  }
  // A login: the data stays, the id changes.
  login(user) {
    this.#say("user", encodeURIComponent(user));
  }
  destroy() {
    this.#say("destroy", "1");
  }
  #say(what, value) {
    this.#response.setHeader(`Spindrift-Session-${what}`, value);
  }
}

const routes = new Map();
const on = (method, path, handler) => routes.set(`${method} ${path}`, handler);

// The same for everybody: it needs no session, and may be cached.
on("GET", "/", (request, response) => {
  response.setHeader("Cache-Control", "max-age=60");
  response.end("Welcome to the shop.\n");
});

on("GET", "/account", (request, response) => {
  const visits = (request.session.data.visits ?? 0) + 1;
  request.session.merge({ visits });
  response.end(`${request.session.user ?? "somebody"}, visit ${visits}\n`);
});

on("POST", "/account/login", async (request, response) => {
  const { user } = JSON.parse((await read(request)) || "{}");
  if (!user) return response.writeHead(400).end("expected a user\n");
  // The password would be checked here. A login changes the id, so an id that an attacker planted becomes worthless.
  request.session.login(user);
  response.end(`welcome, ${user}\n`);
});

on("POST", "/account/logout", (request, response) => {
  request.session.destroy();
  response.end("goodbye\n");
});

async function read(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) if ((text += piece).length > 10_000) break;
  return text;
}

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://origin");
  const handler = routes.get(`${request.method} ${pathname}`);
  if (!handler) return response.writeHead(404).end();
  try {
    request.session = new Session(request, response);
    await handler(request, response);
  } catch (error) {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
