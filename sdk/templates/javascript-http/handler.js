// Counts visits: `GET /ada` answers how often Ada's page has been looked at. Any host of wasi:http and wasi:keyvalue runs it.

import { bucket, HttpError, serve } from "@shardloom/guest/http";

const visits = bucket("visits");

export const handler = serve((request) => {
  const [name] = request.segments;
  if (request.method !== "GET") throw new HttpError(405, "there is GET");
  return `${name} has been visited ${visits.increment(name)} times\n`;
});
