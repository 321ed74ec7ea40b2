// node follow.mjs topic [--from id] [--count n]: prints events as they arrive, starting from now or after the given id.
import { parseArgs } from "node:util";
import { follow, sign } from "./events.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { from: { type: "string" }, count: { type: "string" } },
});
const { SPINDRIFT_URL: url = "http://127.0.0.1:3000", SESSION_KEY: key, STREAM_TOKEN } = process.env;
const [topic] = positionals;
if (!topic || !(key || STREAM_TOKEN)) {
  console.error("expected SESSION_KEY or STREAM_TOKEN, and: node follow.mjs topic [--from id] [--count n]");
  process.exit(2);
}
let left = Number(values.count ?? Infinity);
const onOpen = (lastId) => console.error(`# ${topic} from ${lastId ?? "now"} on`);
for await (const event of follow(url, STREAM_TOKEN ?? sign(key, [topic]), topic, values.from, { onOpen })) {
  console.log(`${event.id} ${event.type}: ${event.data}`);
  if (event.type !== "gap" && --left <= 0) process.exit(0);
}
