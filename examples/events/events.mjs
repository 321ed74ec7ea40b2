// Server-Sent Events for programs: events are published once, followed without losing any, and read with a token that
// is valid for certain topics and for a limited time.
import { createHmac } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

// A token for these topics, valid for `ttl` seconds: a JSON Web Token (RFC 7519), signed with a key derived from the
// first of session_keys. Whoever has that can issue tokens; others get one from POST /_spindrift/v1/channels:token.
export function sign(sessionKey, topics, ttl = 600) {
  const key = createHmac("sha256", sessionKey).update("spindrift topic token v1").digest();
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ topics, exp: Math.floor(Date.now() / 1000) + ttl })}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

// Publishes an event, or an array of events. With a key they are published once, however often the call is repeated.
export async function publish(url, adminToken, topic, events, key) {
  const response = await fetch(`${url}/_spindrift/v1/channels/${encodeURIComponent(topic)}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${adminToken}`,
      "content-type": "application/json",
      ...(key && { "idempotency-key": key }),
    },
    body: JSON.stringify(events),
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok) throw new Error(`publishing: ${response.status} ${await response.text()}`);
  return response.json();
}

// Yields the events of a topic, `{ id, type, data }`, starting after `lastId`: an id, "earliest", or undefined for
// now. Streams end by themselves within 25 s; this reconnects with the last id it saw, so that nothing is lost. If
// events are no longer kept, an event of type "gap" arrives instead.
export async function* follow(url, token, topic, lastId, { signal, onOpen } = {}) {
  let retry = 1000;
  while (!signal?.aborted) {
    const address = new URL(`${url}/_spindrift/v1/channels/${encodeURIComponent(topic)}`);
    const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream" };
    if (lastId) headers["last-event-id"] = lastId;
    try {
      const response = await fetch(address, { headers, signal });
      // A different token is needed, or a different topic: reconnecting would not help.
      if (response.status >= 400 && response.status < 500) {
        throw Object.assign(new Error(`following: ${response.status} ${await response.text()}`), { final: true });
      }
      if (response.ok) {
        onOpen?.(lastId);
        for await (const block of blocks(response.body)) {
          if (block.id !== undefined) lastId = block.id;
          if (block.retry !== undefined) retry = block.retry;
          if (block.data !== undefined) yield { id: lastId, type: block.event ?? "message", data: block.data };
        }
      }
    } catch (error) {
      if (error.final) throw error;
      if (signal?.aborted) return;
    }
    await sleep(retry + Math.random() * retry, undefined, { signal }).catch(() => {});
  }
}

// The blocks of a stream, as defined in the HTML Living Standard (9.2.6).
async function* blocks(body) {
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of body) {
    text += decoder.decode(piece, { stream: true });
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) yield parse(text.slice(0, end));
  }
}

function parse(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data" && fields.data !== undefined) fields.data += `\n${value}`;
    else if (name === "retry") fields.retry = Number(value);
    else if (name) fields[name] = value;
  }
  return fields;
}
