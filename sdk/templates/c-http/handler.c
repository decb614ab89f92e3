// Counts visits: `GET /ada` answers how often Ada's page has been looked at. Any host of wasi:http and wasi:keyvalue runs it.

#include "shardloom_http.h"

static void count(sl_bytes name, sl_response *response) {
  sl_bucket visits;
  int64_t sum;
  if (!sl_open("visits", &visits, response)) return;
  if (sl_increment(visits, name, 1, &sum, response)) {
    sl_buffer text = {0};
    sl_append(&text, name.ptr, name.len);
    sl_append_c(&text, " has been visited ");
    sl_append_decimal(&text, (uint64_t)sum);
    sl_append_c(&text, " times\n");
    sl_respond_take_text(response, 200, text);
  }
  sl_close(visits);
}

static void answer(sl_request *request, sl_response *response) {
  sl_bytes name;
  if (!sl_equal(request->method, sl_c("GET"))) {
    sl_respond(response, 405, "there is GET\n");
  } else if (!sl_segment(request, 0, &name)) {
    sl_respond(response, 400, "the path must be percent-encoded UTF-8\n");
  } else {
    count(name, response);
    sl_free(&name);
  }
}

SL_SERVE(answer)
