/* commands.c - `ssechat token` signs a token and prints it; `ssechat journal` looks into a journal
 * (inspect.c); `ssechat probe` asks a server whether it is well (probe.c).
 *
 * An application signs its users in with a JSON Web Token library for its own language. This
 * command is for shell scripts, for tests, and for trying out a server. It needs the key file but
 * no running server, because a token is checked by its signature alone (auth/token.h). */

#include "host/commands.h"

#include "auth/token.h"
#include "base/clock.h"
#include "base/log.h"
#include "host/inspect.h"
#include "host/options.h"
#include "host/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Prints the token with a line end. A token that is written only partly (because the disk is full)
 * is an error, because a script would continue with half of it. */
static void write_line(struct buffer *out)
{
    buffer_add(out, SPAN("\n"));
    if (out->failed)
        log_exit(EXIT_SYSTEM, "memory: %s", strerror(errno));
    if (write(STDOUT_FILENO, out->at, out->len) != (ssize_t)out->len)
        log_exit(EXIT_SYSTEM, "standard output: %s", strerror(errno));
}

/* Checks the options before it reads the key file, so that a wrong option is reported as such (exit
 * code 2). Then it checks the token as a server would, because only the finished token shows
 * whether it is too large. The key is freed but not wiped: the process ends here. */
static int print_token(int argc, char **argv)
{
    static struct token token; /* as a server reads it; static, because it is large */
    struct token_options o;
    struct token_key key;
    struct buffer out = { 0 };
    options_read_token(&o, argc, argv);
    const char *why = token_read_key(o.key, &key);
    if (why != NULL)
        log_exit(EXIT_SYSTEM, "--key %s: %s", o.key, why);
    int64_t now = clock_now_ms(CLOCK_REALTIME) / 1000;
    token_make(&out, &key, span_of(o.sub != NULL ? o.sub : ""), o.rooms.items, o.rooms.count,
        o.publish, now, now + (int64_t)(o.ttl_ms / 1000));
    if (!out.failed && token_check(buffer_span(&out), &key, 1, now, &token) != TOKEN_GOOD)
        options_fail(
            "--rooms", "a token can have at most 64 rooms and 8192 bytes; '*' means all rooms");
    write_line(&out);
    buffer_free(&out);
    free(o.rooms.items);
    free(key.bytes);
    return 0;
}

static int inspect_journal(int argc, char **argv)
{
    struct journal_options o;
    options_read_journal(&o, argc, argv);
    return o.exports ? inspect_export(o.file, o.room) : inspect_check(o.file);
}

static int probe_server(int argc, char **argv)
{
    struct probe_options o;
    options_read_probe(&o, argc, argv);
    return probe_run(o.url, o.timeout_ms);
}

bool commands_run(int argc, char **argv, int *status)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "token") == 0)
        *status = print_token(argc - 1, argv + 1);
    else if (strcmp(word, "journal") == 0)
        *status = inspect_journal(argc - 1, argv + 1);
    else if (strcmp(word, "probe") == 0)
        *status = probe_server(argc - 1, argv + 1);
    else
        return false;
    return true;
}
