// Tests of shardloom.h on the machine that builds: `./test.sh`. What the bindings would be is below, in memory.

#include "shardloom.h"

#include <stdio.h>

#define ROWS_MAX 2600

static struct {
  sl_bytes key;
  sl_bytes value;
} rows[ROWS_MAX];
static size_t rows_len;
static int refusal = -1;
static int checks;

static void check(bool right, const char *what, int line) {
  checks++;
  if (right) return;
  fprintf(stderr, "line %d: not so: %s\n", line, what);
  exit(1);
}
#define CHECK(condition) check(condition, #condition, __LINE__)

// The bindings' functions

void shard_handler_list_u8_free(shard_handler_list_u8_t *bytes) {
  if (bytes->len > 0) free(bytes->ptr);
}

void shard_handler_list_tuple2_list_u8_list_u8_free(shard_handler_list_tuple2_list_u8_list_u8_t *list) {
  for (size_t at = 0; at < list->len; at++) {
    shard_handler_list_u8_free(&list->ptr[at].f0);
    shard_handler_list_u8_free(&list->ptr[at].f1);
  }
  if (list->len > 0) free(list->ptr);
}

void shard_handler_string_dup(shard_handler_string_t *text, const char *other) {
  sl_bytes copy = sl_copy(other, strlen(other));
  *text = (sl_text){copy.ptr, copy.len};
}

void shardloom_shard_store_store_error_free(shardloom_shard_store_store_error_t *error) {
  if (error->tag == SHARDLOOM_SHARD_STORE_STORE_ERROR_TOO_LARGE) free(error->val.too_large.ptr);
}

static int compare(sl_bytes a, sl_bytes b) {
  size_t len = a.len < b.len ? a.len : b.len;
  int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
  return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool shardloom_shard_store_set(shard_handler_list_u8_t *key, shard_handler_list_u8_t *value,
                               shardloom_shard_store_store_error_t *error) {
  if (refusal >= 0) {
    error->tag = (uint8_t)refusal;
    if (refusal == SHARDLOOM_SHARD_STORE_STORE_ERROR_TOO_LARGE) shard_handler_string_dup(&error->val.too_large, "too long");
    return false;
  }
  size_t at = rows_len++;
  for (; at > 0 && compare(rows[at - 1].key, *key) > 0; at--) rows[at] = rows[at - 1];
  rows[at].key = sl_copy(key->ptr, key->len);
  rows[at].value = sl_copy(value->ptr, value->len);
  return true;
}

void shardloom_shard_store_scan(shard_handler_list_u8_t *start, shard_handler_list_u8_t *end, uint32_t limit,
                                shard_handler_list_tuple2_list_u8_list_u8_t *page) {
  page->ptr = sl_alloc(limit * sizeof *page->ptr);
  page->len = 0;
  for (size_t at = 0; at < rows_len && page->len < limit; at++) {
    if (compare(rows[at].key, *start) < 0 || (end && compare(rows[at].key, *end) >= 0)) continue;
    page->ptr[page->len].f0 = sl_copy(rows[at].key.ptr, rows[at].key.len);
    page->ptr[page->len++].f1 = sl_copy(rows[at].value.ptr, rows[at].value.len);
  }
  if (page->len == 0) free(page->ptr);
}

static void forget(void) {
  for (size_t at = 0; at < rows_len; at++) {
    sl_free(&rows[at].key);
    sl_free(&rows[at].value);
  }
  rows_len = 0;
}

// The tests

static bool says(sl_bytes bytes, const char *text) { return sl_equal(bytes, sl_c(text)); }

static bool refused_as(sl_failure *failure, enum sl_failure_tag tag, const char *text) {
  bool right = failure->tag == tag && says(sl_view(failure->val.failed), text);
  if (failure->val.failed.len > 0) free(failure->val.failed.ptr);
  return right;
}

static void free_reply(sl_reply *reply) {
  for (size_t at = 0; at < reply->headers.len; at++) {
    free(reply->headers.ptr[at].f0.ptr);
    free(reply->headers.ptr[at].f1.ptr);
  }
  free(reply->headers.ptr);
  sl_free(&reply->body);
}

static void decimals_are_digits_within_a_bound(void) {
  uint64_t number = 7;
  CHECK(sl_decimal(sl_c("0"), 0, &number) && number == 0);
  CHECK(sl_decimal(sl_c("18446744073709551615"), UINT64_MAX, &number) && number == UINT64_MAX);
  const char *wrong[] = {"", "-1", "+1", " 1", "1 ", "1a", "18446744073709551616", "99999999999999999999", "101"};
  for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
    CHECK(!sl_decimal(sl_c(wrong[at]), at == 8 ? 100 : UINT64_MAX, &number));
  }
  CHECK(number == UINT64_MAX);
  sl_buffer text = {0};
  sl_append_decimal(&text, 0);
  sl_append_decimal(&text, UINT64_MAX);
  CHECK(says(sl_view_buffer(&text), "018446744073709551615"));
  free(text.ptr);
}

static void utf8_is_told_from_other_bytes(void) {
  const char *right[] = {"", "plain", "\u00e9", "\u20ac", "\U0001d11e", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
  for (size_t at = 0; at < sizeof right / sizeof *right; at++) CHECK(sl_is_utf8(sl_c(right[at])));
  const char *wrong[] = {"\x80",         "\xc0\x80",         "\xc1\xbf",         "\xc3",     "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
                         "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "a\xff", "\xe2(\xa1"};
  for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) CHECK(!sl_is_utf8(sl_c(wrong[at])));
}

static void json_text_is_escaped(void) {
  sl_buffer text = {0};
  sl_append_json(&text, sl_c("\"\\/\b\t\n\v\f\r\x1f\x7f\u00e9"));
  CHECK(says(sl_view_buffer(&text), "\"\\\"\\\\/\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\u00e9\""));
  free(text.ptr);
}

static void replies_have_their_types(void) {
  sl_reply reply;
  CHECK(sl_reply_text(&reply, "x"));
  CHECK(reply.headers.len == 1 && sl_is(reply.headers.ptr[0].f1, "text/plain; charset=utf-8"));
  sl_reply_header(&reply, "x-second", "2");
  CHECK(reply.headers.len == 2 && sl_is(reply.headers.ptr[1].f0, "x-second") && says(reply.body, "x"));
  free_reply(&reply);
  CHECK(sl_reply_empty(&reply) && reply.headers.len == 0 && reply.body.len == 0);
}

static void refusals_are_utf8_whatever_they_are_given(void) {
  sl_failure failure;
  CHECK(!sl_conflict(&failure, "why"));
  CHECK(refused_as(&failure, SL_CONFLICT, "why"));
  CHECK(!sl_refuse(&failure, SL_FAILED, sl_c("\xff")));
  CHECK(refused_as(&failure, SL_FAILED, "(a text that is not UTF-8)"));
  sl_bytes method = sl_c("a\"");
  CHECK(!sl_no_method(&failure, (sl_text){method.ptr, method.len}, "b, c"));
  CHECK(refused_as(&failure, SL_INVALID, "there is no method \"a\\\"\": b, c"));
}

static void a_write_that_is_not_taken_is_a_refusal(void) {
  sl_failure failure;
  refusal = SHARDLOOM_SHARD_STORE_STORE_ERROR_TOO_LARGE;
  CHECK(!sl_set(sl_c("k"), sl_c("v"), &failure));
  CHECK(refused_as(&failure, SL_INVALID, "too long"));
  refusal = SHARDLOOM_SHARD_STORE_STORE_ERROR_QUOTA_EXCEEDED;
  CHECK(!sl_set(sl_c("k"), sl_c("v"), &failure));
  CHECK(refused_as(&failure, SL_FAILED, "this shard has no room for more keys"));
  refusal = -1;
  CHECK(rows_len == 0);
}

static size_t count(sl_bytes prefix, const char *last) {
  sl_scan scan = sl_scan_prefix(prefix);
  sl_bytes key, value;
  size_t count = 0;
  bool right = true;
  for (; sl_next(&scan, &key, &value); count++) right = says(key, last);
  sl_scan_end(&scan);
  CHECK(right || count == 0);
  return count;
}

static void a_scan_goes_over_all_pages_of_a_prefix(void) {
  sl_failure failure;
  char key[8];
  for (int number = 0; number < 2500; number++) {
    snprintf(key, sizeof key, "k%04d", number);
    CHECK(sl_set(sl_c(key), sl_c("v"), &failure));
  }
  CHECK(sl_set(sl_c("j"), sl_c(""), &failure) && sl_set(sl_c("l"), sl_c(""), &failure));
  CHECK(sl_set(sl_c("\xff"), sl_c(""), &failure) && sl_set(sl_c("\xff\xff"), sl_c(""), &failure));
  CHECK(count(sl_c("k"), "k2499") == 2500);
  CHECK(count(sl_c("k249"), "k2499") == 10);
  CHECK(count(sl_c("m"), "") == 0);
  CHECK(count(sl_c("\xff"), "\xff\xff") == 2);
  CHECK(count(sl_c(""), "\xff\xff") == 2504);
  forget();
}

int main(void) {
  decimals_are_digits_within_a_bound();
  utf8_is_told_from_other_bytes();
  json_text_is_escaped();
  replies_have_their_types();
  refusals_are_utf8_whatever_they_are_given();
  a_write_that_is_not_taken_is_a_refusal();
  a_scan_goes_over_all_pages_of_a_prefix();
  printf("%d passed, 0 failed\n", checks);
  return 0;
}
