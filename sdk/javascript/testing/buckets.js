// The buckets of wasi:keyvalue, in memory, with the bounds of a default deployment.

const KEY_BYTES_MAX = 1024;
const VALUE_BYTES_MAX = 48 * 1024;
const PAGE_KEYS_MAX = 1000;

/** All buckets of a world. */
export class Buckets {
  /** `full` tells whether writes are refused for want of room. */
  constructor(full) {
    this.full = full;
    this.rows = new Map();
  }

  open(name) {
    return new Bucket(this, name);
  }

  copy() {
    return new Map([...this.rows].map(([name, rows]) => [name, new Map(rows)]));
  }

  take(rows) {
    this.rows = rows;
  }
}

/** One of them, by its name: what it holds may be taken back behind it. */
class Bucket {
  constructor(buckets, name) {
    this.buckets = buckets;
    this.name = name;
  }

  get #rows() {
    if (!this.buckets.rows.has(this.name)) this.buckets.rows.set(this.name, new Map());
    return this.buckets.rows.get(this.name);
  }

  get(key) {
    return this.#rows.get(text(key))?.slice() ?? null;
  }

  set(key, value) {
    bounded("key", Buffer.byteLength(text(key)), KEY_BYTES_MAX);
    bounded("value", value.length, VALUE_BYTES_MAX);
    if (this.buckets.full()) throw other("the state of the workload on this shard is full");
    this.#rows.set(key, value.slice());
  }

  delete(key) {
    this.#rows.delete(text(key));
  }

  exists(key) {
    return this.#rows.has(text(key));
  }

  listKeys(cursor) {
    const all = [...this.#rows.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const from = cursor === null ? 0 : all.indexOf(cursor) + 1;
    const keys = all.slice(from, from + PAGE_KEYS_MAX);
    return { keys, cursor: from + keys.length < all.length ? keys.at(-1) : null };
  }

  increment(key, delta) {
    const value = this.get(key);
    const sum = (value === null ? 0 : Number(Buffer.from(value).toString())) + delta;
    if (!Number.isInteger(sum)) throw other("the value of the key is no number of this kind, in decimal");
    this.set(key, Buffer.from(String(sum)));
    return sum;
  }
}

function text(key) {
  if (typeof key !== "string") throw new TypeError(`a key of a bucket is text, and this is ${typeof key}`);
  return key;
}

function bounded(what, bytes, most) {
  if (bytes > most) throw other(`the ${what} has ${bytes} bytes; at most ${most} are taken`);
}

/** What QuickJS throws for the error of an import's result. */
function other(words) {
  return Object.assign(new Error("[object Object] (see error.payload)"), { payload: { tag: "other", val: words } });
}
