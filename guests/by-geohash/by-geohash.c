// A shard function that keeps places together: all keys in one cell of a geohash of four characters, some 39 by 20
// kilometres, are on one shard. Written in C: what wit-bindgen makes of wit/ is in shard_function.h.
//
// A key begins with a place, in one of two forms, and may go on after a `:` or a `/`:
//
//   52.5200,13.4050:courier-7    latitude and longitude in degrees, with up to nine decimals
//   u33db2/stop-1                a geohash of four characters or more; only the first four count
//
// Both of these are in the cell `u33d`. Cells are spread over the shards by a hash, so that a city does not fill a row of
// neighbouring shards. A key that begins with no place is on the shard of its own hash, as if there were no shard function.
//
// There are no fractions here but integers of billionths of a degree, so that every machine comes to the same cell.

#include "shard_function.h"

#include <stddef.h>

// Billionths of a degree.
#define DEGREE INT64_C(1000000000)
#define DECIMALS 9
// Bits of a cell: four characters of five bits, half of them for each coordinate.
#define CHARACTERS 4
#define SIDE_BITS 10

struct text {
  const uint8_t *at, *end;
};

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static bool is_end(const struct text *text) {
  return text->at == text->end || *text->at == ':' || *text->at == '/';
}

// Reads a number of degrees of at most `most`, with a sign or without; moves on behind it.
static bool read_degrees(struct text *text, int64_t most, int64_t *degrees) {
  bool negative = text->at < text->end && *text->at == '-';
  if (negative || (text->at < text->end && *text->at == '+')) text->at++;
  int64_t whole = 0, part = 0;
  size_t digits = 0;
  for (; text->at < text->end && is_digit(*text->at) && digits < 3; text->at++, digits++) whole = whole * 10 + (*text->at - '0');
  if (digits == 0) return false;
  if (text->at < text->end && *text->at == '.') {
    size_t decimals = 0;
    for (text->at++; text->at < text->end && is_digit(*text->at) && decimals < DECIMALS; text->at++, decimals++)
      part = part * 10 + (*text->at - '0');
    if (decimals == 0) return false;
    for (; decimals < DECIMALS; decimals++) part *= 10;
  }
  int64_t size = whole * DEGREE + part;
  if (size > most * DEGREE) return false;
  *degrees = negative ? -size : size;
  return true;
}

// Which part of the way from -most to most it is, in 1,024ths; the far end belongs to the last one.
static uint32_t side(int64_t degrees, int64_t most) {
  int64_t place = ((degrees + most * DEGREE) << SIDE_BITS) / (2 * most * DEGREE);
  int64_t last = (1 << SIDE_BITS) - 1;
  return (uint32_t)(place > last ? last : place);
}

static bool cell_of_degrees(struct text text, uint32_t *cell) {
  int64_t latitude, longitude;
  if (!read_degrees(&text, 90, &latitude) || text.at == text.end || *text.at != ',') return false;
  text.at++;
  if (!read_degrees(&text, 180, &longitude) || !is_end(&text)) return false;
  uint32_t x = side(longitude, 180), y = side(latitude, 90);
  *cell = 0;
  // The bits take turns, the longitude's first.
  for (int bit = SIDE_BITS - 1; bit >= 0; bit--) *cell = *cell << 2 | (x >> bit & 1) << 1 | (y >> bit & 1);
  return true;
}

static bool cell_of_geohash(struct text text, uint32_t *cell) {
  static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
  size_t length = 0;
  *cell = 0;
  for (; !is_end(&text); text.at++, length++) {
    uint8_t c = *text.at >= 'A' && *text.at <= 'Z' ? *text.at + ('a' - 'A') : *text.at;
    uint32_t value = 0;
    while (value < 32 && (uint8_t)alphabet[value] != c) value++;
    if (value == 32) return false;
    if (length < CHARACTERS) *cell = *cell << 5 | value;
  }
  return length >= CHARACTERS;
}

// Spreads the differences between near numbers over all bits (the finalizer of MurmurHash3).
static uint64_t mix(uint64_t hash) {
  hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
  hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  return hash ^ hash >> 33;
}

// FNV-1a.
static uint64_t hash_of(struct text text) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (; text.at < text.end; text.at++) hash = (hash ^ *text.at) * UINT64_C(0x100000001b3);
  return hash;
}

uint32_t exports_shard_function_shard_of(shard_function_string_t *key, uint32_t shard_count) {
  struct text text = {(const uint8_t *)key->ptr, (const uint8_t *)key->ptr + key->len};
  uint32_t cell;
  bool is_place = cell_of_degrees(text, &cell) || cell_of_geohash(text, &cell);
  // A cell of 0 would hash to 0.
  uint64_t hash = mix(is_place ? UINT64_C(0x9e3779b97f4a7c15) + cell : hash_of(text));
  shard_function_string_free(key);
  // The high bits pick the shard; always below the count.
  return (uint32_t)((hash >> 32) * shard_count >> 32);
}
