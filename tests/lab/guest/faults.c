// SPDX-License-Identifier: MIT
// Preloaded into smbd: a file whose *name* contains slow_CALL_MS or err_CALL_ERRNO makes that
// system call on it take so many milliseconds longer, or fail with that error number. CALL is
// open, pread, pwrite, fsync, rename, unlink or mkdir: slow_pwrite_300, err_open_13.
//
// No header is included and no library linked: it is built with whatever compiler the host has,
// and its symbols bind, unversioned, to the C library of whichever userland smbd runs in.

typedef unsigned long size_t;
typedef long ssize_t;
typedef long off_t;
typedef unsigned int mode_t;

extern void *dlsym(void *handle, const char *name);
extern int *__errno_location(void);
extern int usleep(unsigned int microseconds);
extern ssize_t readlink(const char *path, char *target, size_t size);
extern char *strstr(const char *text, const char *part);
extern char *strrchr(const char *text, int character);
extern int strncmp(const char *left, const char *right, size_t size);
extern int atoi(const char *digits);
extern int snprintf(char *buffer, size_t size, const char *format, ...);

#define RTLD_NEXT ((void *)-1L)
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define PATH_BYTES 4096
#define O_PATH 010000000

static int wanted(const char *name, const char *kind, const char *call)
{
    char pattern[64];
    const char *found;

    int length = snprintf(pattern, sizeof(pattern), "%s_%s_", kind, call);
    found = strstr(name, pattern);
    return found ? atoi(found + length) : 0;
}

// Sleeps if the last component of path asks for it; returns whether the call has to fail.
static int fault(const char *call, const char *path)
{
    char target[PATH_BYTES];
    const char *name;
    int number;

    // smbd opens a path first and reopens its descriptor through /proc.
    if (!strncmp(path, "/proc/self/fd/", 14)) {
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length < 0)
            return 0;
        target[length] = 0;
        path = target;
    }
    name = strrchr(path, '/');
    name = name ? name + 1 : path;
    number = wanted(name, "slow", call);
    if (number)
        usleep(number * 1000u);
    number = wanted(name, "err", call);
    if (number)
        *__errno_location() = number;
    return number != 0;
}

// A path opened only to name the file is not yet the open that a client asked for.
static int fault_open(const char *path, int flags)
{
    return flags & O_PATH ? 0 : fault("open", path);
}

static int fault_fd(const char *call, int fd)
{
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return fault(call, link);
}

#define HOOK(type, name, parameters, failing, arguments)                                           \
    type name parameters                                                                           \
    {                                                                                              \
        static __typeof__(&name) next;                                                             \
        if (failing)                                                                               \
            return -1;                                                                             \
        if (!next)                                                                                 \
            next = NEXT(name);                                                                     \
        return next arguments;                                                                     \
    }

HOOK(int, open, (const char *path, int flags, mode_t mode), fault_open(path, flags),
     (path, flags, mode))
HOOK(int, open64, (const char *path, int flags, mode_t mode), fault_open(path, flags),
     (path, flags, mode))
HOOK(int, openat, (int at, const char *path, int flags, mode_t mode), fault_open(path, flags),
     (at, path, flags, mode))
HOOK(int, openat64, (int at, const char *path, int flags, mode_t mode), fault_open(path, flags),
     (at, path, flags, mode))
HOOK(ssize_t, pread, (int fd, void *data, size_t size, off_t at), fault_fd("pread", fd),
     (fd, data, size, at))
HOOK(ssize_t, pread64, (int fd, void *data, size_t size, off_t at), fault_fd("pread", fd),
     (fd, data, size, at))
HOOK(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), fault_fd("pwrite", fd),
     (fd, data, size, at))
HOOK(ssize_t, pwrite64, (int fd, const void *data, size_t size, off_t at), fault_fd("pwrite", fd),
     (fd, data, size, at))
HOOK(int, fsync, (int fd), fault_fd("fsync", fd), (fd))
HOOK(int, rename, (const char *old, const char *new), fault("rename", old), (old, new))
HOOK(int, renameat, (int from, const char *old, int to, const char *new), fault("rename", old),
     (from, old, to, new))
HOOK(int, renameat2, (int from, const char *old, int to, const char *new, unsigned int flags),
     fault("rename", old), (from, old, to, new, flags))
HOOK(int, unlink, (const char *path), fault("unlink", path), (path))
HOOK(int, unlinkat, (int at, const char *path, int flags), fault("unlink", path), (at, path, flags))
HOOK(int, mkdir, (const char *path, mode_t mode), fault("mkdir", path), (path, mode))
HOOK(int, mkdirat, (int at, const char *path, mode_t mode), fault("mkdir", path), (at, path, mode))
