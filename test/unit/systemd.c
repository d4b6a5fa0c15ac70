/* systemd.c - a driver for the sockets of host/systemd.c. The arguments are a command:
 *
 *     systemd COMMAND [ARGUMENT...]     takes the sockets, prints a line for each (number,
 *                                       label, whether it is for metrics), then executes the
 *                                       command, which shows what a child gets
 *
 * With -DFUZZ the input is the value of two variables that are meant for another process: they must
 * be removed, and their values must not matter. */

#include "host/systemd.h"

#include "base/log.h"
#include "driver.h"

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *text = bytes_new(size + 1);
    size_t count;
    memcpy(text, data, size);
    text[size] = '\0';
    log_start(LOG_ERROR);
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", text, 1);
    setenv("LISTEN_FDNAMES", text, 1);
    systemd_take_sockets();
    systemd_sockets(&count);
    check(count == 0, "sockets of another process are not taken");
    check(getenv("LISTEN_FDS") == NULL && getenv("LISTEN_FDNAMES") == NULL,
        "the variables are removed");
    free(text);
    return 0;
}

#else

int main(int argc, char **argv)
{
    size_t count;
    systemd_take_sockets();
    const struct systemd_socket *sockets = systemd_sockets(&count);
    for (size_t i = 0; i < count; i++)
        printf(
            "%d: %s%s\n", sockets[i].fd, sockets[i].label, sockets[i].is_metrics ? " metrics" : "");
    fflush(stdout);
    if (argc > 1)
        execvp(argv[1], argv + 1);
    return 0;
}

#endif
