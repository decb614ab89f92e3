// The rate limiter without a cluster: `sdk/c/test.sh examples/rate-limiter/limiter_test.c`.

#include "limiter.c"
#include "shardloom_world.h"

static void begin(const char *capacity, const char *per_second) {
  world_reset();
  world_set_config("capacity", capacity);
  world_set_config("per_second", per_second);
}

static void a_bucket_is_full_at_first_and_fills_as_time_goes(void) {
  begin("3", "2");
  REPLIES("ada", "take", "1000 3", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
  REPLIES("ada", "take", "1000", "{\"allowed\":false,\"left\":0,\"wait_ms\":500}");
  REPLIES("ada", "take", "1499", "{\"allowed\":false,\"left\":0,\"wait_ms\":1}");
  REPLIES("ada", "take", "1500", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
  REPLIES("ada", "show", "2500 3", "{\"allowed\":false,\"left\":2,\"wait_ms\":500}");
  REPLIES("bob", "take", "0", "{\"allowed\":true,\"left\":2,\"wait_ms\":0}");
}

static void it_never_holds_more_than_its_capacity(void) {
  begin("3", "2");
  REPLIES("ada", "take", "0 3", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
  REPLIES("ada", "show", "99999999999999", "{\"allowed\":true,\"left\":3,\"wait_ms\":0}");
  begin("1000000", "1000000");
  REPLIES("ada", "take", "0 1000000", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
  REPLIES("ada", "take", "999 999000", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
  REPLIES("ada", "show", "100000000000000 1000000", "{\"allowed\":true,\"left\":1000000,\"wait_ms\":0}");
}

static void a_clock_that_goes_back_fills_nothing(void) {
  begin("2", "1");
  REPLIES("ada", "take", "5000 2", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
  REPLIES("ada", "take", "1000", "{\"allowed\":false,\"left\":0,\"wait_ms\":1000}");
  REPLIES("ada", "take", "5999", "{\"allowed\":false,\"left\":0,\"wait_ms\":1}");
  REPLIES("ada", "take", "6000", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
}

static void what_is_refused_or_shown_changes_nothing(void) {
  begin("2", "1");
  REPLIES("ada", "show", "1000 2", "{\"allowed\":true,\"left\":2,\"wait_ms\":0}");
  CHECK(world.rows_len == 0);
  REPLIES("ada", "take", "1000", "{\"allowed\":true,\"left\":1,\"wait_ms\":0}");
  REPLIES("ada", "take", "1000 2", "{\"allowed\":false,\"left\":1,\"wait_ms\":1000}");
  REPLIES("ada", "take", "1000", "{\"allowed\":true,\"left\":0,\"wait_ms\":0}");
  REPLIES("ada", "reset", "", "");
  CHECK(world.rows_len == 0);
}

static void a_smaller_capacity_holds_at_once(void) {
  begin("10", "1");
  REPLIES("ada", "take", "1000", "{\"allowed\":true,\"left\":9,\"wait_ms\":0}");
  world_set_config("capacity", "3");
  REPLIES("ada", "show", "1000", "{\"allowed\":true,\"left\":3,\"wait_ms\":0}");
}

static void what_makes_no_sense_is_refused(void) {
  begin("3", "2");
  const char *bodies[] = {"", "now", "-1", "1 ", " 1", "1 0", "1 x", "1  1", "1 1 1", "100000000000001", "1 1000001", "1 4"};
  for (size_t at = 0; at < sizeof bodies / sizeof *bodies; at++) REFUSES("ada", "take", bodies[at], SL_INVALID);
  REFUSES("ada", "give", "1", SL_INVALID);
  REFUSES("ada", "", "1", SL_INVALID);
  const char *settings[] = {"", "0", "x", "1000001"};
  for (size_t at = 0; at < sizeof settings / sizeof *settings; at++) {
    begin(settings[at], "1");
    REFUSES("ada", "take", "1", SL_FAILED);
    begin("1", settings[at]);
    REFUSES("ada", "take", "1", SL_FAILED);
  }
  world_reset();
  REFUSES("ada", "take", "1", SL_FAILED);
  begin("3", "2");
  sl_failure failure;
  CHECK(sl_set(sl_c("ada"), sl_c("short"), &failure));
  REFUSES("ada", "take", "1", SL_FAILED);
}

int main(void) {
  a_bucket_is_full_at_first_and_fills_as_time_goes();
  it_never_holds_more_than_its_capacity();
  a_clock_that_goes_back_fills_nothing();
  what_is_refused_or_shown_changes_nothing();
  a_smaller_capacity_holds_at_once();
  what_makes_no_sense_is_refused();
  return world_end();
}
