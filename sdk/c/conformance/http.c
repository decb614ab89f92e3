// The conformance guest of wasi:http in C; ../../CONFORMANCE.md says what each method does.

#include "shardloom_http.h"

// What a method works with; `key` is the first part of the path.
typedef struct {
  sl_request *request;
  sl_response *response;
  sl_bucket kept;
  sl_bytes key;
} call;

static bool is_text(const call *call) {
  if (sl_is_utf8(call->request->body)) return true;
  sl_respond(call->response, 400, "the body must be UTF-8");
  return false;
}

static bool decimal(const call *call, uint64_t *number) {
  if (sl_decimal(call->request->body, 999999999, number)) return true;
  sl_respond(call->response, 400, "the body must be a decimal below 10^9");
  return false;
}

static void echo(call *call) {
  for (size_t at = 0; at < call->request->headers.len; at++) {
    sl_text name = call->request->headers.ptr[at].f0;
    sl_bytes value;
    memcpy(&value, &call->request->headers.ptr[at].f1, sizeof value);
    if (name.len < 2 || memcmp(name.ptr, "x-", 2) != 0) continue;
    char text[64] = {0};
    memcpy(text, name.ptr, name.len < sizeof text ? name.len : sizeof text - 1);
    sl_header(call->response, text, value);
  }
  sl_respond_take(call->response, 200, "application/octet-stream", sl_copy(call->request->body.ptr, call->request->body.len));
}

static void put(call *call) { sl_set(call->kept, call->key, call->request->body, call->response); }

static void get(call *call) {
  bool found;
  sl_bytes value;
  if (!sl_get(call->kept, call->key, &found, &value, call->response)) return;
  if (found) sl_respond_take(call->response, 200, "application/octet-stream", value);
  else sl_respond(call->response, 404, "nothing is kept under this key");
}

static void delete(call *call) { sl_delete(call->kept, call->key, call->response); }

static void scan(call *call) {
  sl_bytes prefix = call->request->body, key;
  if (!is_text(call)) return;
  sl_buffer json = {0};
  sl_append_c(&json, "[");
  sl_keys keys = {.bucket = call->kept};
  while (sl_next(&keys, &key, call->response)) {
    if (key.len < prefix.len || !sl_equal((sl_bytes){key.ptr, prefix.len}, prefix)) continue;
    if (json.len > 1) sl_append_c(&json, ",");
    sl_append_json(&json, key);
  }
  sl_keys_end(&keys);
  sl_append_c(&json, "]");
  if (keys.failed) free(json.ptr);
  else sl_respond_take_json(call->response, 200, json);
}

static void rollback(call *call) {
  if (sl_set(call->kept, call->key, call->request->body, call->response)) sl_respond(call->response, 500, "rolled back");
}

static void refuse(call *call, uint16_t status) {
  if (!is_text(call)) return;
  sl_respond_take(call->response, status, "text/plain; charset=utf-8", sl_copy(call->request->body.ptr, call->request->body.len));
}

static void invalid(call *call) { refuse(call, 400); }
static void not_found(call *call) { refuse(call, 404); }
static void conflict(call *call) { refuse(call, 409); }
static void failed(call *call) { refuse(call, 422); }

static void large(call *call) {
  uint64_t len;
  if (!decimal(call, &len)) return;
  sl_bytes body = {len ? memset(sl_alloc((size_t)len), 'x', (size_t)len) : NULL, (size_t)len};
  sl_respond_take(call->response, 200, "application/octet-stream", body);
}

static void place(call *call) {
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
  sl_respond_take_json(call->response, 200, json);
}

static void config(call *call) {
  if (!is_text(call)) return;
  sl_bytes value;
  if (sl_config(call->request->body, &value)) sl_respond_take(call->response, 200, "text/plain; charset=utf-8", value);
  else sl_respond(call->response, 404, "there is no such setting");
}

static void log_body(call *call) {
  if (is_text(call)) sl_log(WASI_LOGGING_LOGGING_LEVEL_INFO, "conformance", call->request->body);
}

static void trap(call *call) {
  (void)call;
  __builtin_trap();
}

static void spin(call *call) {
  (void)call;
  for (volatile bool on = true; on;) {
  }
}

static void alloc(call *call) {
  uint64_t len;
  if (!decimal(call, &len)) return;
  // sl_alloc traps once there is no more; the write keeps the compiler from leaving it all out.
  for (;;) *(volatile uint8_t *)sl_alloc((size_t)len) = 1;
}

static const struct {
  const char *name;
  void (*answer)(call *);
} methods[] = {
    {"echo", echo},       {"put", put},         {"get", get},         {"delete", delete}, {"scan", scan},
    {"rollback", rollback}, {"invalid", invalid}, {"not-found", not_found}, {"conflict", conflict}, {"failed", failed},
    {"large", large},     {"place", place},     {"config", config},   {"log", log_body},  {"trap", trap},
    {"spin", spin},       {"alloc", alloc},
};

static void answer_by_method(call *call, sl_bytes method) {
  for (size_t at = 0; at < sizeof methods / sizeof *methods; at++) {
    if (sl_equal(method, sl_c(methods[at].name))) {
      methods[at].answer(call);
      return;
    }
  }
  sl_buffer text = {0};
  sl_append_c(&text, "there is no method ");
  sl_append_json(&text, method);
  sl_respond_take_text(call->response, 400, text);
}

static void answer(sl_request *request, sl_response *response) {
  call call = {.request = request, .response = response};
  sl_bytes method;
  if (!sl_segment(request, 0, &call.key)) {
    sl_respond(response, 400, "the path must be percent-encoded UTF-8");
    return;
  }
  if (sl_segment(request, 1, &method)) {
    if (sl_open("kept", &call.kept, response)) {
      answer_by_method(&call, method);
      sl_close(call.kept);
    }
    sl_free(&method);
  } else {
    sl_respond(response, 400, "the path must be percent-encoded UTF-8");
  }
  sl_free(&call.key);
}

SL_SERVE(answer)
