// A client for Spindrift's values, limits, locks, jobs, sessions and events. It has the calls of the cache service that
// Spindrift replaces. Needs Node.js 18 or newer, and no packages.

export class Spindrift {
  constructor({ url = "http://127.0.0.1:3000", token, timeout = 5000 }) {
    Object.assign(this, { url: `${url}/_spindrift/v1`, token, timeout });
  }

  // Values -----------------------------------------------------------------------------------------------

  // The value, or undefined. Also undefined if Redis or Spindrift is unavailable: then the cache counts as empty.
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

  // Invalidates all keys that the glob matches, on all instances, in one write.
  async invalidatePattern(pattern) {
    const response = await this.#call("DELETE", `/cache?match=${id(pattern)}`);
    if (!response.ok) throw await problem(response);
  }

  // Cache-aside. Of many callers, in any number of processes, one runs the factory, and the others wait for its result.
  async getOrSet(key, factory, ttlSeconds = 3600) {
    const until = Date.now() + 10_000;
    while (Date.now() < until) {
      const response = await this.#call("GET", `/cache/${id(key)}?lease=10&wait=5`);
      if (response.status === 200) return response.json();
      if (response.status === 202) continue; // another caller is still making it
      const { fill } = response.status === 404 ? await response.json() : {};
      if (!fill) break;
      return this.#fill(key, fill, factory, ttlSeconds);
    }
    return factory(); // Spindrift is unavailable, or no caller finished in time
  }

  async #fill(key, fill, factory, ttlSeconds) {
    const at = `/cache/${id(key)}?fill=${id(fill)}`;
    let stored = { ok: false };
    try {
      const value = await factory();
      stored = await this.#call("PUT", `${at}&ttl=${ttlSeconds}`, value ?? null); // 409: a newer value stays
      return value;
    } finally {
      if (!stored.ok) await this.#call("DELETE", at); // lets another caller try
    }
  }

  // Limits -----------------------------------------------------------------------------------------------

  // A sliding window. If Redis or Spindrift is unavailable, requests are let through uncounted. An invalid call (a key
  // that is too long, a limit of 0) throws, so that nobody gets around the limit by causing one.
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

  // The lock's id and fence, or undefined if somebody else holds the lock.
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

  // The next job, or undefined. If the caller fails, the job is lost: claim and acknowledge work that must be done.
  async dequeue(queue) {
    const response = await this.#call("POST", `/queues/${id(queue)}/dequeue`);
    if (!response.ok) throw await problem(response);
    return (await response.json()).job ?? undefined;
  }

  // Events -----------------------------------------------------------------------------------------------

  // Events are stored, in order, for all who follow the channel: examples/events shows how.
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
    // No answer counts as an answer with status 0: calls that tolerate failure continue, the others throw.
    const response = await asked.catch((error) => ({ ok: false, status: 0, text: async () => String(error.cause ?? error) }));
    // A wrong token must not look like a missing value.
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
