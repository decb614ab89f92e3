// The conformance guest in C; ../../CONFORMANCE.md says what each method does.

#include "shardloom.h"

typedef bool answer(sl_request *request, sl_reply *reply, sl_failure *failure);

// Refuses a body that should be text and is not.
static bool is_text(const sl_request *request, sl_failure *failure) {
  return sl_is_utf8(request->body) || sl_invalid(failure, "the body must be UTF-8");
}

static bool decimal(const sl_request *request, uint64_t *number, sl_failure *failure) {
  return sl_decimal(request->body, 999999999, number) || sl_invalid(failure, "the body must be a decimal below 10^9");
}

static bool echo(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)failure;
  reply->headers = request->headers;
  reply->body = request->body;
  memset(&request->headers, 0, sizeof request->headers);
  memset(&request->body, 0, sizeof request->body);
  return true;
}

static bool put(sl_request *request, sl_reply *reply, sl_failure *failure) {
  return sl_set(sl_view(request->key), request->body, failure) && sl_reply_empty(reply);
}

static bool get(sl_request *request, sl_reply *reply, sl_failure *failure) {
  sl_bytes value;
  if (!sl_get(sl_view(request->key), &value)) return sl_not_found(failure, "nothing is kept under this key");
  return sl_reply_take(reply, value);
}

static bool delete(sl_request *request, sl_reply *reply, sl_failure *failure) {
  return sl_delete(sl_view(request->key), failure) && sl_reply_empty(reply);
}

static bool scan(sl_request *request, sl_reply *reply, sl_failure *failure) {
  sl_buffer json = {0};
  sl_append_c(&json, "[");
  sl_scan scan = sl_scan_prefix(request->body);
  bool text = true;
  for (sl_bytes key, value; text && sl_next(&scan, &key, &value);) {
    if (json.len > 1) sl_append_c(&json, ",");
    sl_append_json(&json, key);
    text = sl_is_utf8(key);
  }
  sl_scan_end(&scan);
  if (!text) {
    free(json.ptr);
    return sl_failed(failure, "a key of the state is not text");
  }
  sl_append_c(&json, "]");
  return sl_reply_take_json(reply, json);
}

static bool rollback(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)reply;
  return sl_set(sl_view(request->key), request->body, failure) && sl_failed(failure, "rolled back");
}

static bool refuse(const sl_request *request, enum sl_failure_tag tag, sl_failure *failure) {
  return is_text(request, failure) && sl_refuse(failure, tag, request->body);
}

static bool invalid(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)reply;
  return refuse(request, SL_INVALID, failure);
}

static bool not_found(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)reply;
  return refuse(request, SL_NOT_FOUND, failure);
}

static bool conflict(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)reply;
  return refuse(request, SL_CONFLICT, failure);
}

static bool failed(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)reply;
  return refuse(request, SL_FAILED, failure);
}

static bool large(sl_request *request, sl_reply *reply, sl_failure *failure) {
  uint64_t len;
  if (!decimal(request, &len, failure)) return false;
  if (len == 0) return sl_reply_empty(reply);
  return sl_reply_take(reply, (sl_bytes){memset(sl_alloc((size_t)len), 'x', (size_t)len), (size_t)len});
}

static bool place(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)request;
  (void)failure;
  shardloom_shard_shard_info_place_t place;
  shardloom_shard_shard_info_current(&place);
  sl_buffer json = {0};
  sl_append_c(&json, "{\"shard\":");
  sl_append_decimal(&json, place.shard);
  sl_append_c(&json, ",\"shard_count\":");
  sl_append_decimal(&json, place.shard_count);
  sl_append_c(&json, ",\"epoch\":");
  sl_append_decimal(&json, place.epoch);
  sl_append_c(&json, ",\"node\":");
  sl_append_json(&json, sl_view(place.node));
  sl_append_c(&json, ",\"workload\":");
  sl_append_json(&json, sl_view(place.workload));
  sl_append_c(&json, ",\"version\":");
  sl_append_decimal(&json, place.version);
  sl_append_c(&json, "}");
  shardloom_shard_shard_info_place_free(&place);
  return sl_reply_take_json(reply, json);
}

static bool config(sl_request *request, sl_reply *reply, sl_failure *failure) {
  if (!is_text(request, failure)) return false;
  sl_bytes value;
  if (!sl_config(request->body, &value)) return sl_not_found(failure, "there is no such setting");
  return sl_reply_take_text(reply, (sl_buffer){value.ptr, value.len, value.len});
}

static bool log_body(sl_request *request, sl_reply *reply, sl_failure *failure) {
  if (!is_text(request, failure)) return false;
  sl_log(WASI_LOGGING_LOGGING_LEVEL_INFO, "conformance", request->body);
  return sl_reply_empty(reply);
}

static bool trap(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)request;
  (void)reply;
  (void)failure;
  __builtin_trap();
}

static bool spin(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)request;
  (void)reply;
  (void)failure;
  for (volatile bool on = true; on;) {
  }
  return false;
}

static bool alloc(sl_request *request, sl_reply *reply, sl_failure *failure) {
  (void)reply;
  uint64_t len;
  if (!decimal(request, &len, failure)) return false;
  // sl_alloc traps once there is no more; the write keeps the compiler from leaving it all out.
  for (;;) *(volatile uint8_t *)sl_alloc((size_t)len) = 1;
}

static const struct {
  const char *name;
  answer *answer;
} methods[] = {
    {"echo", echo},       {"put", put},         {"get", get},         {"delete", delete}, {"scan", scan},
    {"rollback", rollback}, {"invalid", invalid}, {"not-found", not_found}, {"conflict", conflict}, {"failed", failed},
    {"large", large},     {"place", place},     {"config", config},   {"log", log_body},  {"trap", trap},
    {"spin", spin},       {"alloc", alloc},
};

static bool answer_by_method(sl_request *request, sl_reply *reply, sl_failure *failure) {
  for (size_t at = 0; at < sizeof methods / sizeof *methods; at++) {
    if (sl_is(request->method, methods[at].name)) return methods[at].answer(request, reply, failure);
  }
  return sl_no_method(failure, request->method,
                      "echo, put, get, delete, scan, rollback, invalid, not-found, conflict, failed, large, place, config, log, "
                      "trap, spin, alloc");
}

SL_SERVE(answer_by_method)
