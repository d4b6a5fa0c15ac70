/* abuse.h - the parts of the abuse benchmark; abuse.c says what it is for.
 *
 *      abuse.c      options, and the order of the parts
 *      machine.c    cores, priorities, addresses, servers
 *      text.c       requests, written from templates
 *      line.c       a connection with one request in flight
 *      requests.c   each URL's cheapest and dearest request
 *      costs.c      part 1: what each of those costs the server
 *      hostile.c    the hostile addresses: a process
 *      bystander.c  the bystander: a process
 *      attacks.c    part 2: what the bystander sees of each attack
 *      readers.c    part 3: large messages for thousands of readers */

#ifndef ABUSE_H
#define ABUSE_H

#include "test/bench/figures.h"

enum { RUNS_MAX = 9 };

/* Times as the options say: how often everything is measured, and for how long. */
struct plan {
    int runs;
    int64_t cost_us, attack_us;
    unsigned readers;
    bool quick;
};

/* ---- machine.c ---- */

extern const char *server_path;

/* Enters a network of its own, in which all of 10.0.0.0/8 is local. Call this first. */
void machine_prepare(void);

/* Returns whether that worked. Otherwise all addresses are loopback addresses, to which a server
 * may make exceptions. */
bool machine_has_network(void);

/* Returns an IPv4 address in host order; `net` and `host` are its second and its last two bytes. */
uint32_t machine_address(unsigned net, unsigned host);

/* Begins to connect to the server from an address; the socket does not block. Closing it sends a
 * reset, so that no port is left in TIME_WAIT. */
int machine_connect(uint32_t address, int port);

/* Starts a server with these options, up to NULL, on its core. Sets its port. */
pid_t machine_start(const char *const *options, int *port);

/* Returns the CPU time that a process has used, in nanoseconds. */
int64_t machine_cpu_ns(pid_t pid);

/* Returns how long a process has waited for its core, in nanoseconds: because of other work on the
 * machine. */
int64_t machine_wait_ns(pid_t pid);

/* Starts a process on the clients' core that runs `work` and ends. If `urgent` is set, it runs
 * before all others. */
pid_t machine_fork(void (*work)(void *), void *with, bool urgent);

/* Waits for such a process, which must exit with 0. */
void machine_join(pid_t pid);

/* Returns memory that is shared with processes started later. */
void *machine_share(size_t size);

/* ---- text.c ---- */

struct text {
    char *at; /* followed by a NUL */
    size_t len, capacity;
};

/* Appends bytes. */
void text_add(struct text *t, const void *bytes, size_t len);

/* A request as templates: <3:abc> stands for abcabcabc, and may be nested; '#' stands for a number
 * in four digits, that of the repetition around it, or else that of the request. The method is a
 * part of `target`. A body gets Content-Length, unless `fields` has Transfer-Encoding. */
struct request {
    const char *name, *target, *fields, *body;
};

/* Appends a request with this number. */
void text_request(struct text *t, const struct request *request, unsigned number);

/* ---- line.c ---- */

/* A connection with at most one request in flight, and its last answer. */
struct line {
    int fd; /* -1: none */
    uint32_t address;
    bool busy;
    int status; /* of the last answer; 0 if the connection ended before it was complete */
    const struct text *request;
    size_t sent;
    unsigned connects;
    int64_t begin_us;
    struct text answer;
};

/* Begins a request, over a new connection if there is none. The text must stay valid. */
void line_begin(struct line *l, int port, const struct text *request);

/* Returns the events to wait for. */
short line_events(const struct line *l);

/* Goes on after events. Returns whether the answer is complete, or will not come. */
bool line_move(struct line *l, int events);

/* Closes the connection. */
void line_close(struct line *l);

/* Sends one request and waits for its answer. Returns the status. */
int line_ask(struct line *l, int port, const struct text *request);

/* ---- requests.c ---- */

/* The servers of part 1 differ in their options. */
enum kind { PLAIN, MANY_ROOMS, PROXIED, KEYED, KINDS };

/* What is posted before anything is measured: this often, with numbers from 0 to numbers - 1. */
struct filling {
    enum kind kind;
    unsigned times, numbers;
    struct request request;
};

struct row {
    enum kind kind;
    struct request request;
};

extern const struct filling fillings[];
extern const struct row rows[];
extern const size_t filling_count, row_count;

/* ---- costs.c ---- */

/* Measures all rows and prints the table and its goals. */
void costs_run(const struct plan *plan);

/* ---- hostile.c ---- */

/* The attacks, in the order of the table. */
#define ATTACKS(X)                                      \
    X(NO_ATTACK, "none")                                \
    X(PAGES, "dearest pages")                           \
    X(HEADS, "HEAD of dearest pages")                   \
    X(FLOODS, "floods of `&`, commas and rooms")        \
    X(REPLAYS, "replays of 16 rooms")                   \
    X(POSTS, "large POSTs")                             \
    X(GARBAGE, "garbage into streams")                  \
    X(NAMES, "streams with long names, and many rooms") \
    X(CHURN, "new connections")                         \
    X(UNREAD, "unread answers")                         \
    X(EVERYTHING, "everything at once")

#define ATTACK_NAME(attack, text) attack,
enum attack { ATTACKS(ATTACK_NAME) ATTACK_COUNT };

/* What a hostile process does. */
struct assault {
    enum attack attack;
    unsigned addresses, net; /* machine_address(net, 1 to addresses) */
    int port;
    volatile bool stop;
    volatile uint64_t requests, connects; /* that were sent, that were opened */
};

/* Runs an assault until it is to stop. `with` is a struct assault. */
void hostile_work(void *with);

/* Fills the rooms that the attacks read, as other addresses may have done before. */
void hostile_fill(int port);

/* ---- bystander.c ---- */

enum sight { KEPT, NEW, DELIVERY, OPENING, SIGHTS };

/* What a bystander does and sees. */
struct bystander {
    unsigned streams, net;
    int64_t kept_us, new_us, post_us, opening_us; /* mean times between two requests; 0: none */
    int port;
    volatile bool ready; /* its streams are open */
    volatile bool measure, stop, done;
    struct {
        size_t count;
        double median, p99, most; /* milliseconds */
    } sights[SIGHTS];
    /* Its streams that were closed, its requests without the right answer, its messages that did
     * not arrive. */
    unsigned closed, refused, lost;
};

/* Runs a bystander until it is to stop. `with` is a struct bystander. */
void bystander_work(void *with);

/* ---- attacks.c ---- */

/* Measures all attacks, and prints the table and its goals. Returns whether nothing but a time
 * missed its goal. */
bool attacks_run(const struct plan *plan);

/* ---- readers.c ---- */

/* Measures the readers, and prints the table and its goals. Returns as attacks_run does. */
bool readers_run(const struct plan *plan);

#endif
