// A client of Spindrift's values, limits, locks, jobs, sessions and events with the calls of the cache service that it
// replaces. Node.js 18 or newer, no packages.

export class Spindrift {
  constructor({ url = "http://127.0.0.1:3000", token, timeout = 5000 }) {
    Object.assign(this, { url: `${url}/_spindrift/v1`, token, timeout });
  }

  // Values -----------------------------------------------------------------------------------------------

  // The value, or undefined. Without Redis or Spindrift too: a cache that is away has nothing.
  async get(key) {
    const response = await this.#call("GET", `/cache/${id(key)}`);
    return response.status === 200 ? response.json() : undefined;
  }

  async set(key, value, ttlSeconds, tags = []) {
    const query = new URLSearchParams({ ...(ttlSeconds && { ttl: ttlSeconds }), ...(tags.length && { tags: tags.join(",") }) });
    return (await this.#call("PUT", `/cache/${id(key)}?${query}`, value ?? null)).ok; // JSON has no undefined
  }

  async delete(key) {
    return (await this.#call("DELETE", `/cache/${id(key)}`)).ok;
  }

  async exists(key) {
    return (await this.#call("HEAD", `/cache/${id(key)}`)).status === 200;
  }

  // Many gets, sets and deletes in one request: [{ op: "get", key }, { op: "set", key, value, ttl, tags }, ...].
  async batch(operations) {
    const response = await this.#call("POST", "/cache:batch", { operations });
    if (!response.ok) throw await problem(response);
    return (await response.json()).results;
  }

  // All keys that the glob matches, on all instances, in one write.
  async invalidatePattern(pattern) {
    const response = await this.#call("DELETE", `/cache?match=${id(pattern)}`);
    if (!response.ok) throw await problem(response);
  }

  // Cache-aside. Of many callers, in any number of processes, one runs the factory; the others wait for it.
  async getOrSet(key, factory, ttlSeconds = 3600) {
    const until = Date.now() + 10_000;
    while (Date.now() < until) {
      const response = await this.#call("GET", `/cache/${id(key)}?lease=10&wait=5`);
      if (response.status === 200) return response.json();
      if (response.status === 202) continue; // another makes it, and is not done yet
      const { fill } = response.status === 404 ? await response.json() : {};
      if (!fill) break;
      return this.#fill(key, fill, factory, ttlSeconds);
    }
    return factory(); // with nobody to ask, or when nobody gets it done
  }

  async #fill(key, fill, factory, ttlSeconds) {
    const at = `/cache/${id(key)}?fill=${id(fill)}`;
    let stored = { ok: false };
    try {
      const value = await factory();
      stored = await this.#call("PUT", `${at}&ttl=${ttlSeconds}`, value ?? null); // 409: what was set meanwhile stays
      return value;
    } finally {
      if (!stored.ok) await this.#call("DELETE", at); // let another try
    }
  }

  // Limits -----------------------------------------------------------------------------------------------

  // A sliding window. Lets through what cannot be counted while Redis or Spindrift is away. What is no question (a key that is
  // too long, a limit of 0) throws: who sends it must not get around the limit.
  async checkRateLimit(key, limit, windowSeconds) {
    const question = { key, limit, period: windowSeconds, algorithm: "window" };
    const response = await this.#call("POST", "/limits/client/check", question);
    if (response.status >= 400 && response.status < 500) throw await problem(response);
    if (!response.ok) return { allowed: true, remaining: limit, resetAt: undefined };
    const { allowed, remaining, reset_at: resetAt } = await response.json();
    return { allowed, remaining, resetAt };
  }

  // Sessions under ids of your own -------------------------------------------------------------------------

  async setSession(session, data, ttl) {
    return (await this.#call("PUT", `/sessions/${id(session)}`, { data, ttl })).ok;
  }

  async getSession(session) {
    const response = await this.#call("GET", `/sessions/${id(session)}`);
    return response.status === 200 ? (await response.json()).data : undefined;
  }

  async deleteSession(session) {
    return (await this.#call("DELETE", `/sessions/${id(session)}`)).ok;
  }

  // Locks ------------------------------------------------------------------------------------------------

  // The lock's id and fence, or undefined when another holds it.
  async acquireLock(key, ttlSeconds) {
    const response = await this.#call("POST", `/locks/${id(key)}`, { ttl: ttlSeconds });
    if (response.status === 409) return undefined;
    if (!response.ok) throw await problem(response);
    const { token: lockId, fence } = await response.json();
    return { lockId, fence };
  }

  async releaseLock(key, lockId) {
    const response = await this.#call("DELETE", `/locks/${id(key)}?token=${id(lockId)}`);
    return response.ok && (await response.json()).released;
  }

  // Jobs -------------------------------------------------------------------------------------------------

  async enqueue(queue, data) {
    const response = await this.#call("POST", `/queues/${id(queue)}/jobs`, { data });
    if (!response.ok) throw await problem(response);
    return (await response.json()).id;
  }

  // The next job, for good, or undefined. For work that must be done, claim and ack.
  async dequeue(queue) {
    const response = await this.#call("POST", `/queues/${id(queue)}/dequeue`);
    if (!response.ok) throw await problem(response);
    return (await response.json()).job ?? undefined;
  }

  // Events -----------------------------------------------------------------------------------------------

  // Kept, in order, for whoever follows: examples/events has the other side.
  async publish(channel, message) {
    const response = await this.#call("POST", `/channels/${id(channel)}`, { data: message });
    if (!response.ok) throw await problem(response);
    return (await response.json()).ids[0];
  }

  // Pages ------------------------------------------------------------------------------------------------

  async invalidateRoute(path) {
    const response = await this.#call("POST", "/purge", { urls: [path] });
    if (!response.ok) throw await problem(response);
  }

  async #call(method, path, body) {
    const asked = fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...(body !== undefined && { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(this.timeout + 5000 * path.includes("wait=")),
    });
    // No answer is one as well: what may fail goes on, and the rest throws.
    const response = await asked.catch((error) => ({ ok: false, status: 0, text: async () => String(error.cause ?? error) }));
    // A wrong token is no missing value.
    if (response.status === 401 || response.status === 403) throw await problem(response);
    return response;
  }
}

const id = encodeURIComponent;

async function problem(response) {
  const text = await response.text();
  let detail = text;
  try {
    detail = JSON.parse(text).detail ?? text;
  } catch {}
  return Object.assign(new Error(`${response.status}: ${detail}`), { status: response.status });
}
