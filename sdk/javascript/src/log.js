// The node's log.

import { log as write } from "wasi:logging/logging@0.1.0-draft";

/** Writes to the node's log. */
export const log = Object.freeze(
  Object.fromEntries(
    ["trace", "debug", "info", "warn", "error", "critical"].map((level) => [
      level,
      (message, context = "handler") => write(level, context, String(message)),
    ]),
  ),
);

/** What was thrown, as the log says it. */
export function described(error) {
  return error instanceof Error ? `${error}\n${error.stack}` : `thrown: ${String(error)}`;
}
