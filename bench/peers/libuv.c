/* An echo server as users of libuv write it: `uv_try_write` for the answer, `uv_write` for what the
 * kernel had no room for, no reading meanwhile; a timer for each connection, begun anew by each
 * read. */
#include "peer.h"
#include <arpa/inet.h>
#include <uv.h>

struct conn {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    char *rest; /* what is under way in `write` */
    int open; /* handles that are */
};

static uv_loop_t *loop;
static unsigned long timeout;
static char buffer[READ_BYTES];

static void start_reading(struct conn *conn);

static void closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    if (--conn->open == 0) {
        free(conn->rest);
        free(conn);
    }
}

static void hang_up(struct conn *conn)
{
    if (uv_is_closing((uv_handle_t *)&conn->tcp)) return;
    uv_close((uv_handle_t *)&conn->tcp, closed);
    uv_close((uv_handle_t *)&conn->timer, closed);
}

static void input_ended(uv_poll_t *input, int status, int events)
{
    (void)input;
    (void)status;
    (void)events;
    exit(0);
}

static void too_silent(uv_timer_t *timer)
{
    hang_up(timer->data);
}

static void written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;
    free(conn->rest);
    conn->rest = NULL;
    if (status < 0) {
        hang_up(conn);
    } else {
        start_reading(conn);
    }
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(buffer, sizeof buffer);
}

static void was_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    if (count == 0) return;
    if (count < 0) {
        hang_up(conn);
        return;
    }
    uv_timer_again(&conn->timer);
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)count);
    int sent = uv_try_write(stream, &out, 1);
    if (sent == count) return;
    if (sent < 0 && sent != UV_EAGAIN) {
        hang_up(conn);
        return;
    }
    if (sent < 0) sent = 0;
    uv_read_stop(stream);
    conn->rest = malloc((size_t)(count - sent));
    if (!conn->rest) fail("no memory");
    memcpy(conn->rest, buf->base + sent, (size_t)(count - sent));
    out = uv_buf_init(conn->rest, (unsigned)(count - sent));
    if (uv_write(&conn->write, stream, &out, 1, written) != 0) hang_up(conn);
}

static void start_reading(struct conn *conn)
{
    if (uv_read_start((uv_stream_t *)&conn->tcp, lend, was_read) != 0) hang_up(conn);
}

static void connected(uv_stream_t *listener, int status)
{
    if (status < 0) return;
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) fail("no memory");
    uv_tcp_init(loop, &conn->tcp);
    uv_timer_init(loop, &conn->timer);
    conn->tcp.data = conn->timer.data = conn->write.data = conn;
    conn->open = 2;
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) != 0) {
        hang_up(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    uv_timer_start(&conn->timer, too_silent, timeout, timeout);
    start_reading(conn);
}

int main(int argc, char **argv)
{
    struct options asked = prepare(argc, argv);
    timeout = (unsigned long)asked.read_timeout * 1000;
    loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in addr;
    int length = sizeof addr;
    uv_ip4_addr("127.0.0.1", 0, &addr);
    uv_tcp_init(loop, &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&addr, 0) != 0
        || uv_listen((uv_stream_t *)&listener, 1024, connected) != 0
        || uv_tcp_getsockname(&listener, (struct sockaddr *)&addr, &length) != 0)
        fail("libuv cannot listen");
    uv_poll_t input;
    if (uv_poll_init(loop, &input, 0) != 0
        || uv_poll_start(&input, UV_READABLE | UV_DISCONNECT, input_ended) != 0)
        fail("standard input is neither a pipe nor a terminal");
    listening(ntohs(addr.sin_port));
    return uv_run(loop, UV_RUN_DEFAULT);
}
