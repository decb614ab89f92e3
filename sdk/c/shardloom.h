// Convenience over what `wit-bindgen c` makes of world `shard-handler`: bytes, replies, refusals, state, settings, log.
//
//     static bool answer(sl_request *request, sl_reply *reply, sl_failure *failure) {
//       if (sl_is(request->method, "hello")) return sl_reply_text(reply, "hello");
//       return sl_no_method(failure, request->method, "hello");
//     }
//     SL_SERVE(answer)
//
// A function that answers returns true with a reply, or false with a failure; whatever the call wrote is gone then.
// `sl_bytes` is bytes with a length; text is UTF-8 in it, without a zero at its end. What a function hands out is the
// caller's to free with `sl_free`; what it takes stays its owner's, unless it is called `take`. No memory is a trap, which
// the host reports as the guest's limit.

#ifndef SHARDLOOM_H
#define SHARDLOOM_H

#include "shard_handler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef shard_handler_list_u8_t sl_bytes;
typedef shard_handler_string_t sl_text;
typedef shard_handler_option_string_t sl_option_text;
typedef exports_shardloom_shard_handler_request_t sl_request;
typedef exports_shardloom_shard_handler_reply_t sl_reply;
typedef exports_shardloom_shard_handler_failure_t sl_failure;

enum sl_failure_tag {
  SL_INVALID = EXPORTS_SHARDLOOM_SHARD_HANDLER_FAILURE_INVALID,
  SL_NOT_FOUND = EXPORTS_SHARDLOOM_SHARD_HANDLER_FAILURE_NOT_FOUND,
  SL_CONFLICT = EXPORTS_SHARDLOOM_SHARD_HANDLER_FAILURE_CONFLICT,
  SL_FAILED = EXPORTS_SHARDLOOM_SHARD_HANDLER_FAILURE_FAILED,
};

// Makes the component's export of a function that answers.
#define SL_SERVE(answer)                                                                                       \
  bool exports_shardloom_shard_handler_handle(sl_request *request, sl_reply *reply, sl_failure *failure) {     \
    bool replied = answer(request, reply, failure);                                                            \
    exports_shardloom_shard_handler_request_free(request);                                                     \
    return replied;                                                                                            \
  }

#include "shardloom_base.h"

// Replies

// Replies with these bytes and takes them over.
static inline bool sl_reply_take(sl_reply *reply, sl_bytes body) {
  reply->headers.ptr = NULL;
  reply->headers.len = 0;
  reply->body = body;
  return true;
}

static inline bool sl_reply_empty(sl_reply *reply) { return sl_reply_take(reply, (sl_bytes){NULL, 0}); }

// Adds a header to a reply that has a body already.
static inline void sl_reply_header(sl_reply *reply, const char *name, const char *value) {
  size_t len = reply->headers.len;
  void *ptr = realloc(len ? reply->headers.ptr : NULL, (len + 1) * sizeof *reply->headers.ptr);
  if (!ptr) __builtin_trap();
  reply->headers.ptr = ptr;
  shard_handler_string_dup(&reply->headers.ptr[len].f0, name);
  shard_handler_string_dup(&reply->headers.ptr[len].f1, value);
  reply->headers.len = len + 1;
}

// Replies with text, or with JSON, that a buffer holds, and takes it over.
static inline bool sl_reply_take_text(sl_reply *reply, sl_buffer text) {
  sl_reply_take(reply, sl_view_buffer(&text));
  sl_reply_header(reply, "content-type", "text/plain; charset=utf-8");
  return true;
}

static inline bool sl_reply_take_json(sl_reply *reply, sl_buffer json) {
  sl_reply_take(reply, sl_view_buffer(&json));
  sl_reply_header(reply, "content-type", "application/json");
  return true;
}

static inline bool sl_reply_text(sl_reply *reply, const char *text) {
  sl_buffer buffer = {0};
  sl_append_c(&buffer, text);
  return sl_reply_take_text(reply, buffer);
}

// Refusals: each returns false, as an answering function does then

static inline bool sl_refuse(sl_failure *failure, enum sl_failure_tag tag, sl_bytes text) {
  // Text of any sort may end up here, and what is no UTF-8 would trap.
  if (!sl_is_utf8(text)) text = sl_c("(a text that is not UTF-8)");
  sl_bytes copy = sl_copy(text.ptr, text.len);
  failure->tag = (uint8_t)tag;
  failure->val.failed = (sl_text){copy.ptr, copy.len};
  return false;
}

static inline bool sl_invalid(sl_failure *failure, const char *text) { return sl_refuse(failure, SL_INVALID, sl_c(text)); }
static inline bool sl_not_found(sl_failure *failure, const char *text) { return sl_refuse(failure, SL_NOT_FOUND, sl_c(text)); }
static inline bool sl_conflict(sl_failure *failure, const char *text) { return sl_refuse(failure, SL_CONFLICT, sl_c(text)); }
static inline bool sl_failed(sl_failure *failure, const char *text) { return sl_refuse(failure, SL_FAILED, sl_c(text)); }

// Refuses a method; `names` are those that there are.
static inline bool sl_no_method(sl_failure *failure, sl_text method, const char *names) {
  sl_buffer text = {0};
  sl_append_c(&text, "there is no method ");
  sl_append_json(&text, sl_view(method));
  sl_append_c(&text, ": ");
  sl_append_c(&text, names);
  sl_refuse(failure, SL_INVALID, sl_view_buffer(&text));
  free(text.ptr);
  return false;
}

// State

// Reads a value; false where the key has none.
static inline bool sl_get(sl_bytes key, sl_bytes *value) { return shardloom_shard_store_get(&key, value); }

// Turns a write that was not taken into the refusal that the caller should hear.
static inline bool sl_not_taken(sl_failure *failure, shardloom_shard_store_store_error_t *error) {
  switch (error->tag) {
    case SHARDLOOM_SHARD_STORE_STORE_ERROR_TOO_LARGE:
      sl_refuse(failure, SL_INVALID, sl_view(error->val.too_large));
      break;
    case SHARDLOOM_SHARD_STORE_STORE_ERROR_QUOTA_EXCEEDED:
      sl_failed(failure, "this shard has no room for more keys");
      break;
    default:
      sl_failed(failure, "the reply has begun");
  }
  shardloom_shard_store_store_error_free(error);
  return false;
}

// Writes a value; false, with the failure to return, where it is not taken.
static inline bool sl_set(sl_bytes key, sl_bytes value, sl_failure *failure) {
  shardloom_shard_store_store_error_t error;
  return shardloom_shard_store_set(&key, &value, &error) || sl_not_taken(failure, &error);
}

// Removes a key and its value; false, with the failure to return, where that is not taken.
static inline bool sl_delete(sl_bytes key, sl_failure *failure) {
  shardloom_shard_store_store_error_t error;
  return shardloom_shard_store_delete(&key, &error) || sl_not_taken(failure, &error);
}

// A walk over the keys that begin with a prefix, in order: `sl_scan_prefix`, `sl_next` while it is true, `sl_scan_end`.
typedef struct {
  sl_bytes start;
  sl_bytes end;
  bool bounded;
  size_t at;
  shard_handler_list_tuple2_list_u8_list_u8_t rows;
} sl_scan;

static inline sl_scan sl_scan_prefix(sl_bytes prefix) {
  sl_scan scan = {.start = sl_copy(prefix.ptr, prefix.len)};
  // The first key after those with the prefix; one of 0xff only has none.
  size_t len = prefix.len;
  while (len > 0 && prefix.ptr[len - 1] == 0xff) len--;
  scan.bounded = len > 0;
  if (scan.bounded) {
    scan.end = sl_copy(prefix.ptr, len);
    scan.end.ptr[len - 1]++;
  }
  return scan;
}

// Reads the next row; key and value stay the scan's, until the next call.
static inline bool sl_next(sl_scan *scan, sl_bytes *key, sl_bytes *value) {
  if (scan->at == scan->rows.len) {
    if (scan->rows.len > 0) {
      sl_bytes last = scan->rows.ptr[scan->rows.len - 1].f0;
      sl_free(&scan->start);
      scan->start = (sl_bytes){sl_alloc(last.len + 1), last.len + 1};
      if (last.len > 0) memcpy(scan->start.ptr, last.ptr, last.len);
      scan->start.ptr[last.len] = 0;
      shard_handler_list_tuple2_list_u8_list_u8_free(&scan->rows);
    }
    shardloom_shard_store_scan(&scan->start, scan->bounded ? &scan->end : NULL, 1000, &scan->rows);
    scan->at = 0;
    if (scan->rows.len == 0) return false;
  }
  *key = scan->rows.ptr[scan->at].f0;
  *value = scan->rows.ptr[scan->at].f1;
  scan->at++;
  return true;
}

static inline void sl_scan_end(sl_scan *scan) {
  sl_free(&scan->start);
  sl_free(&scan->end);
  shard_handler_list_tuple2_list_u8_list_u8_free(&scan->rows);
  *scan = (sl_scan){0};
}

#endif
