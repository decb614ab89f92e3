// Counts greetings: `shardloom call NAME ada --body Hello` answers how often Ada has been greeted, and how.

#include "shardloom.h"

static bool keep(sl_bytes key, uint64_t count, sl_failure *failure) {
  sl_buffer text = {0};
  sl_append_decimal(&text, count);
  bool kept = sl_set(key, sl_view_buffer(&text), failure);
  free(text.ptr);
  return kept;
}

static bool answer(sl_request *request, sl_reply *reply, sl_failure *failure) {
  if (request->body.len == 0 || !sl_is_utf8(request->body)) return sl_invalid(failure, "the body must be a greeting");
  sl_bytes key = sl_view(request->key), kept;
  uint64_t count = 0;
  if (sl_get(key, &kept)) {
    sl_decimal(kept, UINT64_MAX - 1, &count);
    sl_free(&kept);
  }
  count++;
  if (!keep(key, count, failure)) return false;
  sl_buffer text = {0};
  sl_append(&text, request->body.ptr, request->body.len);
  sl_append_c(&text, ", ");
  sl_append(&text, key.ptr, key.len);
  sl_append_c(&text, " (greeted ");
  sl_append_decimal(&text, count);
  sl_append_c(&text, " times)\n");
  return sl_reply_take_text(reply, text);
}

SL_SERVE(answer)
