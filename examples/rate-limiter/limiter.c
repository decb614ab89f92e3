// A token bucket per key: so many calls at once, so many a second in the long run.
//
// | method | body | answer |
// |---|---|---|
// | `take` | `NOW_MS`, or `NOW_MS COST` | takes COST tokens (1) if they are there |
// | `show` | `NOW_MS` | the same without taking |
// | `reset` | none | forgets the key: its bucket is full again |
//
// `take` and `show` answer in JSON: whether the tokens were there, how many are left, and after how many milliseconds the
// call would have them. Being over the limit is an answer, not an error. The next owner of the shard has another clock, so the
// caller says what time it is; README.md says what that means. The settings `capacity` and `per_second` are the bucket's size and how
// fast it fills.

#include "shardloom.h"

// Tokens are counted in thousandths: a bucket that gets N tokens a second gets N thousandths a millisecond.
#define MILLI 1000u
// The most that either setting, or a cost, may be.
#define COUNT_MAX 1000000u
// The year 5138: a time after it is a mistake, such as microseconds for milliseconds, and would hold until then.
#define NOW_MS_MAX 100000000000000u

// What is kept under a key: two numbers, least byte first.
typedef struct {
  uint64_t milli_tokens;
  uint64_t at_ms;
} bucket;

typedef struct {
  uint64_t capacity;
  uint64_t per_second;
} limits;

static bool setting(const char *name, uint64_t *number, sl_failure *failure) {
  sl_bytes value;
  bool set = sl_config(sl_c(name), &value);
  bool valid = set && sl_decimal(value, COUNT_MAX, number) && *number > 0;
  if (set) sl_free(&value);
  return valid || sl_failed(failure, "capacity and per_second must be set, each from 1 to 1000000");
}

static bool read_limits(limits *limits, sl_failure *failure) {
  return setting("capacity", &limits->capacity, failure) && setting("per_second", &limits->per_second, failure);
}

static uint64_t number_at(const uint8_t *bytes) {
  uint64_t number = 0;
  for (int at = 7; at >= 0; at--) number = number << 8 | bytes[at];
  return number;
}

static void put_number(uint8_t *bytes, uint64_t number) {
  for (int at = 0; at < 8; at++) bytes[at] = (uint8_t)(number >> (8 * at));
}

// Reads a key's bucket as it is now. A time before the last one that was told counts as the last one.
static bool load(sl_bytes key, const limits *limits, uint64_t now_ms, bucket *bucket, sl_failure *failure) {
  const uint64_t full = limits->capacity * MILLI;
  sl_bytes kept;
  if (!sl_get(key, &kept)) {
    bucket->milli_tokens = full;
    bucket->at_ms = now_ms;
    return true;
  }
  bool whole = kept.len == 16;
  if (whole) {
    bucket->milli_tokens = number_at(kept.ptr);
    bucket->at_ms = number_at(kept.ptr + 8);
  }
  sl_free(&kept);
  if (!whole) return sl_failed(failure, "what is kept for this key is no bucket");
  if (now_ms > bucket->at_ms) {
    uint64_t elapsed_ms = now_ms - bucket->at_ms;
    bool filled = elapsed_ms > full / limits->per_second;
    bucket->milli_tokens = filled ? full : bucket->milli_tokens + elapsed_ms * limits->per_second;
    bucket->at_ms = now_ms;
  }
  if (bucket->milli_tokens > full) bucket->milli_tokens = full;
  return true;
}

static bool store(sl_bytes key, const bucket *bucket, sl_failure *failure) {
  uint8_t bytes[16];
  put_number(bytes, bucket->milli_tokens);
  put_number(bytes + 8, bucket->at_ms);
  return sl_set(key, (sl_bytes){bytes, sizeof bytes}, failure);
}

static bool answer_bucket(sl_reply *reply, bool allowed, const bucket *bucket, uint64_t wait_ms) {
  sl_buffer json = {0};
  sl_append_c(&json, allowed ? "{\"allowed\":true,\"left\":" : "{\"allowed\":false,\"left\":");
  sl_append_decimal(&json, bucket->milli_tokens / MILLI);
  sl_append_c(&json, ",\"wait_ms\":");
  sl_append_decimal(&json, wait_ms);
  sl_append_c(&json, "}");
  return sl_reply_take_json(reply, json);
}

// Reads `NOW_MS` or `NOW_MS COST`.
static bool read_body(sl_bytes body, uint64_t *now_ms, uint64_t *cost, sl_failure *failure) {
  const uint8_t *space = body.len ? memchr(body.ptr, ' ', body.len) : NULL;
  size_t len = space ? (size_t)(space - body.ptr) : body.len;
  *cost = 1;
  bool valid = sl_decimal((sl_bytes){body.ptr, len}, NOW_MS_MAX, now_ms);
  if (space) valid = valid && sl_decimal((sl_bytes){body.ptr + len + 1, body.len - len - 1}, COUNT_MAX, cost) && *cost > 0;
  return valid || sl_invalid(failure, "the body must be NOW_MS or NOW_MS COST, in decimal: milliseconds since 1970, tokens");
}

static bool take(sl_request *request, sl_reply *reply, sl_failure *failure, bool keep) {
  limits limits;
  uint64_t now_ms, cost;
  bucket bucket;
  sl_bytes key = sl_view(request->key);
  if (!read_body(request->body, &now_ms, &cost, failure) || !read_limits(&limits, failure)) return false;
  if (cost > limits.capacity) return sl_invalid(failure, "the cost is more than the bucket ever holds");
  if (!load(key, &limits, now_ms, &bucket, failure)) return false;
  uint64_t wanted = cost * MILLI;
  if (bucket.milli_tokens < wanted) {
    uint64_t missing = wanted - bucket.milli_tokens;
    return answer_bucket(reply, false, &bucket, (missing + limits.per_second - 1) / limits.per_second);
  }
  if (keep) {
    bucket.milli_tokens -= wanted;
    if (!store(key, &bucket, failure)) return false;
  }
  return answer_bucket(reply, true, &bucket, 0);
}

static bool answer(sl_request *request, sl_reply *reply, sl_failure *failure) {
  if (sl_is(request->method, "take")) return take(request, reply, failure, true);
  if (sl_is(request->method, "show")) return take(request, reply, failure, false);
  if (sl_is(request->method, "reset")) {
    return sl_delete(sl_view(request->key), failure) && sl_reply_empty(reply);
  }
  return sl_no_method(failure, request->method, "take, show, reset");
}

SL_SERVE(answer)
