// Tests of shardloom_http.h, as far as no host is needed, on the machine that builds: `./test.sh`.

#include "shardloom_http.h"

#include <stdio.h>

static size_t checks;

// Ends the test where a condition does not hold.
#define CHECK(condition) check(condition, #condition, __LINE__)

static void check(bool right, const char *what, int line) {
  checks++;
  if (right) return;
  fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, line, what);
  exit(1);
}

static bool decodes(const char *text, const char *wanted) {
  sl_bytes decoded;
  if (!sl_decode(sl_c(text), &decoded)) return false;
  bool right = sl_equal(decoded, sl_c(wanted));
  sl_free(&decoded);
  return right;
}

static void percent_encoding_is_decoded_or_refused(void) {
  CHECK(decodes("", ""));
  CHECK(decodes("plain+", "plain+"));
  CHECK(decodes("a%20b%2fc%2F", "a b/c/"));
  CHECK(decodes("%C3%a9", "\u00e9"));
  const char *wrong[] = {"%", "%2", "%2g", "%zz", "a%", "%ff", "%C3"};
  for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
    sl_bytes decoded;
    CHECK(!sl_decode(sl_c(wrong[at]), &decoded));
  }
}

static bool segment_is(const char *path, size_t number, const char *wanted) {
  sl_request request = {.path = sl_c(path)};
  sl_bytes segment;
  if (!sl_segment(&request, number, &segment)) return false;
  bool right = sl_equal(segment, sl_c(wanted));
  sl_free(&segment);
  return right;
}

static void a_path_has_parts(void) {
  CHECK(segment_is("/a%2Fb//c", 0, "a/b"));
  CHECK(segment_is("/a%2Fb//c", 1, ""));
  CHECK(segment_is("/a%2Fb//c", 2, "c"));
  CHECK(segment_is("/a%2Fb//c", 3, ""));
  CHECK(segment_is("/", 0, ""));
  CHECK(segment_is("", 0, ""));
  CHECK(!segment_is("/%ff", 0, ""));
}

static void a_response_has_what_was_said_last(void) {
  sl_response response = {.status = 200};
  sl_header(&response, "x-one", sl_c("1"));
  sl_respond(&response, 404, "not here");
  sl_buffer json = {0};
  sl_append_c(&json, "{}");
  sl_respond_take_json(&response, 500, json);
  CHECK(response.status == 500 && sl_equal(response.body, sl_c("{}")));
  sl_request read = {.headers = response.headers};
  sl_bytes value;
  CHECK(sl_header_of(&read, "x-one", &value) && sl_equal(value, sl_c("1")));
  CHECK(sl_header_of(&read, "content-type", &value) && sl_equal(value, sl_c("application/json")));
  CHECK(!sl_header_of(&read, "x-two", &value));
  sl_headers_free(&response.headers);
  sl_free(&response.body);
}

int main(void) {
  percent_encoding_is_decoded_or_refused();
  a_path_has_parts();
  a_response_has_what_was_said_last();
  printf("%zu passed, 0 failed\n", checks);
  return 0;
}
