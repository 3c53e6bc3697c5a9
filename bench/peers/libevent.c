/* An echo server as users of libevent write it: a bufferevent for each connection, with a read
 * timeout, whose input becomes its output without a copy; no reading while much of that waits. */
#include "peer.h"
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>

/* What may wait before reading stops. */
enum { WAITING_MAX = 64 * 1024 };

static struct timeval timeout;

static void was_read(struct bufferevent *conn, void *unused)
{
    (void)unused;
    struct evbuffer *output = bufferevent_get_output(conn);
    bufferevent_read_buffer(conn, output);
    if (evbuffer_get_length(output) > WAITING_MAX) bufferevent_disable(conn, EV_READ);
}

static void was_written(struct bufferevent *conn, void *unused)
{
    (void)unused;
    if (!(bufferevent_get_enabled(conn) & EV_READ)) bufferevent_enable(conn, EV_READ);
}

static void last_was_written(struct bufferevent *conn, void *unused)
{
    (void)unused;
    bufferevent_free(conn);
}

static void happened(struct bufferevent *conn, short events, void *unused)
{
    (void)unused;
    int finished = (events & BEV_EVENT_EOF) && !(events & BEV_EVENT_ERROR);
    if (finished && evbuffer_get_length(bufferevent_get_output(conn)) > 0) {
        bufferevent_disable(conn, EV_READ);
        bufferevent_setcb(conn, NULL, last_was_written, happened, NULL);
    } else {
        bufferevent_free(conn);
    }
}

static void input_ended(evutil_socket_t input, short events, void *base)
{
    (void)input;
    (void)events;
    event_base_loopbreak(base);
}

static void connected(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                      int length, void *base)
{
    (void)listener;
    (void)addr;
    (void)length;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct bufferevent *conn = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!conn) fail("no memory");
    bufferevent_set_max_single_read(conn, READ_BYTES);
    bufferevent_setcb(conn, was_read, was_written, happened, NULL);
    bufferevent_set_timeouts(conn, &timeout, NULL);
    bufferevent_enable(conn, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    struct options asked = prepare(argc, argv);
    timeout.tv_sec = asked.read_timeout;
    struct event_base *base = event_base_new();
    if (!base) fail("libevent has no way to wait");
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t length = sizeof addr;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct evconnlistener *listener = evconnlistener_new_bind(
        base, connected, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 1024,
        (struct sockaddr *)&addr, sizeof addr);
    if (!listener
        || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&addr, &length) != 0)
        fail("libevent cannot listen");
    struct event *input = event_new(base, 0, EV_READ, input_ended, base);
    if (!input || event_add(input, NULL) != 0)
        fail("standard input is neither a pipe nor a terminal");
    listening(ntohs(addr.sin_port));
    return event_base_dispatch(base) < 0;
}
