// Convenience over what `wit-bindgen c` makes of world `http-proxy-placed`: a component of wasi:http 0.2, with its requests and
// responses whole, buckets of wasi:keyvalue, settings, log. What of the world is not used is not in the component.
//
//     static void answer(sl_request *request, sl_response *response) {
//       if (sl_equal(request->path, sl_c("/hello"))) sl_respond(response, 200, "hello\n");
//       else sl_respond(response, 404, "there is /hello\n");
//     }
//     SL_SERVE(answer)
//
// From status 500 on, whatever the request wrote is gone; below, it is kept, so check first and write then. `sl_bytes` is
// bytes with a length; text is UTF-8 in it, without a zero at its end. What a function hands out is the caller's to free with
// `sl_free`; what it takes stays its owner's, unless it is called `take`. No memory is a trap, which the host reports as the
// guest's limit.

#ifndef SHARDLOOM_HTTP_H
#define SHARDLOOM_HTTP_H

#include "http_proxy_placed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef http_proxy_placed_list_u8_t sl_bytes;
typedef http_proxy_placed_string_t sl_text;
typedef http_proxy_placed_option_string_t sl_option_text;
typedef wasi_http_0_2_0_types_list_tuple2_field_key_field_value_t sl_headers;
typedef wasi_keyvalue_0_2_0_draft2_store_own_bucket_t sl_bucket;

#include "shardloom_base.h"

typedef struct {
  // `GET` and the like.
  sl_bytes method;
  // The path behind the workload's name, as it came, and what follows its question mark.
  sl_bytes path;
  sl_bytes query;
  // Names are in lower case.
  sl_headers headers;
  sl_bytes body;
} sl_request;

typedef struct {
  uint16_t status;
  sl_headers headers;
  sl_bytes body;
} sl_response;

// Responses

// Adds a header.
static inline void sl_header(sl_response *response, const char *name, sl_bytes value) {
  size_t len = response->headers.len;
  void *ptr = realloc(len ? response->headers.ptr : NULL, (len + 1) * sizeof *response->headers.ptr);
  if (!ptr) __builtin_trap();
  response->headers.ptr = ptr;
  sl_bytes key = sl_copy(name, strlen(name)), copy = sl_copy(value.ptr, value.len);
  response->headers.ptr[len].f0 = (sl_text){key.ptr, key.len};
  memcpy(&response->headers.ptr[len].f1, &copy, sizeof copy);
  response->headers.len = len + 1;
}

// Removes the headers of a name, which is in lower case there.
static inline void sl_drop_header(sl_response *response, const char *name) {
  size_t kept = 0;
  for (size_t at = 0; at < response->headers.len; at++) {
    if (!sl_equal(sl_view(response->headers.ptr[at].f0), sl_c(name))) {
      response->headers.ptr[kept++] = response->headers.ptr[at];
      continue;
    }
    free(response->headers.ptr[at].f0.ptr);
    if (response->headers.ptr[at].f1.len > 0) free(response->headers.ptr[at].f1.ptr);
  }
  if (kept == 0) free(response->headers.ptr);
  response->headers = (sl_headers){kept ? response->headers.ptr : NULL, kept};
}

// Responds with these bytes, of a type if there is one, in the place of what the response had for a body, and takes them over.
static inline void sl_respond_take(sl_response *response, uint16_t status, const char *type, sl_bytes body) {
  sl_drop_header(response, "content-type");
  sl_free(&response->body);
  response->status = status;
  response->body = body;
  if (type) sl_header(response, "content-type", sl_c(type));
}

static inline void sl_respond_take_text(sl_response *response, uint16_t status, sl_buffer text) {
  sl_respond_take(response, status, "text/plain; charset=utf-8", sl_view_buffer(&text));
}

static inline void sl_respond_take_json(sl_response *response, uint16_t status, sl_buffer json) {
  sl_respond_take(response, status, "application/json", sl_view_buffer(&json));
}

static inline void sl_respond(sl_response *response, uint16_t status, const char *text) {
  sl_respond_take(response, status, "text/plain; charset=utf-8", sl_copy(text, strlen(text)));
}

// Requests

// The first header of a name, which is to be in lower case: a view of it.
static inline bool sl_header_of(const sl_request *request, const char *name, sl_bytes *value) {
  for (size_t at = 0; at < request->headers.len; at++) {
    if (!sl_equal(sl_view(request->headers.ptr[at].f0), sl_c(name))) continue;
    memcpy(value, &request->headers.ptr[at].f1, sizeof *value);
    return true;
  }
  return false;
}

static inline int sl_hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Decodes `%20` and the like; false where that is no UTF-8, or no encoding.
static inline bool sl_decode(sl_bytes text, sl_bytes *decoded) {
  sl_bytes out = {text.len ? sl_alloc(text.len) : NULL, 0};
  bool right = true;
  for (size_t at = 0; right && at < text.len; at++) {
    uint8_t c = text.ptr[at];
    if (c == '%') {
      int high = text.len - at > 2 ? sl_hex_digit(text.ptr[at + 1]) : -1;
      int low = high < 0 ? -1 : sl_hex_digit(text.ptr[at + 2]);
      right = low >= 0;
      c = (uint8_t)(high * 16 + low);
      at += 2;
    }
    if (right) out.ptr[out.len++] = c;
  }
  if (right && sl_is_utf8(out)) {
    if (out.len == 0) free(out.ptr);
    *decoded = out.len ? out : (sl_bytes){NULL, 0};
    return true;
  }
  free(out.ptr);
  return false;
}

// The part of the path behind its slash of that number, from 0, decoded; empty where the path has no such part, false where it is
// no text.
static inline bool sl_segment(const sl_request *request, size_t number, sl_bytes *segment) {
  size_t start = 0;
  for (size_t at = 0; at <= request->path.len; at++) {
    if (at < request->path.len && request->path.ptr[at] != '/') continue;
    // What is before the first slash is no part.
    if (start > 0 && number-- == 0) return sl_decode((sl_bytes){request->path.ptr + start, at - start}, segment);
    start = at + 1;
  }
  *segment = (sl_bytes){NULL, 0};
  return true;
}

// State: the functions return false, with a response of 500 in the host's words, where the host did not do it

static inline bool sl_not_done(sl_response *response, wasi_keyvalue_0_2_0_draft2_store_error_t *error) {
  bool other = error->tag == WASI_KEYVALUE_0_2_0_DRAFT2_STORE_ERROR_OTHER;
  sl_bytes words = other ? sl_view(error->val.other) : sl_c("the state cannot be used");
  sl_respond_take(response, 500, "text/plain; charset=utf-8", sl_copy(words.ptr, words.len));
  wasi_keyvalue_0_2_0_draft2_store_error_free(error);
  return false;
}

// Opens a part of the state, by its name; to be given back with `sl_close`.
static inline bool sl_open(const char *name, sl_bucket *bucket, sl_response *response) {
  sl_text text = {sl_c(name).ptr, strlen(name)};
  wasi_keyvalue_0_2_0_draft2_store_error_t error;
  return wasi_keyvalue_0_2_0_draft2_store_open(&text, bucket, &error) || sl_not_done(response, &error);
}

static inline void sl_close(sl_bucket bucket) { wasi_keyvalue_0_2_0_draft2_store_bucket_drop_own(bucket); }

// Reads a value; `found` tells whether the key has one. Keys are UTF-8.
static inline bool sl_get(sl_bucket bucket, sl_bytes key, bool *found, sl_bytes *value, sl_response *response) {
  sl_text text = {key.ptr, key.len};
  http_proxy_placed_option_list_u8_t kept;
  wasi_keyvalue_0_2_0_draft2_store_error_t error;
  if (!wasi_keyvalue_0_2_0_draft2_store_method_bucket_get(wasi_keyvalue_0_2_0_draft2_store_borrow_bucket(bucket), &text, &kept, &error)) {
    return sl_not_done(response, &error);
  }
  *found = kept.is_some;
  if (kept.is_some) *value = kept.val;
  return true;
}

static inline bool sl_set(sl_bucket bucket, sl_bytes key, sl_bytes value, sl_response *response) {
  sl_text text = {key.ptr, key.len};
  wasi_keyvalue_0_2_0_draft2_store_error_t error;
  return wasi_keyvalue_0_2_0_draft2_store_method_bucket_set(wasi_keyvalue_0_2_0_draft2_store_borrow_bucket(bucket), &text, &value, &error) ||
         sl_not_done(response, &error);
}

static inline bool sl_delete(sl_bucket bucket, sl_bytes key, sl_response *response) {
  sl_text text = {key.ptr, key.len};
  wasi_keyvalue_0_2_0_draft2_store_error_t error;
  return wasi_keyvalue_0_2_0_draft2_store_method_bucket_delete(wasi_keyvalue_0_2_0_draft2_store_borrow_bucket(bucket), &text, &error) ||
         sl_not_done(response, &error);
}

// Adds to the number under a key, which is 0 where there is nothing.
static inline bool sl_increment(sl_bucket bucket, sl_bytes key, int64_t by, int64_t *sum, sl_response *response) {
  sl_text text = {key.ptr, key.len};
  wasi_keyvalue_0_2_0_draft2_store_error_t error;
  return wasi_keyvalue_0_2_0_draft2_atomics_increment(wasi_keyvalue_0_2_0_draft2_store_borrow_bucket(bucket), &text, by, sum, &error) ||
         sl_not_done(response, &error);
}

// A walk over all keys of a bucket: `sl_next` while it is true, `sl_keys_end`; begin with zeroes but for the bucket.
typedef struct {
  sl_bucket bucket;
  wasi_keyvalue_0_2_0_draft2_store_key_response_t page;
  size_t at;
  bool begun;
  bool failed;
} sl_keys;

// Reads the next key, which stays the walk's until the next call. `failed` tells an error, of which the response has the words, from the end.
static inline bool sl_next(sl_keys *keys, sl_bytes *key, sl_response *response) {
  while (keys->at == keys->page.keys.len) {
    if (keys->failed || (keys->begun && !keys->page.cursor.is_some)) return false;
    wasi_keyvalue_0_2_0_draft2_store_key_response_t page;
    wasi_keyvalue_0_2_0_draft2_store_error_t error;
    sl_text *cursor = keys->begun ? &keys->page.cursor.val : NULL;
    keys->failed = !wasi_keyvalue_0_2_0_draft2_store_method_bucket_list_keys(
        wasi_keyvalue_0_2_0_draft2_store_borrow_bucket(keys->bucket), cursor, &page, &error);
    if (keys->failed) return sl_not_done(response, &error);
    wasi_keyvalue_0_2_0_draft2_store_key_response_free(&keys->page);
    keys->page = page;
    keys->begun = true;
    keys->at = 0;
  }
  *key = sl_view(keys->page.keys.ptr[keys->at++]);
  return true;
}

static inline void sl_keys_end(sl_keys *keys) { wasi_keyvalue_0_2_0_draft2_store_key_response_free(&keys->page); }

#include "shardloom_http_serve.h"

#endif
