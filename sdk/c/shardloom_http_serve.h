// Between wasi:http 0.2 and what `shardloom_http.h` makes of it: takes a request whole, and gives a response to the host.

#ifndef SHARDLOOM_HTTP_SERVE_H
#define SHARDLOOM_HTTP_SERVE_H

// Makes the component's export of a function that answers. What it leaves as it is has status 200 and no body.
#define SL_SERVE(answer)                                                                                                  \
  void exports_wasi_http_0_2_0_incoming_handler_handle(exports_wasi_http_0_2_0_incoming_handler_own_incoming_request_t in, \
                                                       exports_wasi_http_0_2_0_incoming_handler_own_response_outparam_t out) { \
    sl_request request = sl_receive(in);                                                                                  \
    sl_response response = {.status = 200};                                                                               \
    answer(&request, &response);                                                                                          \
    sl_send(&response, out);                                                                                              \
    sl_request_free(&request);                                                                                            \
  }

static inline sl_bytes sl_method_of(wasi_http_0_2_0_types_borrow_incoming_request_t request) {
  static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  wasi_http_0_2_0_types_method_t method;
  wasi_http_0_2_0_types_method_incoming_request_method(request, &method);
  if (method.tag == WASI_HTTP_0_2_0_TYPES_METHOD_OTHER) return sl_view(method.val.other);
  return sl_copy(names[method.tag], strlen(names[method.tag]));
}

static inline sl_bytes sl_body_of(wasi_http_0_2_0_types_borrow_incoming_request_t request) {
  wasi_http_0_2_0_types_own_incoming_body_t body;
  wasi_http_0_2_0_types_own_input_stream_t stream;
  if (!wasi_http_0_2_0_types_method_incoming_request_consume(request, &body)) return (sl_bytes){NULL, 0};
  if (!wasi_http_0_2_0_types_method_incoming_body_stream(wasi_http_0_2_0_types_borrow_incoming_body(body), &stream)) __builtin_trap();
  sl_buffer whole = {0};
  for (;;) {
    sl_bytes part;
    wasi_io_streams_stream_error_t error;
    if (!wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream), 1 << 16, &part, &error)) {
      bool ended = error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;
      wasi_io_streams_stream_error_free(&error);
      // A body that breaks off is no request.
      if (!ended) __builtin_trap();
      break;
    }
    sl_append(&whole, part.ptr, part.len);
    sl_free(&part);
  }
  wasi_io_streams_input_stream_drop_own(stream);
  wasi_http_0_2_0_types_incoming_body_drop_own(body);
  return sl_view_buffer(&whole);
}

static inline sl_request sl_receive(wasi_http_0_2_0_types_own_incoming_request_t incoming) {
  wasi_http_0_2_0_types_borrow_incoming_request_t in = wasi_http_0_2_0_types_borrow_incoming_request(incoming);
  sl_request request = {.method = sl_method_of(in)};
  sl_text target;
  if (wasi_http_0_2_0_types_method_incoming_request_path_with_query(in, &target)) {
    request.path = sl_view(target);
    uint8_t *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;
    if (mark) {
      request.path.len = (size_t)(mark - target.ptr);
      request.query = (sl_bytes){mark + 1, target.len - request.path.len - 1};
    }
  }
  wasi_http_0_2_0_types_own_headers_t headers = wasi_http_0_2_0_types_method_incoming_request_headers(in);
  wasi_http_0_2_0_types_method_fields_entries(wasi_http_0_2_0_types_borrow_fields(headers), &request.headers);
  wasi_http_0_2_0_types_fields_drop_own(headers);
  request.body = sl_body_of(in);
  wasi_http_0_2_0_types_incoming_request_drop_own(incoming);
  return request;
}

static inline void sl_headers_free(sl_headers *headers) {
  for (size_t at = 0; at < headers->len; at++) {
    if (headers->ptr[at].f0.len > 0) free(headers->ptr[at].f0.ptr);
    if (headers->ptr[at].f1.len > 0) free(headers->ptr[at].f1.ptr);
  }
  if (headers->len > 0) free(headers->ptr);
  *headers = (sl_headers){NULL, 0};
}

static inline void sl_request_free(sl_request *request) {
  sl_free(&request->method);
  // The query is a part of what the path begins.
  if (request->path.ptr) free(request->path.ptr);
  sl_headers_free(&request->headers);
  sl_free(&request->body);
}

// Writes bytes, as many at once as the host takes: one flush for each few thousand would cost more than all else.
static inline void sl_write(wasi_io_streams_borrow_output_stream_t stream, sl_bytes bytes) {
  while (bytes.len > 0) {
    uint64_t room;
    wasi_io_streams_stream_error_t gone;
    bool takes = wasi_io_streams_method_output_stream_check_write(stream, &room, &gone);
    if (takes && room == 0) {
      wasi_io_poll_own_pollable_t ready = wasi_io_streams_method_output_stream_subscribe(stream);
      wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
      wasi_io_poll_pollable_drop_own(ready);
      continue;
    }
    sl_bytes part = {bytes.ptr, bytes.len};
    if (takes && room < part.len) part.len = (size_t)room;
    if (!takes || !wasi_io_streams_method_output_stream_write(stream, &part, &gone)) {
      // The host has heard enough.
      wasi_io_streams_stream_error_free(&gone);
      return;
    }
    bytes = (sl_bytes){bytes.ptr + part.len, bytes.len - part.len};
  }
}

// Gives a response to the host. A header or a status that is none is a mistake of the handler, and a trap.
static inline void sl_send(sl_response *response, wasi_http_0_2_0_types_own_response_outparam_t out) {
  wasi_http_0_2_0_types_own_fields_t fields;
  wasi_http_0_2_0_types_header_error_t wrong;
  if (!wasi_http_0_2_0_types_static_fields_from_list(&response->headers, &fields, &wrong)) __builtin_trap();
  wasi_http_0_2_0_types_result_own_outgoing_response_error_code_t result = {.is_err = false};
  result.val.ok = wasi_http_0_2_0_types_constructor_outgoing_response(fields);
  wasi_http_0_2_0_types_borrow_outgoing_response_t to = wasi_http_0_2_0_types_borrow_outgoing_response(result.val.ok);
  wasi_http_0_2_0_types_own_outgoing_body_t body;
  if (!wasi_http_0_2_0_types_method_outgoing_response_set_status_code(to, response->status)) __builtin_trap();
  if (!wasi_http_0_2_0_types_method_outgoing_response_body(to, &body)) __builtin_trap();
  wasi_http_0_2_0_types_static_response_outparam_set(out, &result);
  wasi_http_0_2_0_types_own_output_stream_t stream;
  if (!wasi_http_0_2_0_types_method_outgoing_body_write(wasi_http_0_2_0_types_borrow_outgoing_body(body), &stream)) __builtin_trap();
  sl_write(wasi_io_streams_borrow_output_stream(stream), response->body);
  wasi_io_streams_output_stream_drop_own(stream);
  wasi_http_0_2_0_types_error_code_t error;
  wasi_http_0_2_0_types_static_outgoing_body_finish(body, NULL, &error);
  sl_headers_free(&response->headers);
  sl_free(&response->body);
}

#endif
