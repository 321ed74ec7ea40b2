// node publish.mjs topic type data...: publishes an event for each data argument, all or none.
import { randomUUID } from "node:crypto";
import { publish } from "./events.mjs";

const [topic, type, ...data] = process.argv.slice(2);
const { SPINDRIFT_URL: url = "http://127.0.0.1:3000", SPINDRIFT_TOKEN: token } = process.env;
if (!token || data.length === 0) {
  console.error("expected SPINDRIFT_TOKEN, and: node publish.mjs topic type data...");
  process.exit(2);
}
// Because of the key, the same request could safely be sent again if its answer was lost.
const answer = await publish(url, token, topic, data.map((one) => ({ type, data: one })), randomUUID());
console.log(answer.ids.join("\n"));
