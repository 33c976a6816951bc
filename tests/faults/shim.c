/* Counts what a process does to files below one folder, and makes the Nth of these operations fail or be its last.

   Preloaded; `shim_arm` begins, `shim_count` says how many there were. Modes: 1 the Nth fails, 2 the Nth and all after
   it fail, 3 the process is killed before the Nth, 4 the process is killed after half of the Nth, where it is a write,
   5 the process gets a signal before the Nth, 6 and another one before the next. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char below[PATH_MAX];
static long count, at, syncs;
static int mode, code, slow;
static char tracked[65536];

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void shim_arm(const char *folder, int how, long number, int error, int fsync_ms) {
    strncpy(below, folder, sizeof below - 1);
    mode = how; at = number; code = error; slow = fsync_ms; count = 0;
}

long shim_count(void) { return count; }

long shim_syncs(void) { return syncs; }

static int inside(const char *path) {
    char whole[PATH_MAX * 2] = "";
    if (!below[0] || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, PATH_MAX)) return 0;
        strcat(whole, "/");
    }
    strncat(whole, path, PATH_MAX - 1);
    return strncmp(whole, below, strlen(below)) == 0;
}

static int is_tracked(int fd) { return below[0] && fd >= 0 && fd < (int)sizeof tracked && tracked[fd]; }

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* Whether this operation fails; does not return where it is the last. */
static int fails(int is_write) {
    count++;
    if (mode == 3 && count == at) die();
    if (mode == 4 && count == at && !is_write) die();
    if ((mode == 5 || mode == 6) && count == at) kill(getpid(), code);
    if (mode == 6 && count == at + 1) kill(getpid(), code);
    if ((mode == 1 && count == at) || (mode == 2 && count >= at)) { errno = code; return 1; }
    return 0;
}

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < (int)sizeof tracked) tracked[fd] = inside(path);
    return fd;
}

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...) {                                     \
        REAL(name);                                                                  \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t bits = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                \
        int writes = flags & (O_CREAT | O_WRONLY | O_RDWR);                          \
        if (writes && inside(path) && fails(0)) return -1;                           \
        int fd = real(path, flags, bits);                                            \
        if (!writes) { if (fd >= 0 && fd < (int)sizeof tracked) tracked[fd] = 0; return fd; } \
        return opened(fd, path);                                                     \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (is_tracked(fd)) {
        if (fails(1)) return -1;
        if (mode == 4 && count == at) { real(fd, data, size / 2); die(); }
    }
    return real(fd, data, size);
}

int close(int fd) {
    REAL(close);
    if (is_tracked(fd)) {
        tracked[fd] = 0;
        if (fails(0)) { int error = errno; real(fd); errno = error; return -1; }
    }
    return real(fd);
}

int fsync(int fd) {
    REAL(fsync);
    if (slow) { usleep(1000 * slow); syncs++; }
    if (is_tracked(fd) && fails(0)) return -1;
    return real(fd);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    return is_tracked(fd) && fails(0) ? -1 : real(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    return is_tracked(fd) && fails(0) ? -1 : real(fd, size);
}

int flock(int fd, int operation) {
    REAL(flock);
    return is_tracked(fd) && fails(0) ? -1 : real(fd, operation);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return inside(to) && fails(0) ? -1 : real(from, to);
}

int unlink(const char *path) {
    REAL(unlink);
    return inside(path) && fails(0) ? -1 : real(path);
}

int rmdir(const char *path) {
    REAL(rmdir);
    return inside(path) && fails(0) ? -1 : real(path);
}

int mkdir(const char *path, mode_t bits) {
    REAL(mkdir);
    return inside(path) && fails(0) ? -1 : real(path, bits);
}

int chmod(const char *path, mode_t bits) {
    REAL(chmod);
    return inside(path) && fails(0) ? -1 : real(path, bits);
}
