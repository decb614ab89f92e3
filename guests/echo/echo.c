// Answers with the request's headers and body. Written in C: what wit-bindgen makes of wit/ is in shard_handler.h.

#include "shard_handler.h"

#include <string.h>

// The reply takes over the request's memory, so nothing is copied.
bool exports_shardloom_shard_handler_handle(exports_shardloom_shard_handler_request_t *request,
                                            exports_shardloom_shard_handler_reply_t *reply,
                                            exports_shardloom_shard_handler_failure_t *failure) {
  (void)failure;
  reply->headers = request->headers;
  reply->body = request->body;
  shard_handler_string_free(&request->key);
  shard_handler_string_free(&request->method);
  return true;
}
