/* metrics.c - formats the metrics as text (Prometheus exposition format 0.0.4).
 *
 *      # HELP ssechat_streams Streams and long polls that are open.
 *      # TYPE ssechat_streams gauge
 *      ssechat_streams 1234
 *
 * Each floor counts what it causes, and has a function that returns the count: this file only
 * formats. Names and units follow Prometheus' conventions: base units (seconds, bytes), `_total`
 * for what only grows until the server ends. A label has a fixed set of values, which are there
 * from the start, with 0: so a rate is right even for the first event, and the answer stays small.
 * No metric has a label for rooms, names or addresses, because clients choose those, and could make
 * the answer and the memory of Prometheus grow without end. What the server cannot know (without a
 * journal, without /proc) is left out.
 *
 * The answer is never shared with pages of other origins, whatever --cors says: unlike the chat,
 * nothing here is for browsers. */

#include "api/metrics.h"

#include "api/answer.h"
#include "api/events.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "base/process.h"
#include "base/uri.h"
#include "hub/survey.h"
#include "net/limits.h"
#include "net/reply.h"
#include "net/tally.h"

static const struct hub *hub; /* all borrowed from sse.c */
static const struct keeper *keeper;
static const struct histogram *turns;
static const char *version;
static uint64_t start_ms; /* Unix time */

void metrics_start(const struct hub *streams, const struct keeper *store,
    const struct histogram *loop, const char *name)
{
    hub = streams;
    keeper = store;
    turns = loop;
    version = name;
    start_ms = clock_unix_ms();
}

/* ==== The format ============================================================================= */

static void begin(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Writes a metric that is one number. */
static void add(
    struct buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    begin(out, name, type, help);
    buffer_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

/* Writes one number of a metric that has a label. */
static void add_labelled(
    struct buffer *out, const char *name, const char *label, const char *value, uint64_t number)
{
    buffer_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)number);
}

/* Writes a time, which is counted in microseconds, in seconds: as short as possible, because a
 * query compares the bounds of buckets as texts, "0.001" or "5". */
static void add_seconds(struct buffer *out, uint64_t us)
{
    char text[PRINT_DECIMAL_BYTES + 8];
    size_t len = print_into(text, sizeof text, "%llu.%06llu", (unsigned long long)(us / 1000000),
        (unsigned long long)(us % 1000000));
    while (text[len - 1] == '0')
        len--;
    len -= text[len - 1] == '.';
    buffer_add(out, (struct span) { text, len });
}

static void add_time(
    struct buffer *out, const char *name, const char *type, const char *help, uint64_t us)
{
    begin(out, name, type, help);
    buffer_printf(out, "%s ", name);
    add_seconds(out, us);
    buffer_add(out, SPAN("\n"));
}

/* Writes a histogram. Its buckets are cumulative: each includes the ones before. */
static void add_histogram(
    struct buffer *out, const char *name, const char *help, const struct histogram *h)
{
    uint64_t count = 0;
    begin(out, name, "histogram", help);
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        count += h->counts[i];
        buffer_printf(out, "%s_bucket{le=\"", name);
        if (i < HISTOGRAM_BOUNDS)
            add_seconds(out, histogram_bounds_us[i]);
        else
            buffer_add(out, SPAN("+Inf"));
        buffer_printf(out, "\"} %llu\n", (unsigned long long)count);
    }
    buffer_printf(out, "%s_sum ", name);
    add_seconds(out, h->sum_us);
    buffer_printf(out, "\n%s_count %llu\n", name, (unsigned long long)count);
}

/* ==== The metrics ============================================================================ */

static void add_hub(struct buffer *out)
{
    struct survey s = survey_hub(hub);
    add(out, "ssechat_rooms", "gauge", "Rooms that have streams or messages.", s.rooms);
    add(out, "ssechat_messages_total", "counter", "Messages that were published.", s.published);
    add(out, "ssechat_deliveries_total", "counter",
        "Streams in the room of each published message, summed.", s.delivered);
    add(out, "ssechat_history_messages", "gauge", "Messages held for readers that come later.",
        s.messages);
    add(out, "ssechat_history_bytes", "gauge", "Bytes of these messages.", s.bytes);
    add(out, "ssechat_blocked_streams", "gauge", "Streams that wait until their clients read.",
        s.blocked);
    add(out, "ssechat_lag_bytes", "gauge",
        "The most bytes of one room that a blocked stream has still to get.", survey_lag(hub));
}

static void add_connections(struct buffer *out)
{
    static const char *const classes[] = { "2xx", "3xx", "4xx", "5xx" };
    const char *name = "ssechat_responses_total";
    add(out, "ssechat_streams", "gauge", "Streams and long polls that are open.", limits_streams());
    add(out, "ssechat_streams_allowed", "gauge", "The most streams that may be open at a time.",
        limits_streams_allowed());
    add(out, "ssechat_streams_opened_total", "counter", "Streams and long polls that were opened.",
        limits_streams_opened());
    add(out, "ssechat_connections", "gauge", "Connections that are open, streams included.",
        limits_connections());
    add(out, "ssechat_sent_bytes_total", "counter", "Bytes sent to clients.", tally_sent_bytes());
    begin(out, name, "counter", "Responses, by the class of their status.");
    for (int i = 0; i < 4; i++)
        add_labelled(out, name, "status", classes[i], reply_count(i + 2));
}

static void add_reasons(struct buffer *out)
{
    const char *name = "ssechat_closes_total", *word;
    uint64_t count;
    begin(out, name, "counter", "Connections that have ended, by reason.");
    for (unsigned i = 0; tally_closes(i, &word, &count); i++)
        add_labelled(out, name, "reason", word, count);
    name = "ssechat_refused_total";
    begin(out, name, "counter", "What was refused because of a limit.");
    for (int i = 0; i < LIMITS_REFUSED; i++)
        add_labelled(out, name, "reason", limits_word((enum limits_refused)i),
            limits_refused((enum limits_refused)i));
    name = "ssechat_replays_total";
    begin(out, name, "counter", "Streams that continued after an event id, by what they missed.");
    for (int i = 0; i < GAP_COUNT; i++)
        add_labelled(out, name, "result",
            i == GAP_NONE ? "complete" : history_gap_word((enum gap)i),
            events_replays((enum gap)i));
}

static void add_journal(struct buffer *out)
{
    const struct histogram *syncs;
    if (keeper->measure == NULL)
        return;
    add(out, "ssechat_journal_bytes", "gauge", "Size of the journal.",
        keeper->measure(keeper, &syncs));
    add(out, "ssechat_journal_failing", "gauge", "1 if no message can be kept now, otherwise 0.",
        keeper->trouble(keeper) != NULL);
    add_histogram(
        out, "ssechat_journal_sync_seconds", "How long the journal's disk took to sync.", syncs);
}

/* Writes the metrics that all programs have, under the names that they have everywhere. */
static void add_process(struct buffer *out)
{
    struct process p;
    process_read(&p);
    add_time(out, "process_cpu_seconds_total", "counter", "Processor time in user and kernel mode.",
        p.cpu_us);
    add_time(
        out, "process_start_time_seconds", "gauge", "Unix time of the start.", start_ms * 1000);
    if (p.resident > 0) {
        add(out, "process_resident_memory_bytes", "gauge", "Memory in use.", p.resident);
        add(out, "process_virtual_memory_bytes", "gauge", "Address space.", p.virtual);
    }
    if (p.open_fds > 0)
        add(out, "process_open_fds", "gauge", "Open descriptors.", p.open_fds);
    if (p.max_fds > 0)
        add(out, "process_max_fds", "gauge", "The most descriptors that may be open.", p.max_fds);
}

static void add_program(struct buffer *out)
{
    const char *name = "ssechat_build_info";
    add_histogram(out, "ssechat_turn_seconds", "How long a turn of the event loop took.", turns);
    add(out, "ssechat_log_dropped_total", "counter", "Lines of the log that could not be written.",
        log_dropped());
    begin(out, name, "gauge", "The version of the program.");
    add_labelled(out, name, "version", version, 1);
}

/* ==== Requests =============================================================================== */

/* The client counts against no address, so no field of a proxy matters. */
static bool identify(struct client *c)
{
    (void)c;
    return true;
}

/* Checks the path before the method, like routes.c: 404 for a path that does not exist says more
 * than 405. */
static bool admit(struct client *c)
{
    const struct http_request *r = exchange_request(c);
    if (!uri_means(http_span(r->path, exchange_bytes(c)), SPAN("/metrics")))
        answer_problem(c, 404, "This address serves only the metrics; get /metrics.");
    else if (r->method == HTTP_UNKNOWN_METHOD)
        answer_problem(c, 501, "The server does not know this method; use GET or HEAD.");
    else if (r->method != HTTP_GET && r->method != HTTP_HEAD)
        answer_problem_with(c, 405, "Allow: GET, HEAD\r\n", "Metrics can only be read; use GET.");
    else
        return true;
    return false;
}

/* HEAD makes no page, so it does not say how long one would be. */
static void handle(struct client *c)
{
    struct buffer page = { 0 };
    if (!answer_is_head(c)) {
        add_connections(&page);
        add_hub(&page);
        add_reasons(&page);
        add_journal(&page);
        add_program(&page);
        add_process(&page);
    }
    answer_begin_private(c, 200);
    answer_end(c, SPAN("text/plain; version=0.0.4; charset=utf-8"), &page);
    buffer_free(&page);
}

static void refuse(struct client *c, const struct refusal *why)
{
    answer_refusal(c, why);
}

/* No limit per address applies: a monitor on the machine of a proxy, or of an attacker, must see
 * the server just when these limits are reached. */
const struct handlers metrics_handlers = { identify, admit, handle, refuse, "metrics", true };
