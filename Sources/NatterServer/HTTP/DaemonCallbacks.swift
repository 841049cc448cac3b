internal import CMicroHTTPD
internal import Glibc

/// What libmicrohttpd calls, led to the loop and its connections.
enum DaemonCallbacks {
    /// All but what differs from one listener to the next. The context is an unretained ``ListenerLoop``, a connection's
    /// context an unretained ``Connection``, which the loop keeps until it is closed.
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
        // Names are decoded by us, once; what the library decodes it would also cut at a NUL.
        settings.unescape = { _, _, text in text.map { strlen($0) } ?? 0 }
        settings.log = { context, format, _ in
            // A quote that a cookie leaves open counts as one more header, of a length that no memory is enough for.
            let refusals = ["Content-Length", "cookies", "header record"]
            guard let format, refusals.contains(where: { strstr(format, $0) != nil }) else { return }
            loop(context)?.libraryRefusesHead()
        }
        return settings
    }
}

// Free functions, since a C callback may capture nothing, not even a type.

private func loop(_ context: UnsafeMutableRawPointer?) -> ListenerLoop? {
    context.map { Unmanaged<ListenerLoop>.fromOpaque($0).takeUnretainedValue() }
}

private func connection(_ context: UnsafeMutableRawPointer?) -> Connection? {
    context.map { Unmanaged<Connection>.fromOpaque($0).takeUnretainedValue() }
}
