// GNU libmicrohttpd 0.9.75 (Debian 12). Wraps its variadic functions for Swift, and adds epoll and eventfd, which Swift's
// Glibc module lacks.
#pragma once
#include <sys/types.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <microhttpd.h>

/// The options of a daemon. Each callback gets `context` as its first argument.
struct natter_daemon_settings {
    int listening_descriptor;
    unsigned int connection_limit;
    size_t connection_memory;
    void *context;
    MHD_AcceptPolicyCallback accept;
    MHD_AccessHandlerCallback access;
    MHD_RequestCompletedCallback completed;
    MHD_NotifyConnectionCallback notified;
    void *(*target)(void *context, const char *target, struct MHD_Connection *connection);
    size_t (*unescape)(void *context, struct MHD_Connection *connection, char *text);
    MHD_LogCallback log;
    /// GnuTLS's priority string; NULL for no TLS. The callback for new connections gives each session its certificate.
    const char *tls_priorities;
};

/// Called for a session without a certificate: the handshake fails.
static inline int natter_no_certificate(void) { return -1; }

/// Starts a daemon without its own thread on a listening socket. NULL if that fails.
static inline struct MHD_Daemon *natter_start_daemon(const struct natter_daemon_settings *s) {
    struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)s->tls_priorities},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)natter_no_certificate},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    return MHD_start_daemon(
        s->tls_priorities ? flags | MHD_USE_TLS : flags, 0, s->accept, s->context, s->access, s->context,
        MHD_OPTION_EXTERNAL_LOGGER, s->log, s->context,
        MHD_OPTION_LISTEN_SOCKET, s->listening_descriptor,
        MHD_OPTION_CONNECTION_LIMIT, s->connection_limit,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->connection_memory,
        MHD_OPTION_NOTIFY_COMPLETED, s->completed, s->context,
        MHD_OPTION_NOTIFY_CONNECTION, s->notified, s->context,
        MHD_OPTION_URI_LOG_CALLBACK, s->target, s->context,
        MHD_OPTION_UNESCAPE_CALLBACK, s->unescape, s->context,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_ARRAY, s->tls_priorities ? tls : plain,
        MHD_OPTION_END);
}

/// The descriptor to wait for between two calls of MHD_run; -1 if there is none.
static inline int natter_epoll_descriptor(struct MHD_Daemon *daemon) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info ? info->epoll_fd : -1;
}

/// The socket context, which the callback for new connections has set.
static inline void *natter_connection_context(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/// The connection's socket; -1 if there is none.
static inline int natter_connection_descriptor(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/// The connection's GnuTLS session; NULL without TLS.
static inline void *natter_connection_tls(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info ? info->tls_session : NULL;
}

/// The peer's address; NULL if it is unknown.
static inline const struct sockaddr *natter_connection_address(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

/// The length of the request's head, from the method to the end of the empty line; 0 before the head is complete.
static inline size_t natter_connection_head_size(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

/// How many headers, cookies and fields of the query the request has: the library keeps a record of each.
static inline int natter_connection_record_count(struct MHD_Connection *connection) {
    return MHD_get_connection_values(
        connection, MHD_HEADER_KIND | MHD_COOKIE_KIND | MHD_GET_ARGUMENT_KIND, NULL, NULL);
}

static inline ssize_t natter_no_body(void *context, uint64_t place, char *buffer, size_t maximum) {
    (void)context; (void)place; (void)buffer; (void)maximum;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/// A response that says how long a body is, for a status whose body is never sent. NULL if memory is short.
static inline struct MHD_Response *natter_response_of_length(uint64_t length) {
    return MHD_create_response_from_callback(length, 1, natter_no_body, NULL, NULL);
}

/// Sends a reply without chunks. The connection closes after it.
static inline void natter_response_avoid_chunks(struct MHD_Response *response) {
    MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
}
