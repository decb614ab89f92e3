/* Preloaded into a node: its fdatasync and fsync fail, as those of a broken disk do, once the file named by
   FSYNC_FAILS_IF is there. Before that they are the kernel's own. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_broken(void)
{
    const char *trigger = getenv("FSYNC_FAILS_IF");
    int before = errno;
    int broken = trigger != NULL && access(trigger, F_OK) == 0;
    errno = before;
    return broken;
}

static int sync_by(long call, int file)
{
    if (is_broken()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, file);
}

int fdatasync(int file) { return sync_by(SYS_fdatasync, file); }

int fsync(int file) { return sync_by(SYS_fsync, file); }
