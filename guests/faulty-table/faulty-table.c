// Grows a table until it is told no, then traps: a host must name the limit. (Rust has no words for tables.)

#include "shard_handler.h"

// Elements that one growth asks for.
#define STEP 1000

__asm__(".tabletype grown, funcref\n"
        "grown:\n");

// Gives the size before, or -1.
static int grow(int elements) {
  int before;
  __asm__ volatile("ref.null_func\n"
                   "local.get %1\n"
                   "table.grow grown\n"
                   "local.set %0"
                   : "=r"(before)
                   : "r"(elements));
  return before;
}

bool exports_shardloom_shard_handler_handle(exports_shardloom_shard_handler_request_t *request,
                                            exports_shardloom_shard_handler_reply_t *reply,
                                            exports_shardloom_shard_handler_failure_t *failure) {
  (void)request;
  (void)reply;
  (void)failure;
  while (grow(STEP) != -1) {
  }
  __builtin_trap();
}
