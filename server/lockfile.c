#include "server/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define HOLDER_BYTES_MAX 200

static err_t make_dir(const char *data_dir)
{
    struct io_stat st;
    err_t err = io_stat(io_posix(), data_dir, &st);
    if (err == ERR_NOT_FOUND)
        return io_mkdir_durable(io_posix(), data_dir);
    if (err == OK && !st.is_dir)
        return err_fail(ERR_IO, "the data directory %s is not a directory", data_dir);
    return err;
}

/** What the file says, up to the end of its line; "" where it says nothing. */
static void read_holder(int fd, char holder[HOLDER_BYTES_MAX + 1])
{
    ssize_t len = pread(fd, holder, HOLDER_BYTES_MAX, 0);
    holder[MAX(len, 0)] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
}

static err_t name_holder(const char *data_dir, int fd)
{
    char holder[HOLDER_BYTES_MAX + 1];
    read_holder(fd, holder);
    if (*holder == '\0')
        return err_fail(ERR_LOCKED, "the data directory %s is in use by another process", data_dir);
    return err_fail(ERR_LOCKED, "the data directory %s is in use by another process (%s)", data_dir,
                    holder);
}

err_t lockfile_take(const char *data_dir, int *ret_fd)
{
    TRY(make_dir(data_dir));
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/lock", data_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_fail_errno(ERR_IO, "the data directory %s cannot be written", data_dir);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        lockfile_describe(fd, ""); /* over what the last holder left */
        *ret_fd = fd;
        return OK;
    }
    err_t err = errno == EAGAIN || errno == EACCES
                    ? name_holder(data_dir, fd)
                    : err_fail_errno(ERR_IO, "%s cannot be locked", path);
    close(fd);
    return err;
}

void lockfile_describe(int fd, const char *text)
{
    char line[HOLDER_BYTES_MAX];
    int len = snprintf(line, sizeof(line), "pid %ld%s%s\n", (long)getpid(),
                       *text == '\0' ? "" : ", ", text);
    len = MIN(len, (int)sizeof(line) - 1);
    /* Only a help for people: a failure changes nothing. */
    if (ftruncate(fd, 0) == 0) {
        ssize_t ignored = pwrite(fd, line, (size_t)len, 0);
        (void)ignored;
    }
}

char *lockfile_http_address(const char *data_dir)
{
    char holder[HOLDER_BYTES_MAX + 1] = "";
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/lock", data_dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        read_holder(fd, holder);
    close(fd);
    const char *address = strstr(holder, ", http ");
    if (address == NULL)
        return NULL;
    address += strlen(", http ");
    size_t len = strcspn(address, ",");
    return memchr(address, ':', len) != NULL ? xstrndup(address, len) : NULL;
}
