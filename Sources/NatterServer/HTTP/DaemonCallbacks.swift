internal import CMicroHTTPD
internal import Glibc

/// The callbacks of libmicrohttpd. They call the loop and its connections.
enum DaemonCallbacks {
    /// The settings that all listeners share. The daemon's context is an unretained ``ListenerLoop``. A connection's
    /// context is an unretained ``ClientConnection``, which the loop keeps until the connection is closed.
    static var settings: natter_daemon_settings {
        var settings = natter_daemon_settings()
        settings.accept = { context, address, _ in
            loop(context)?.accepts(address) == true ? .YES : .NO
        }
        settings.notified = { context, handle, socketContext, code in
            guard let loop = loop(context), let handle, let socketContext else { return }
            if code == .CONNECTION_NOTIFY_STARTED {
                socketContext.pointee = loop.opened(handle)
            } else if let connection = connection(socketContext.pointee) {
                loop.closed(connection)
            }
        }
        settings.target = { _, target, handle in
            guard let handle, let target, let context = natter_connection_context(handle) else { return nil }
            connection(context)?.begin(target: target)
            return context
        }
        settings.access = { _, _, _, method, _, data, count, context in
            guard let method, let count, let context, let connection = connection(context.pointee) else { return .NO }
            return connection.access(method: method, data: data, count: count) ? .YES : .NO
        }
        settings.completed = { _, _, context, code in
            guard let context, let connection = connection(context.pointee) else { return }
            connection.ended(isComplete: code == .REQUEST_TERMINATED_COMPLETED_OK)
        }
        // We decode names ourselves, once. The library would also truncate decoded text at a NUL.
        settings.unescape = { _, _, text in text.map { strlen($0) } ?? 0 }
        settings.log = { context, format, _ in
            // If a cookie has an unclosed quote, the library counts it as one more header that is too long for any
            // memory limit.
            let refusals = ["Content-Length", "cookies", "header record"]
            guard let format, refusals.contains(where: { strstr(format, $0) != nil }) else { return }
            loop(context)?.libraryRefusesHead(isTooLong: strstr(format, "Too large") != nil)
        }
        return settings
    }
}

// Free functions, because a C callback may capture nothing, not even a type.

private func loop(_ context: UnsafeMutableRawPointer?) -> ListenerLoop? {
    context.map { Unmanaged<ListenerLoop>.fromOpaque($0).takeUnretainedValue() }
}

private func connection(_ context: UnsafeMutableRawPointer?) -> ClientConnection? {
    context.map { Unmanaged<ClientConnection>.fromOpaque($0).takeUnretainedValue() }
}
