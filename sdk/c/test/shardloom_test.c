// Tests of shardloom.h, and by way of a handler of the conformance guest's, on the machine that builds: `./test.sh`.

#include "../conformance/handler.c"
#include "shardloom_world.h"

static bool says(sl_bytes bytes, const char *text) { return sl_equal(bytes, sl_c(text)); }

static bool refused_as(sl_failure *failure, enum sl_failure_tag tag, const char *text) {
  bool right = failure->tag == tag && says(sl_view(failure->val.failed), text);
  if (failure->val.failed.len > 0) free(failure->val.failed.ptr);
  return right;
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
  world_free_reply(&reply);
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
  world.refusal = SHARDLOOM_SHARD_STORE_STORE_ERROR_TOO_LARGE;
  CHECK(!sl_set(sl_c("k"), sl_c("v"), &failure));
  CHECK(refused_as(&failure, SL_INVALID, "too long"));
  world.refusal = SHARDLOOM_SHARD_STORE_STORE_ERROR_QUOTA_EXCEEDED;
  CHECK(!sl_set(sl_c("k"), sl_c("v"), &failure));
  CHECK(refused_as(&failure, SL_FAILED, "this shard has no room for more keys"));
  world.refusal = -1;
  CHECK(world.rows_len == 0);
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
  world_reset();
}

static void the_conformance_guest_does_as_it_should(void) {
  REFUSES("key", "get", "", SL_NOT_FOUND);
  REPLIES("key", "put", "kept", "");
  REPLIES("key\"", "put", "", "");
  REPLIES("key", "get", "", "kept");
  REPLIES("key", "scan", "ke", "[\"key\",\"key\\\"\"]");
  REPLIES("key", "scan", "x", "[]");
  REPLIES("key", "delete", "", "");
  REPLIES("key", "delete", "", "");
  REFUSES("key", "get", "", SL_NOT_FOUND);
  REFUSES("key", "rollback", "x", SL_FAILED);
  REFUSES("key", "conflict", "why", SL_CONFLICT);
  REFUSES("key", "conflict", "\xff", SL_INVALID);
  REPLIES("key", "echo", "body", "body");
  REPLIES("key", "large", "3", "xxx");
  REPLIES("key", "large", "0", "");
  REFUSES("key", "large", "1000000000", SL_INVALID);
  REFUSES("key", "config", "greeting", SL_NOT_FOUND);
  world_set_config("greeting", "hello");
  REPLIES("key", "config", "greeting", "hello");
  REPLIES("key", "log", "line", "");
  CHECK(world.logged == 1);
  REPLIES("key", "place", "",
          "{\"shard\":7,\"shard_count\":1024,\"epoch\":3,\"node\":\"00000000000000aa\",\"workload\":\"test\",\"version\":1}");
  REFUSES("key", "", "", SL_INVALID);
  world_reset();
}

int main(void) {
  decimals_are_digits_within_a_bound();
  utf8_is_told_from_other_bytes();
  json_text_is_escaped();
  replies_have_their_types();
  refusals_are_utf8_whatever_they_are_given();
  a_write_that_is_not_taken_is_a_refusal();
  a_scan_goes_over_all_pages_of_a_prefix();
  the_conformance_guest_does_as_it_should();
  return world_end();
}
