/* A disk that misbehaves, for tests: stands in for the calls of libc that touch files (LD_PRELOAD; see storage.py).

   storage_faults  calls that fail, are cut short, or change the file that is being opened
   storage_journal records what is written below a folder: enough to tell what a power cut would leave
   storage_fold    a folder in which names that differ only in case are one name */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define RULES 8
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* --- faults: "OP:ERRNO:PATH:AFTER:TIMES;..." -------------------------------------------------------------------------
   PATH is a part of the path, or its end if it ends in $. AFTER calls go well, the next TIMES fail (0: all of them). */

static struct { char op[16], path[400]; int code; long after, times, seen; } rules[RULES];
static int rule_count;
static long hit_count;

void storage_faults(const char *text) {
  char *copy = strdup(text), *rest = copy, *one;
  pthread_mutex_lock(&turn);
  memset(rules, 0, sizeof rules);
  rule_count = 0, hit_count = 0;
  while ((one = strsep(&rest, ";")) && rule_count < RULES)
    if (sscanf(one, "%15[^:]:%d:%399[^:]:%ld:%ld", rules[rule_count].op, &rules[rule_count].code,
               rules[rule_count].path, &rules[rule_count].after, &rules[rule_count].times) == 5)
      rule_count++;
  pthread_mutex_unlock(&turn);
  free(copy);
}

long storage_hits(void) { return hit_count; }

static int fits(const char *path, const char *part) {
  size_t n = strlen(path), k = strlen(part);
  if (part[k - 1] != '$') return strstr(path, part) != NULL;
  return n >= k - 1 && !strncmp(path + n - (k - 1), part, k - 1);
}

static int fault(const char *op, const char *path) {
  int code = 0;
  if (!rule_count || !path) return 0;
  pthread_mutex_lock(&turn);
  for (int i = 0; i < rule_count && !code; i++) {
    if (strcmp(rules[i].op, op) || !fits(path, rules[i].path)) continue;
    long n = ++rules[i].seen - rules[i].after;
    if (n > 0 && (!rules[i].times || n <= rules[i].times)) code = rules[i].code, hit_count++;
  }
  pthread_mutex_unlock(&turn);
  return code;
}

static const char *path_of(int fd, char *buffer) {
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, 4095);
  buffer[n > 0 ? n : 0] = 0;
  return buffer;
}

static void change(const char *path) { /* the file changes under whoever opens it */
  struct stat status;
  if (fault("shrink", path) && !syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0))
    syscall(SYS_truncate, path, status.st_size / 2);
  if (fault("vanish", path)) syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

#define FAIL(op, path) do { int code = fault(op, path); if (code) { errno = code; return -1; } } while (0)

/* --- journal: for each operation its letter, inode, offset, the lengths of two paths and of data, then these -------- */

static char root[4096];
static int journal = -1;

void storage_journal(const char *file, const char *folder) {
  if (journal >= 0) syscall(SYS_close, journal);
  snprintf(root, sizeof root, "%s", folder);
  journal = *file ? syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
}

static int inside(const char *path) { return journal >= 0 && !strncmp(path, root, strlen(root)); }

static void note(char letter, uint64_t inode, int64_t offset, const char *a, const char *b, const void *data, size_t n) {
  struct __attribute__((packed)) { char letter; uint64_t inode; int64_t offset; uint32_t a, b, data; } head = {
      letter, inode, offset, a ? strlen(a) : 0, b ? strlen(b) : 0, n};
  syscall(SYS_write, journal, &head, sizeof head);
  if (a) syscall(SYS_write, journal, a, head.a);
  if (b) syscall(SYS_write, journal, b, head.b);
  if (n) syscall(SYS_write, journal, data, n);
}

static int opened(int fd, const char *path, int flags) {
  struct stat status;
  if (fd < 0 || !inside(path) || !(flags & (O_CREAT | O_TRUNC)) || syscall(SYS_fstat, fd, &status)) return fd;
  note('C', status.st_ino, 0, path, NULL, NULL, 0);
  if (flags & O_TRUNC) note('T', status.st_ino, 0, NULL, NULL, NULL, 0);
  return fd;
}

static ssize_t written(int fd, ssize_t n, const void *data, int64_t offset) {
  char path[4096];
  struct stat status;
  if (n <= 0 || journal < 0 || !inside(path_of(fd, path)) || syscall(SYS_fstat, fd, &status)) return n;
  if (offset < 0) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR) - n;
  note('W', status.st_ino, offset, NULL, NULL, data, n);
  return n;
}

static int synced(int fd, int result) {
  char path[4096];
  struct stat status;
  if (result || journal < 0 || !inside(path_of(fd, path)) || syscall(SYS_fstat, fd, &status)) return result;
  note(S_ISDIR(status.st_mode) ? 'D' : 'F', status.st_ino, 0, path, NULL, NULL, 0);
  return result;
}

static int resized(int fd, int result, int64_t size) {
  char path[4096];
  struct stat status;
  if (result || journal < 0 || !inside(path_of(fd, path)) || syscall(SYS_fstat, fd, &status)) return result;
  note('T', status.st_ino, size, NULL, NULL, NULL, 0);
  return result;
}

static int named(char letter, int result, const char *a, const char *b) {
  if (!result && journal >= 0 && inside(b ? b : a)) note(letter, 0, 0, a, b, NULL, 0);
  return result;
}

/* --- names that differ only in case ---------------------------------------------------------------------------------- */

static char folding[4096];

void storage_fold(const char *folder) { snprintf(folding, sizeof folding, "%s", folder); }

static const char *folded(const char *path, char *buffer) {
  size_t n = strlen(folding);
  if (!n || !path || strncmp(path, folding, n)) return path;
  snprintf(buffer, 4096, "%s", path);
  for (char *c = buffer + n; *c; c++) *c = tolower((unsigned char)*c);
  return buffer;
}

/* --- the calls themselves ------------------------------------------------------------------------------------------- */

#define ORDERED(value) ({ int keep = journal >= 0; if (keep) { pthread_mutex_lock(&turn); } __typeof__(value) r_ = (value); \
                          if (keep) { pthread_mutex_unlock(&turn); } r_; })
#define MODE(flags) ({ va_list list; va_start(list, flags); int m_ = va_arg(list, int); va_end(list); m_; })

#define OPEN(name) int name(const char *given, int flags, ...) { \
  char buffer[4096]; const char *path = folded(given, buffer); int mode = MODE(flags); \
  change(path); FAIL("open", path); return ORDERED(opened(REAL(name)(path, flags, mode), path, flags)); }
OPEN(open) OPEN(open64)
#define OPENAT(name) int name(int folder, const char *given, int flags, ...) { \
  char buffer[4096]; const char *path = folded(given, buffer); int mode = MODE(flags); \
  change(path); FAIL("open", path); return ORDERED(opened(REAL(name)(folder, path, flags, mode), path, flags)); }
OPENAT(openat) OPENAT(openat64)

#define SHORT(op, n) (rule_count && (n) > 7 && fault(op, path) ? 7 : (n))
ssize_t read(int fd, void *data, size_t n) {
  char path[4096] = "";
  if (rule_count) { path_of(fd, path); FAIL("read", path); n = SHORT("shortread", n); }
  return REAL(read)(fd, data, n);
}
#define PREAD(name) ssize_t name(int fd, void *data, size_t n, off_t at) { char path[4096]; \
  if (rule_count) FAIL("read", path_of(fd, path)); return REAL(name)(fd, data, n, at); }
PREAD(pread) PREAD(pread64)
ssize_t write(int fd, const void *data, size_t n) {
  char path[4096] = "";
  if (rule_count) { path_of(fd, path); FAIL("write", path); n = SHORT("shortwrite", n); }
  return ORDERED(written(fd, REAL(write)(fd, data, n), data, -1));
}
#define PWRITE(name) ssize_t name(int fd, const void *data, size_t n, off_t at) { char path[4096]; \
  if (rule_count) FAIL("write", path_of(fd, path)); return ORDERED(written(fd, REAL(name)(fd, data, n, at), data, at)); }
PWRITE(pwrite) PWRITE(pwrite64)
#define SYNC(name) int name(int fd) { char path[4096]; \
  if (rule_count) FAIL("fsync", path_of(fd, path)); return ORDERED(synced(fd, REAL(name)(fd))); }
SYNC(fsync) SYNC(fdatasync)
#define RESIZE(name) int name(int fd, off_t size) { return ORDERED(resized(fd, REAL(name)(fd, size), size)); }
RESIZE(ftruncate) RESIZE(ftruncate64)
int close(int fd) {
  char path[4096];
  int code = rule_count ? fault("close", path_of(fd, path)) : 0, result = REAL(close)(fd);
  if (code) { errno = code; return -1; }
  return result;
}
int flock(int fd, int operation) {
  char path[4096];
  if (rule_count) FAIL("flock", path_of(fd, path));
  return REAL(flock)(fd, operation);
}
int rename(const char *from, const char *to) {
  char a[4096], b[4096];
  from = folded(from, a), to = folded(to, b);
  FAIL("rename", to);
  return ORDERED(named('R', REAL(rename)(from, to), from, to));
}
int unlink(const char *path) { char b[4096]; path = folded(path, b); FAIL("unlink", path);
  return ORDERED(named('U', REAL(unlink)(path), path, NULL)); }
int rmdir(const char *path) { char b[4096]; path = folded(path, b); return ORDERED(named('U', REAL(rmdir)(path), path, NULL)); }
int mkdir(const char *path, mode_t mode) { char b[4096]; path = folded(path, b); FAIL("mkdir", path);
  return ORDERED(named('M', REAL(mkdir)(path, mode), path, NULL)); }
#define STAT(name, type) int name(const char *path, struct type *status) { \
  char b[4096]; path = folded(path, b); FAIL("stat", path); return REAL(name)(path, status); }
STAT(stat, stat) STAT(stat64, stat64) STAT(lstat, stat) STAT(lstat64, stat64)
#define STATAT(name, type) int name(int folder, const char *path, struct type *status, int flags) { \
  char b[4096]; path = folded(path, b); FAIL("stat", path); return REAL(name)(folder, path, status, flags); }
STATAT(fstatat, stat) STATAT(fstatat64, stat64)
int access(const char *path, int mode) { char b[4096]; return REAL(access)(folded(path, b), mode); }
DIR *opendir(const char *path) {
  char b[4096];
  int code = fault("open", path = folded(path, b));
  if (code) { errno = code; return NULL; }
  return REAL(opendir)(path);
}
