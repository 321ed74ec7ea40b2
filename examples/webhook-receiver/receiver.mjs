// A receiver of webhooks that accepts only signed messages (Standard Webhooks), and handles each message once.
//
//   WEBHOOK_KEY=whsec_... node receiver.mjs [port]
//
// Several keys are separated by commas: while a key is rotated, both are valid. Needs Node.js 18 or newer, and no
// packages.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const TOLERANCE = 5 * 60; // seconds that a timestamp may differ from our clock, and for which a message can be replayed
const LARGEST = 512 * 1024;

// Returns what is wrong, or undefined if a signature was made with one of the keys. Compares in constant time.
export function verify(keys, headers, content, now = Date.now() / 1000) {
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((name) => headers[`webhook-${name}`]);
  if (!id || !signatures || !/^\d+$/.test(timestamp ?? "")) return "expected webhook-id, -timestamp and -signature";
  if (Math.abs(now - Number(timestamp)) > TOLERANCE) return "expected a timestamp of the last minutes";
  const expected = keys.map((key) =>
    createHmac("sha256", Buffer.from(key.replace(/^whsec_/, ""), "base64"))
      .update(`${id}.${timestamp}.`)
      .update(content)
      .digest(),
  );
  const given = signatures.split(" ").filter((one) => one.startsWith("v1,"));
  const good = given
    .map((one) => Buffer.from(one.slice(3), "base64"))
    .some((one) => expected.some((other) => one.length === other.length && timingSafeEqual(one, other)));
  return good ? undefined : "expected a signature of one of the keys";
}

async function read(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    if ((size += piece.length) > LARGEST) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces); // byte for byte: JSON that is parsed and written again has a different signature
}

export function receiver(keys, handle) {
  const seen = new Set(); // in production: a unique column in the database, written together with the effects
  return createServer(async (request, response) => {
    const end = (status, text = "") => response.writeHead(status).end(text);
    const content = request.method === "POST" ? await read(request) : undefined;
    if (!content) return end(request.method === "POST" ? 413 : 405);
    const wrong = verify(keys, request.headers, content);
    if (wrong) return end(401, wrong);
    const id = request.headers["webhook-id"];
    if (seen.has(id)) return end(204); // delivered before, which at-least-once delivery allows
    try {
      await handle(JSON.parse(content), id);
      seen.add(id);
      end(204);
    } catch (error) {
      console.error(`${id}: ${error.message}`);
      end(500); // it will be delivered again, later
    }
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const keys = (process.env.WEBHOOK_KEY ?? "").split(",").filter(Boolean);
  if (keys.length === 0) {
    console.error("expected whsec_... in WEBHOOK_KEY");
    process.exit(2);
  }
  const server = receiver(keys, async (message, id) => console.log(`received ${id}: ${JSON.stringify(message)}`));
  server.listen(Number(process.argv[2] ?? 8099), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
}
