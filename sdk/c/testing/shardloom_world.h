// The host in memory, for tests of handlers on the machine that builds: include it and the handler's source, and run that with
// `test.sh`. It stands for the bindings, so it is included once, in the file with `main`.

#ifndef SHARDLOOM_WORLD_H
#define SHARDLOOM_WORLD_H

#include "shardloom.h"

#include <stdio.h>

#define WORLD_ROWS_MAX 4000
#define WORLD_SETTINGS_MAX 16

static struct {
  struct {
    sl_bytes key;
    sl_bytes value;
  } rows[WORLD_ROWS_MAX];
  size_t rows_len;
  struct {
    const char *key;
    const char *value;
  } settings[WORLD_SETTINGS_MAX];
  // Which refusal of the store writes meet, such as SHARDLOOM_SHARD_STORE_STORE_ERROR_CLOSED; none below 0.
  int refusal;
  // How many lines were logged.
  size_t logged;
  size_t checks;
} world = {.refusal = -1};

// Ends the test where a condition does not hold.
#define CHECK(condition) world_check(condition, #condition, __FILE__, __LINE__)

static inline void world_check(bool right, const char *what, const char *file, int line) {
  world.checks++;
  if (right) return;
  fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
  exit(1);
}

static inline int world_compare(sl_bytes a, sl_bytes b) {
  size_t len = a.len < b.len ? a.len : b.len;
  int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
  return order ? order : (a.len > b.len) - (a.len < b.len);
}

// Finds a key, or the place where it belongs.
static inline bool world_find(sl_bytes key, size_t *at) {
  for (*at = 0; *at < world.rows_len; ++*at) {
    int order = world_compare(world.rows[*at].key, key);
    if (order >= 0) return order == 0;
  }
  return false;
}

// Forgets all rows and settings.
static inline void world_reset(void) {
  for (size_t at = 0; at < world.rows_len; at++) {
    sl_free(&world.rows[at].key);
    sl_free(&world.rows[at].value);
  }
  world.rows_len = 0;
  memset(world.settings, 0, sizeof world.settings);
  world.refusal = -1;
  world.logged = 0;
}

// Sets a setting of the deployment; both texts must stay.
static inline void world_set_config(const char *key, const char *value) {
  for (size_t at = 0; at < WORLD_SETTINGS_MAX; at++) {
    if (world.settings[at].key && strcmp(world.settings[at].key, key) != 0) continue;
    world.settings[at].key = key;
    world.settings[at].value = value;
    return;
  }
  CHECK(!"there is room for one more setting");
}

// Makes one call of the handler, which should reply with this text.
static inline void world_replies(const char *file, int line, const char *key, const char *method, const char *body,
                                 const char *wanted);
#define REPLIES(key, method, body, wanted) world_replies(__FILE__, __LINE__, key, method, body, wanted)

// Makes one call of the handler, which should refuse. Its writes stay here; a cluster would take them back.
static inline void world_refuses(const char *file, int line, const char *key, const char *method, const char *body,
                                 enum sl_failure_tag tag);
#define REFUSES(key, method, body, tag) world_refuses(__FILE__, __LINE__, key, method, body, tag)

// What the bindings have

void shard_handler_list_u8_free(shard_handler_list_u8_t *bytes) {
  if (bytes->len > 0) free(bytes->ptr);
}

void shard_handler_string_free(shard_handler_string_t *text) {
  if (text->len > 0) free(text->ptr);
}

void shard_handler_string_dup(shard_handler_string_t *text, const char *other) {
  sl_bytes copy = sl_copy(other, strlen(other));
  *text = (sl_text){copy.ptr, copy.len};
}

void shard_handler_list_tuple2_list_u8_list_u8_free(shard_handler_list_tuple2_list_u8_list_u8_t *list) {
  for (size_t at = 0; at < list->len; at++) {
    shard_handler_list_u8_free(&list->ptr[at].f0);
    shard_handler_list_u8_free(&list->ptr[at].f1);
  }
  if (list->len > 0) free(list->ptr);
}

void shard_handler_list_tuple2_string_string_free(shard_handler_list_tuple2_string_string_t *list) {
  for (size_t at = 0; at < list->len; at++) {
    shard_handler_string_free(&list->ptr[at].f0);
    shard_handler_string_free(&list->ptr[at].f1);
  }
  if (list->len > 0) free(list->ptr);
}

void exports_shardloom_shard_handler_request_free(sl_request *request) {
  shard_handler_string_free(&request->key);
  shard_handler_string_free(&request->method);
  shard_handler_list_tuple2_string_string_free(&request->headers);
  shard_handler_list_u8_free(&request->body);
}

void shardloom_shard_store_store_error_free(shardloom_shard_store_store_error_t *error) {
  if (error->tag == SHARDLOOM_SHARD_STORE_STORE_ERROR_TOO_LARGE) shard_handler_string_free(&error->val.too_large);
}

void wasi_config_store_error_free(wasi_config_store_error_t *error) { shard_handler_string_free(&error->val.io); }

void shardloom_shard_shard_info_place_free(shardloom_shard_shard_info_place_t *place) {
  shard_handler_string_free(&place->node);
  shard_handler_string_free(&place->workload);
}

// What the host does

static inline bool world_refused(shardloom_shard_store_store_error_t *error) {
  if (world.refusal < 0) return false;
  error->tag = (uint8_t)world.refusal;
  if (error->tag == SHARDLOOM_SHARD_STORE_STORE_ERROR_TOO_LARGE) shard_handler_string_dup(&error->val.too_large, "too long");
  return true;
}

bool shardloom_shard_store_get(shard_handler_list_u8_t *key, shard_handler_list_u8_t *value) {
  size_t at;
  if (!world_find(*key, &at)) return false;
  *value = sl_copy(world.rows[at].value.ptr, world.rows[at].value.len);
  return true;
}

bool shardloom_shard_store_set(shard_handler_list_u8_t *key, shard_handler_list_u8_t *value,
                               shardloom_shard_store_store_error_t *error) {
  if (world_refused(error)) return false;
  size_t at;
  if (world_find(*key, &at)) {
    sl_free(&world.rows[at].value);
  } else {
    CHECK(world.rows_len < WORLD_ROWS_MAX);
    memmove(&world.rows[at + 1], &world.rows[at], (world.rows_len++ - at) * sizeof *world.rows);
    world.rows[at].key = sl_copy(key->ptr, key->len);
  }
  world.rows[at].value = sl_copy(value->ptr, value->len);
  return true;
}

bool shardloom_shard_store_delete(shard_handler_list_u8_t *key, shardloom_shard_store_store_error_t *error) {
  if (world_refused(error)) return false;
  size_t at;
  if (!world_find(*key, &at)) return true;
  sl_free(&world.rows[at].key);
  sl_free(&world.rows[at].value);
  memmove(&world.rows[at], &world.rows[at + 1], (--world.rows_len - at) * sizeof *world.rows);
  return true;
}

void shardloom_shard_store_scan(shard_handler_list_u8_t *start, shard_handler_list_u8_t *end, uint32_t limit,
                                shard_handler_list_tuple2_list_u8_list_u8_t *page) {
  page->ptr = sl_alloc(limit * sizeof *page->ptr);
  page->len = 0;
  for (size_t at = 0; at < world.rows_len && page->len < limit; at++) {
    if (world_compare(world.rows[at].key, *start) < 0 || (end && world_compare(world.rows[at].key, *end) >= 0)) continue;
    page->ptr[page->len].f0 = sl_copy(world.rows[at].key.ptr, world.rows[at].key.len);
    page->ptr[page->len++].f1 = sl_copy(world.rows[at].value.ptr, world.rows[at].value.len);
  }
  if (page->len == 0) free(page->ptr);
}

bool wasi_config_store_get(shard_handler_string_t *key, shard_handler_option_string_t *found, wasi_config_store_error_t *error) {
  (void)error;
  found->is_some = false;
  for (size_t at = 0; at < WORLD_SETTINGS_MAX && world.settings[at].key; at++) {
    if (!sl_is(*key, world.settings[at].key)) continue;
    found->is_some = true;
    shard_handler_string_dup(&found->val, world.settings[at].value);
  }
  return true;
}

void wasi_logging_logging_log(wasi_logging_logging_level_t level, shard_handler_string_t *context, shard_handler_string_t *message) {
  (void)level;
  CHECK(sl_is_utf8(sl_view(*context)) && sl_is_utf8(sl_view(*message)));
  world.logged++;
}

void shardloom_shard_shard_info_current(shardloom_shard_shard_info_place_t *place) {
  *place = (shardloom_shard_shard_info_place_t){.shard = 7, .shard_count = 1024, .epoch = 3, .version = 1};
  shard_handler_string_dup(&place->node, "00000000000000aa");
  shard_handler_string_dup(&place->workload, "test");
}

// Calls

static inline bool world_call(const char *key, const char *method, const char *body, sl_reply *reply, sl_failure *failure) {
  sl_request request = {0};
  shard_handler_string_dup(&request.key, key);
  shard_handler_string_dup(&request.method, method);
  request.body = sl_copy(body, strlen(body));
  return exports_shardloom_shard_handler_handle(&request, reply, failure);
}

static inline void world_free_reply(sl_reply *reply) {
  shard_handler_list_tuple2_string_string_free(&reply->headers);
  sl_free(&reply->body);
}

static inline void world_replies(const char *file, int line, const char *key, const char *method, const char *body,
                                 const char *wanted) {
  sl_reply reply;
  sl_failure failure;
  bool replied = world_call(key, method, body, &reply, &failure);
  if (!replied) fprintf(stderr, "%.*s\n", (int)failure.val.failed.len, (const char *)failure.val.failed.ptr);
  world_check(replied, "the handler replies", file, line);
  bool right = sl_equal(reply.body, sl_c(wanted));
  if (!right) fprintf(stderr, "%.*s\n", (int)reply.body.len, (const char *)reply.body.ptr);
  world_check(right, wanted, file, line);
  world_free_reply(&reply);
}

static inline void world_refuses(const char *file, int line, const char *key, const char *method, const char *body,
                                 enum sl_failure_tag tag) {
  sl_reply reply;
  sl_failure failure;
  world_check(!world_call(key, method, body, &reply, &failure), "the handler refuses", file, line);
  world_check(failure.tag == tag, "it refuses in this way", file, line);
  shard_handler_string_free(&failure.val.failed);
}

// The last line of a test.
static inline int world_end(void) {
  world_reset();
  printf("%zu passed, 0 failed\n", world.checks);
  return 0;
}

#endif
