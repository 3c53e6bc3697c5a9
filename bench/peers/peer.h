/* What the C peers share: options, the line that says where they listen, and their end.
 *
 * A peer takes --cpu N and --read-timeout SECONDS, prints `listening ADDR pid PID`, and ends when
 * its standard input does. It has one thread: the C library's calls are dearer in a process that has
 * ever had two. */
#ifndef PEER_H
#define PEER_H

#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* As much as every server of versus reads at once. */
enum { READ_BYTES = 16 * 1024 };

struct options {
    long cpu; /* -1: any */
    long read_timeout; /* seconds */
};

static inline void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static inline long number(const char *name, const char *text)
{
    char *end;
    long value = text ? strtol(text, &end, 10) : -1;
    if (value < 0 || *end) {
        fprintf(stderr, "%s: not a number: %s\n", name, text ? text : "nothing");
        exit(2);
    }
    return value;
}

/* Reads the command line; pins this process, and lets it have as many descriptors as it may. */
static inline struct options prepare(int argc, char **argv)
{
    struct options asked = { -1, 60 };
    for (int at = 1; at < argc; at += 2) {
        if (strcmp(argv[at], "--cpu") == 0) {
            asked.cpu = number(argv[at], argv[at + 1]);
        } else if (strcmp(argv[at], "--read-timeout") == 0) {
            asked.read_timeout = number(argv[at], argv[at + 1]);
        } else {
            fprintf(stderr, "no such option: %s\n", argv[at]);
            exit(2);
        }
    }
    if (asked.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(asked.cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0) fail("this CPU cannot be had");
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return asked;
}

static inline void listening(int port)
{
    printf("listening 127.0.0.1:%d pid %d\n", port, (int)getpid());
    fflush(stdout);
}

#endif
