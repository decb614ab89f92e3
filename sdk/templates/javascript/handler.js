// Counts greetings: `shardloom call NAME ada --body Hello` answers how often Ada has been greeted, and how.

import { Invalid, serve, state, text } from "@shardloom/guest";

export const handler = serve((request) => {
  const greeting = request.text();
  if (greeting === "") throw new Invalid("the body must be a greeting");
  const count = (state.getJson(request.key) ?? 0) + 1;
  state.setJson(request.key, count);
  return text(`${greeting}, ${request.key} (greeted ${count} times)\n`);
});
