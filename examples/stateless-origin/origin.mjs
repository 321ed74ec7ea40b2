// An origin that remembers its visitors and keeps nothing: Spindrift has the sessions. Any number of these may run, and
// any of them answers any request. Node.js 18 or newer, no packages.
//
//   node origin.mjs [port]
import { createServer } from "node:http";

// What is known of the visitor, and what the response says to change it.
class Session {
  #response;
  constructor(request, response) {
    this.#response = response;
    const text = request.headers["spindrift-session"];
    this.data = text ? JSON.parse(Buffer.from(text, "base64url")) : {};
    this.user = request.headers["spindrift-session-user"];
  }
  // Members are replaced one by one, so requests at the same time do not lose each other's.
  merge(members) {
    this.#say("merge", Buffer.from(JSON.stringify(members)).toString("base64url"));
  }
  // A login: a new id with the same data.
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

// For everybody: no session is needed, and the cache may keep it.
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
  // Here the password would be checked. Who logs in gets another id: one that was planted is worth nothing.
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
