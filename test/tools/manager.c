/* manager.c - plays the service manager: executes a program in its own place, as a service.
 *
 *     manager [OPTION...] PROGRAM [ARGUMENT...]
 *
 *     --notify SOCKET   NOTIFY_SOCKET: a path, or @NAME
 *     --out FILE        write a line for each message: MILLISECONDS PID NAME=VALUE|NAME=VALUE
 *     --hold FILE       read no message while FILE exists
 *     --full            begin with a queue that takes no more messages (needs --hold)
 *     --watchdog MS     WATCHDOG_USEC and WATCHDOG_PID
 *     --listen WHAT     pass a socket: 4, 6 (on loopback, with a free port), unix:PATH; or what a
 *                       server cannot use: udp, connected
 *     --keep            keep the sockets open, as a service manager does (needs --notify)
 *     --names NAMES     LISTEN_FDNAMES
 *     --env NAME=VALUE  overrides a variable that the options above set; NAME= removes it
 *
 * The program keeps this process's id, so that a script can signal it. The messages are read by
 * another process, which is no child of the program, and ends after it. */

#include "tool.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum { SOCKETS_MAX = 32, FIRST_FD = 3, FILES_ABOVE = 100 };

static const char *notify, *out, *hold;
static bool full, keep;
static int sockets[SOCKETS_MAX], socket_count;
static const char *overrides[SOCKETS_MAX];
static int override_count;

/* ---- Messages ---- */

static int bind_unix(const char *name, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(name);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (len + (name[0] != '@') > sizeof address.sun_path)
        fail("%s is too long", name);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    len += offsetof(struct sockaddr_un, sun_path) + (name[0] != '@');
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, (socklen_t)len) < 0)
        fail("%s: %s", name, strerror(errno));
    return fd;
}

/* Sends to a socket until its queue is full. The kernel keeps these messages after the sender has
 * closed its socket. */
static void fill(int to)
{
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    getsockname(to, (struct sockaddr *)&address, &len);
    while (sendto(fd, "FILL", 4, MSG_DONTWAIT, (struct sockaddr *)&address, len) > 0)
        ;
    if (errno != EAGAIN)
        fail("filling the queue: %s", strerror(errno));
    close(fd);
}

/* Writes one message, with the id of the process that the kernel names as its sender. */
static void write_message(const char *text, size_t len, pid_t sender, int64_t begin_us)
{
    char line[4200];
    int head = snprintf(
        line, sizeof line, "%lld %d ", (long long)((now_us() - begin_us) / 1000), (int)sender);
    for (size_t i = 0; i < len; i++)
        line[(size_t)head + i] = text[i] == '\n' ? '|' : text[i];
    line[(size_t)head + len] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)head + len + 1) < 0)
        _exit(1);
}

/* Reads one message. Returns false if there is none. */
static bool read_message(int fd, int64_t begin_us)
{
    char text[4096];
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec piece = { text, sizeof text };
    struct msghdr message = { .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control };
    struct ucred from = { .pid = 0 };
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
    if (n < 0)
        return false;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c != NULL && c->cmsg_type == SCM_CREDENTIALS)
        memcpy(&from, CMSG_DATA(c), sizeof from);
    if (n != 4 || memcmp(text, "FILL", 4) != 0)
        write_message(text, (size_t)n, from.pid, begin_us);
    return true;
}

/* Reads messages until the program has ended. */
__attribute__((noreturn)) static void read_messages(int fd, pid_t program)
{
    int64_t begin_us = now_us();
    int end = (int)syscall(SYS_pidfd_open, program, 0);
    for (int i = 0; i < socket_count && !keep; i++)
        close(sockets[i]);
    int file = open(out, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (end < 0 || file < 0 || dup2(file, STDOUT_FILENO) < 0)
        fail("%s: %s", end < 0 ? "pidfd_open" : out, strerror(errno));
    for (bool over = false; !over;) {
        struct pollfd ready[] = { { end, POLLIN, 0 }, { fd, POLLIN, 0 } };
        if (hold != NULL && access(hold, F_OK) == 0) {
            sleep_us(10000);
            continue;
        }
        poll(ready, 2, hold != NULL ? 10 : -1);
        over = ready[0].revents != 0;
        while (read_message(fd, begin_us))
            ;
    }
    _exit(0);
}

/* Starts the reader as a grandchild, so that it is an orphan and not the program's child. */
static void start_reader(void)
{
    pid_t program = getpid();
    int on = 1, fd = bind_unix(notify, SOCK_DGRAM);
    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    if (full)
        fill(fd);
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0)
            read_messages(fd, program);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(fd);
    setenv("NOTIFY_SOCKET", notify, 1);
}

/* ---- Sockets ---- */

static int listen_on(int family, int type)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || (family == AF_INET ? bind(fd, (struct sockaddr *)&v4, sizeof v4)
                                     : bind(fd, (struct sockaddr *)&address, sizeof address)) < 0)
        fail("bind: %s", strerror(errno));
    return fd;
}

static int make_socket(const char *what)
{
    int fd, pair[2];
    if (strcmp(what, "udp") == 0)
        return listen_on(AF_INET, SOCK_DGRAM);
    if (strcmp(what, "connected") == 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
            fail("socketpair: %s", strerror(errno));
        return pair[0];
    }
    if (strncmp(what, "unix:", 5) == 0)
        fd = bind_unix(what + 5, SOCK_STREAM);
    else
        fd = listen_on(strcmp(what, "6") == 0 ? AF_INET6 : AF_INET, SOCK_STREAM);
    if (listen(fd, 4096) < 0)
        fail("listen: %s", strerror(errno));
    return fd;
}

static void set_number(const char *name, long long number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", number);
    setenv(name, text, 1);
}

/* Gives the sockets the numbers from 3 on. The copies are above them, so that no dup2 closes a
 * socket that still has to be moved; dup2 clears the close-on-exec flag. */
static void pass_sockets(void)
{
    for (int i = 0; i < socket_count; i++)
        if ((sockets[i] = fcntl(sockets[i], F_DUPFD_CLOEXEC, FILES_ABOVE)) < 0)
            fail("dup: %s", strerror(errno));
    for (int i = 0; i < socket_count; i++)
        if (dup2(sockets[i], FIRST_FD + i) < 0)
            fail("dup2: %s", strerror(errno));
    if (socket_count == 0)
        return;
    set_number("LISTEN_PID", getpid());
    set_number("LISTEN_FDS", socket_count);
}

/* ---- The command line ---- */

static void override(char *setting)
{
    char *value = strchr(setting, '=');
    if (value == NULL)
        fail("%s: expected NAME=VALUE", setting);
    *value++ = '\0';
    if (*value != '\0')
        setenv(setting, value, 1);
    else
        unsetenv(setting);
}

static void read_option(const char *name, const char *value)
{
    if (strcmp(name, "--notify") == 0)
        notify = value;
    else if (strcmp(name, "--out") == 0)
        out = value;
    else if (strcmp(name, "--hold") == 0)
        hold = value;
    else if (strcmp(name, "--names") == 0)
        setenv("LISTEN_FDNAMES", value, 1);
    else if (strcmp(name, "--watchdog") == 0) {
        set_number("WATCHDOG_USEC", atoll(value) * 1000);
        set_number("WATCHDOG_PID", getpid());
    } else if (strcmp(name, "--listen") == 0 && socket_count < SOCKETS_MAX)
        sockets[socket_count++] = make_socket(value);
    else if (strcmp(name, "--env") == 0 && override_count < SOCKETS_MAX)
        overrides[override_count++] = value;
    else
        fail("%s: there is no such option", name);
}

int main(int argc, char **argv)
{
    int i = 1;
    while (i + 1 < argc && strncmp(argv[i], "--", 2) == 0) {
        bool is_full = strcmp(argv[i], "--full") == 0, is_keep = strcmp(argv[i], "--keep") == 0;
        full = full || is_full;
        keep = keep || is_keep;
        if (!is_full && !is_keep)
            read_option(argv[i], argv[i + 1]);
        i += is_full || is_keep ? 1 : 2;
    }
    if (i >= argc || (notify == NULL) != (out == NULL) || (full && hold == NULL))
        fail("usage: manager [OPTION...] PROGRAM [ARGUMENT...]");
    if (notify != NULL)
        start_reader();
    pass_sockets();
    for (int n = 0; n < override_count; n++)
        override((char *)(uintptr_t)overrides[n]);
    execvp(argv[i], argv + i);
    fail("%s: %s", argv[i], strerror(errno));
}
