// node demo.mjs: makes every call once.
import { Spindrift } from "./spindrift.mjs";

const { SPINDRIFT_URL: url, SPINDRIFT_TOKEN: token } = process.env;
const cache = new Spindrift({ url, token });
const show = (what, value) => console.log(`${what}: ${JSON.stringify(value) ?? "nothing"}`);
const run = process.pid; // makes the names unique to this run

await cache.set(`user:${run}:1`, { name: "Ada" }, 60, ["users"]);
show("get", await cache.get(`user:${run}:1`));
show("exists", await cache.exists(`user:${run}:2`));

let made = 0;
const load = async () => ({ made: ++made });
const all = await Promise.all(Array.from({ length: 8 }, () => cache.getOrSet(`user:${run}:slow`, load, 60)));
show("getOrSet, eight at once", all.at(-1));
show("the factory ran", made);

const results = await cache.batch([
  { op: "set", key: `user:${run}:3`, value: { name: "Grace" }, ttl: 60 },
  { op: "get", key: `user:${run}:1` },
  { op: "exists", key: `user:${run}:4` },
  { op: "delete", key: `user:${run}:5` },
]);
show("batch", results.map((result) => result.status));

await cache.invalidatePattern(`user:${run}:*`);
show("after invalidatePattern", await cache.get(`user:${run}:1`));
await cache.set(`user:${run}:1`, 1, 60);
show("delete", await cache.delete(`user:${run}:1`));
show("after delete", await cache.get(`user:${run}:1`));

const limits = [];
for (let i = 0; i < 4; i++) limits.push((await cache.checkRateLimit(`login:${run}`, 3, 3600)).allowed);
show("checkRateLimit, 3 an hour", limits);

await cache.setSession(`cart-${run}`, { items: 2 }, 60);
show("getSession", await cache.getSession(`cart-${run}`));
await cache.deleteSession(`cart-${run}`);
show("after deleteSession", await cache.getSession(`cart-${run}`));

const lock = await cache.acquireLock(`report-${run}`, 30);
show("acquireLock again", await cache.acquireLock(`report-${run}`, 30));
show("releaseLock", await cache.releaseLock(`report-${run}`, lock.lockId));

await cache.enqueue(`mail-${run}`, { to: "Ann" });
show("dequeue", (await cache.dequeue(`mail-${run}`)).data);
show("dequeue from an empty queue", await cache.dequeue(`mail-${run}`));

show("publish", typeof (await cache.publish(`news-${run}`, { title: "Tide tables" })));
await cache.invalidateRoute("/news");
show("invalidateRoute", "done");

const refused = (asked) => asked.then(() => "taken", (error) => error.status);
show("checkRateLimit of a key that is too long", await refused(cache.checkRateLimit("k".repeat(10_000), 3, 3600)));
const away = new Spindrift({ url: "http://127.0.0.1:1", token }); // nothing is listening there
show("get from nobody", await away.get("user:1"));
show("getOrSet from nobody", await away.getOrSet("user:1", load));
show("checkRateLimit by nobody", (await away.checkRateLimit("login:1", 3, 3600)).allowed);
show("enqueue to nobody", await refused(away.enqueue("mail", {})));
