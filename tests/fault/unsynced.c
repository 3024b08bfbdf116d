/* Writes down what a process does to the files below a folder, so that a test can make what a disk would hold of them
 * after a loss of power: LD_PRELOAD it, with UNSYNCED_ROOT=<folder> and UNSYNCED_LOG=<file>.
 *
 * Every call is passed through. Beside it a record is appended to <file>.<pid>: which call, on which inode, which bytes.
 * tests/fault/power.py reads it. A write is noted before it is done, since a part of it may reach a disk from then on; a
 * sync after it is done, since only then it holds, with the place in the log where it began: what came later it does not
 * cover. The log itself lies in the page cache, which a killed process leaves behind.
 *
 * With UNSYNCED_FAIL=s12 the twelfth sync of such a file fails with EIO, with UNSYNCED_FAIL=w12 the twelfth write. No
 * sync of a folder fails: SQLite does not look at what comes of its own (unixSync), and a file system whose journal failed
 * takes no more writes of any kind. After a failed sync the system shows what was written, and takes it for clean: no later sync writes it again.
 *
 * Not noted: files below <folder> that end in -shm (SQLite maps them, and makes them anew after a crash), and calls that
 * neither SQLite nor the server make there: mmap, sendfile, copy_file_range, link. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEEN_MAX 4096

/* One record: this header, then `path_bytes` of path, then `data_bytes` of data. Little-endian, as the machine is. */
struct record {
    char call; /* o open, w write, t truncate, s sync, f failed sync, d sync of a directory, u unlink, r rename, m mkdir,
                  x rmdir */
    char created;
    uint16_t path_bytes;
    uint32_t data_bytes;
    uint64_t inode;
    uint64_t offset; /* of a write; the new length; or the place in the log where a sync began */
} __attribute__((packed));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static pid_t log_pid;
static dev_t device;
static ino_t seen[SEEN_MAX];
static int seen_count;

static void die(const char *why) {
    fprintf(stderr, "unsynced: %s\n", why);
    abort();
}



/* --- the log: call with the lock --- */

static void open_log(void) {
    if (log_fd >= 0 && log_pid == getpid()) return;
    const char *name = getenv("UNSYNCED_LOG");
    char path[PATH_MAX];
    if (!name) die("UNSYNCED_LOG is not set");
    snprintf(path, sizeof path, "%s.%d", name, getpid());
    if (log_fd >= 0) syscall(SYS_close, log_fd); /* the parent's */
    log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) die(path);
    log_pid = getpid();
}

static void note(struct record head, const char *path, const struct iovec *data, int count) {
    struct iovec parts[1 + 1 + 16];
    if (count > 16) die("a write of too many parts");
    size_t data_bytes = 0, path_bytes = path ? strlen(path) : 0;
    for (int at = 0; at < count; at++) data_bytes += data[at].iov_len;
    head.path_bytes = path_bytes;
    head.data_bytes = data_bytes;
    parts[0] = (struct iovec){&head, sizeof head};
    parts[1] = (struct iovec){(void *)path, path_bytes};
    memcpy(parts + 2, data, count * sizeof *data);
    open_log();
    ssize_t wrote = syscall(SYS_writev, log_fd, parts, count + 2);
    if (wrote != (ssize_t)(sizeof head + path_bytes + data_bytes)) die("the log is full");
}

static uint64_t log_end(void) {
    open_log();
    return syscall(SYS_lseek, log_fd, 0, SEEK_END);
}

/* --- which files --- */

/* The absolute path of the root or of what is below it, or NULL for any other. */
static const char *below(int folder, const char *path, char *buffer) {
    const char *root = getenv("UNSYNCED_ROOT");
    if (!root || !path) return NULL;
    if (path[0] != '/') {
        char link[64], base[PATH_MAX];
        ssize_t length;
        if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if ((length = readlink(link, base, sizeof base - 1)) < 0) return NULL;
        base[length] = 0;
        if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
        path = buffer;
    }
    size_t length = strlen(root), whole = strlen(path);
    if (strncmp(path, root, length) || (path[length] && path[length] != '/')) return NULL;
    if (whole > 4 && !strcmp(path + whole - 4, "-shm")) return NULL;
    return path;
}

static int is_seen(int fd, struct stat *status) {
    int error = errno, found = 0;
    if (seen_count && !fstat(fd, status) && status->st_dev == device)
        for (int at = 0; at < seen_count && !found; at++) found = seen[at] == status->st_ino;
    errno = error;
    return found;
}

static void opened(int fd, const char *path, int created) {
    struct stat status, known;
    if (fstat(fd, &status)) die("fstat");
    device = status.st_dev;
    if (!is_seen(fd, &known)) {
        if (seen_count == SEEN_MAX) die("too many files");
        seen[seen_count++] = status.st_ino;
    }
    note((struct record){.call = 'o', .created = created, .inode = status.st_ino}, path, NULL, 0);
}

static int open_any(int folder, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *mine = below(folder, path, buffer);
    if (!mine) return syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int was_there = !access(mine, F_OK);
    int fd = syscall(SYS_openat, folder, path, flags, mode), error = errno;
    if (fd >= 0) {
        opened(fd, mine, !was_there);
        if (was_there && flags & O_TRUNC) {
            struct stat status;
            fstat(fd, &status);
            note((struct record){.call = 't', .inode = status.st_ino}, NULL, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_any(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_any(folder, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

/* --- content --- */

/* Whether this call, with the lock, is the one that is to fail. */
static int fails(char kind) {
    static long counts[256];
    const char *plan = getenv("UNSYNCED_FAIL");
    return plan && plan[0] == kind && ++counts[(unsigned char)kind] == atol(plan + 1);
}

static ssize_t write_any(int fd, const struct iovec *data, int count, off_t offset, int is_at) {
    struct stat status;
    ssize_t wrote;
    pthread_mutex_lock(&lock);
    if (is_seen(fd, &status)) {
        if (fails('w')) {
            pthread_mutex_unlock(&lock);
            errno = EIO;
            return -1;
        }
        off_t place = is_at ? offset : (fcntl(fd, F_GETFL) & O_APPEND) ? status.st_size : lseek(fd, 0, SEEK_CUR);
        note((struct record){.call = 'w', .inode = status.st_ino, .offset = place}, NULL, data, count);
        wrote = is_at ? syscall(SYS_pwritev, fd, data, count, offset, 0) : syscall(SYS_writev, fd, data, count);
        int error = errno;
        pthread_mutex_unlock(&lock);
        errno = error;
        return wrote;
    }
    pthread_mutex_unlock(&lock);
    /* Not with the lock: a pipe may wait for ever. */
    return is_at ? syscall(SYS_pwritev, fd, data, count, offset, 0) : syscall(SYS_writev, fd, data, count);
}

#define ONE(data, count) &(struct iovec){(void *)data, count}, 1

ssize_t write(int fd, const void *data, size_t count) { return write_any(fd, ONE(data, count), 0, 0); }
ssize_t writev(int fd, const struct iovec *data, int count) { return write_any(fd, data, count, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t count, off_t at) { return write_any(fd, ONE(data, count), at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t count, off_t at) { return write_any(fd, ONE(data, count), at, 1); }

static int truncate_any(int fd, off_t length) {
    struct stat status;
    pthread_mutex_lock(&lock);
    if (is_seen(fd, &status)) note((struct record){.call = 't', .inode = status.st_ino, .offset = length}, NULL, NULL, 0);
    int result = syscall(SYS_ftruncate, fd, length), error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t length) { return truncate_any(fd, length); }
int ftruncate64(int fd, off_t length) { return truncate_any(fd, length); }

static int refuse(const char *what) {
    die(what); /* it would change a file behind the log's back */
    return -1;
}

int fallocate(int fd, int mode, off_t at, off_t length) {
    struct stat status;
    return is_seen(fd, &status) ? refuse("fallocate") : syscall(SYS_fallocate, fd, mode, at, length);
}

static int sync_any(int fd, long call) {
    struct stat status;
    pthread_mutex_lock(&lock);
    int is_mine = is_seen(fd, &status);
    uint64_t began = is_mine ? log_end() : 0;
    int is_failing = is_mine && !S_ISDIR(status.st_mode) && fails('s');
    pthread_mutex_unlock(&lock);
    int result = is_failing ? -1 : syscall(call, fd), error = is_failing ? EIO : errno;
    if (is_mine && (!result || is_failing)) {
        char kind = is_failing ? 'f' : S_ISDIR(status.st_mode) ? 'd' : 's';
        pthread_mutex_lock(&lock);
        note((struct record){.call = kind, .inode = status.st_ino, .offset = began}, NULL, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return result;
}

int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

/* --- names --- */

static int name_any(char call, const char *mine, const char *to, int result) {
    int error = errno;
    struct iovec second = {(void *)to, to ? strlen(to) : 0};
    if (!result && mine) note((struct record){.call = call}, mine, &second, to ? 1 : 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlinkat(int folder, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *mine = below(folder, path, buffer);
    pthread_mutex_lock(&lock);
    return name_any(flags & AT_REMOVEDIR ? 'x' : 'u', mine, NULL, syscall(SYS_unlinkat, folder, path, flags));
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat(int folder, const char *path, int to_folder, const char *to) {
    char buffer[PATH_MAX], to_buffer[PATH_MAX];
    const char *mine = below(folder, path, buffer), *target = below(to_folder, to, to_buffer);
    if (!mine != !target) return refuse("a rename into the folder or out of it");
    pthread_mutex_lock(&lock);
    return name_any('r', mine, target, syscall(SYS_renameat, folder, path, to_folder, to));
}

int rename(const char *path, const char *to) { return renameat(AT_FDCWD, path, AT_FDCWD, to); }

int mkdirat(int folder, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    const char *mine = below(folder, path, buffer);
    pthread_mutex_lock(&lock);
    return name_any('m', mine, NULL, syscall(SYS_mkdirat, folder, path, mode));
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
