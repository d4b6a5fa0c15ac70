/* machine.c - cores, priorities, addresses and servers.
 *
 * The server has one core and all clients another, as in test/bench/run. Among the clients the
 * bystander comes first: a real-time process does not wait for the hostile one, which uses all that
 * is left. The server has a higher priority than other work on the machine, but no process of this
 * program shares its core. Without the right to do so priorities stay as they are, and the
 * bystander's times then include the time that it waits for the core.
 *
 * The addresses are 10.x.x.x in a network namespace of this program. Addresses in 127.0.0.0/8 would
 * need no right, but a server may take loopback for a proxy, whose clients share rooms; they are
 * used only if there can be no namespace, and then no attack takes rooms. */

#include "test/bench/abuse/abuse.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { ARGUMENTS_MAX = 32, SERVER_NICE = -10 };

const char *server_path = "./ssechat";
static unsigned first_byte = 10; /* of the addresses */

/* ==== Addresses ============================================================================== */

/* Sets up the loopback interface of a new network: with 10.0.0.1/8, so that all of 10.0.0.0/8 is
 * local. Returns whether that worked. */
static bool set_up_network(void)
{
    struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP }, extra = { .ifr_name = "lo:1" };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001) };
    struct sockaddr_in mask = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xff000000) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0;
    memcpy(&extra.ifr_addr, &address, sizeof address);
    good = good && ioctl(fd, SIOCSIFADDR, &extra) == 0;
    memcpy(&extra.ifr_netmask, &mask, sizeof mask);
    good = good && ioctl(fd, SIOCSIFNETMASK, &extra) == 0;
    close(fd);
    return good;
}

void machine_prepare(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
        if (!set_up_network())
            fail("the loopback interface of a new network: %s", strerror(errno));
        return;
    }
    first_byte = 127;
    fputs("No network namespace, so all addresses are loopback addresses.\n", stderr);
}

bool machine_has_network(void)
{
    return first_byte != 127;
}

uint32_t machine_address(unsigned net, unsigned host)
{
    return first_byte << 24 | net << 16 | host;
}

int machine_connect(uint32_t address, int port)
{
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct linger reset = { .l_onoff = 1 };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS))
        fail("connect: %s", strerror(errno));
    return fd;
}

/* ==== Processes ============================================================================== */

int64_t machine_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
        fail("the CPU time of process %d cannot be read", (int)pid);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t machine_wait_ns(pid_t pid)
{
    char path[64];
    long long run, wait;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%lld %lld", &run, &wait) != 2)
        fail("%s: %s", path, strerror(errno));
    fclose(file);
    return wait;
}

/* Moves the calling process to the server's core, or to that of the clients. */
static void take_core(bool server)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(server || sysconf(_SC_NPROCESSORS_ONLN) < 2 ? 0 : 1, &cores);
    sched_setaffinity(0, sizeof cores, &cores);
}

pid_t machine_start(const char *const *options, int *port)
{
    const char *arguments[ARGUMENTS_MAX] = { server_path, "--listen", "127.0.0.1:0" };
    for (size_t i = 0; options[i] != NULL; i++)
        arguments[3 + i] = options[i];
    take_core(true);
    pid_t pid = start_server(arguments, port);
    take_core(false);
    setpriority(PRIO_PROCESS, (id_t)pid, SERVER_NICE);
    return pid;
}

pid_t machine_fork(void (*work)(void *), void *with, bool urgent)
{
    struct sched_param first = { .sched_priority = 1 };
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    tool_server = 0; /* it is the parent's */
    take_core(false);
    if (urgent && sched_setscheduler(0, SCHED_FIFO, &first) < 0)
        setpriority(PRIO_PROCESS, 0, SERVER_NICE);
    work(with);
    fflush(NULL);
    _exit(0);
}

void machine_join(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        fail("a process of the benchmark ended with status %x", (unsigned)status);
}

void *machine_share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("out of memory");
    return memory;
}
