import type { Bytes, Handler as HttpHandler } from "../src/http.js";
import type { Handler } from "../src/index.js";

/** The host's interfaces, in memory, for tests of handlers without a cluster. */
export const world: {
  /** Whether `set` is refused for want of room. */
  full: boolean;
  /** The settings of the deployment. */
  config: Record<string, string>;
  /** Why settings cannot be read, if they cannot. */
  unreadable: string | undefined;
  /** What was logged. */
  logged: { level: string; context: string; message: string }[];
  /** Where the handler is told that it runs. */
  place: { shard: number; shardCount: number; epoch: number; node: string; workload: string; version: number };
  /** Forgets everything. */
  reset(): void;
  /** Makes one call as the host does: all of its writes are kept, or none. A refusal is thrown, as `{ tag, val }`. */
  call(
    handler: Handler,
    key: string,
    method?: string,
    body?: string | Uint8Array,
    headers?: [string, string][],
  ): { headers: [string, string][]; body: Uint8Array; text: string | undefined };
  /**
   * Has a component of wasi:http answer one request as the host does: a response of 5xx takes back what was written. What a
   * handler throws and does not answer, a trap on a cluster, is thrown here, too.
   */
  request(
    handler: HttpHandler,
    method: string,
    target: string,
    rest?: { body?: Bytes; headers?: Record<string, string> | [string, string][]; scheme?: "http" | "https" },
  ): Promise<{ status: number; headers: [string, string][]; body: Uint8Array; text: string | undefined }>;
};
