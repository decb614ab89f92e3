// What handlers of both styles work with: bytes, text that grows, settings and the log. `shardloom.h` and `shardloom_http.h` include
// it, after the types of the bindings that it needs: sl_bytes, sl_text and sl_option_text.

#ifndef SHARDLOOM_BASE_H
#define SHARDLOOM_BASE_H

// Bytes

static inline void *sl_alloc(size_t len) {
  void *memory = malloc(len ? len : 1);
  if (!memory) __builtin_trap();
  return memory;
}

static inline void sl_free(sl_bytes *bytes) {
  if (bytes->len > 0) free(bytes->ptr);
  *bytes = (sl_bytes){NULL, 0};
}

static inline sl_bytes sl_copy(const void *bytes, size_t len) {
  if (len == 0) return (sl_bytes){NULL, 0};
  return (sl_bytes){memcpy(sl_alloc(len), bytes, len), len};
}

// The bytes of a text of the bindings, and of one of C: a view of them, not to be freed.
static inline sl_bytes sl_view(sl_text text) { return (sl_bytes){text.ptr, text.len}; }
static inline sl_bytes sl_c(const char *text) { return (sl_bytes){(uint8_t *)(uintptr_t)text, strlen(text)}; }

static inline bool sl_equal(sl_bytes a, sl_bytes b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

// Whether a text of the bindings, such as `request->method`, says this.
static inline bool sl_is(sl_text text, const char *other) { return sl_equal(sl_view(text), sl_c(other)); }

static inline bool sl_is_utf8(sl_bytes bytes) {
  for (size_t at = 0; at < bytes.len;) {
    uint8_t first = bytes.ptr[at++];
    if (first < 0x80) continue;
    size_t more = first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0;
    if (more == 0 || bytes.len - at < more) return false;
    uint8_t second = bytes.ptr[at];
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return false;
    if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return false;
    for (; more > 0; more--) {
      if ((bytes.ptr[at++] & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

// Reads digits, and nothing else, as a number that is at most `most`.
static inline bool sl_decimal(sl_bytes text, uint64_t most, uint64_t *number) {
  uint64_t sum = 0;
  for (size_t at = 0; at < text.len; at++) {
    unsigned digit = (unsigned)text.ptr[at] - '0';
    if (digit > 9 || sum > (UINT64_MAX - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  if (text.len == 0 || sum > most) return false;
  *number = sum;
  return true;
}

// Text that grows

typedef struct {
  uint8_t *ptr;
  size_t len;
  size_t room;
} sl_buffer;

static inline void sl_append(sl_buffer *buffer, const void *bytes, size_t len) {
  if (len == 0) return;
  if (buffer->room - buffer->len < len) {
    size_t room = buffer->room < 64 ? 64 : buffer->room * 2;
    if (room - buffer->len < len) room = buffer->len + len;
    uint8_t *ptr = realloc(buffer->ptr, room);
    if (!ptr) __builtin_trap();
    buffer->ptr = ptr;
    buffer->room = room;
  }
  memcpy(buffer->ptr + buffer->len, bytes, len);
  buffer->len += len;
}

static inline void sl_append_c(sl_buffer *buffer, const char *text) { sl_append(buffer, text, strlen(text)); }

static inline void sl_append_decimal(sl_buffer *buffer, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  sl_append(buffer, digits + at, sizeof digits - at);
}

// Appends text as JSON says it, quotes included.
static inline void sl_append_json(sl_buffer *buffer, sl_bytes text) {
  static const char hex[] = "0123456789abcdef";
  static const char escapes[] = "btn\0fr";
  sl_append_c(buffer, "\"");
  for (size_t at = 0; at < text.len; at++) {
    uint8_t c = text.ptr[at];
    if (c == '"' || c == '\\') {
      sl_append(buffer, (char[]){'\\', (char)c}, 2);
    } else if (c >= '\b' && c <= '\r' && escapes[c - '\b']) {
      sl_append(buffer, (char[]){'\\', escapes[c - '\b']}, 2);
    } else if (c < ' ') {
      sl_append(buffer, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    } else {
      sl_append(buffer, &c, 1);
    }
  }
  sl_append_c(buffer, "\"");
}

static inline sl_bytes sl_view_buffer(const sl_buffer *buffer) { return (sl_bytes){buffer->ptr, buffer->len}; }

// Settings and log

// Reads a setting of the deployment; false where it is not set or cannot be read.
static inline bool sl_config(sl_bytes key, sl_bytes *value) {
  sl_text name = {key.ptr, key.len};
  sl_option_text found;
  wasi_config_store_error_t error;
  if (!wasi_config_store_get(&name, &found, &error)) {
    wasi_config_store_error_free(&error);
    return false;
  }
  if (!found.is_some) return false;
  *value = sl_view(found.val);
  return true;
}

// Writes to the node's log; `level` is one of WASI_LOGGING_LOGGING_LEVEL_*. Both texts must be UTF-8.
static inline void sl_log(wasi_logging_logging_level_t level, const char *context, sl_bytes message) {
  sl_text where = {sl_c(context).ptr, strlen(context)};
  sl_text what = {message.ptr, message.len};
  wasi_logging_logging_log(level, &where, &what);
}

#endif
