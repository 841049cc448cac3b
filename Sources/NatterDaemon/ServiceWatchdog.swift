internal import Glibc
internal import NatterCommandLine
internal import NatterServer
internal import NatterSystem

/// Tells systemd that the service has started, and that it is alive if its unit has a watchdog. It is fed only while the
/// listener's thread handles events, so that a server that hangs is started again.
///
/// - SeeAlso: sd_notify(3), sd_watchdog_enabled(3). The protocol is a datagram to the socket that the environment names.
final class ServiceWatchdog {
    private let path: [UInt8]
    /// Half of the time that the unit allows; nil without a watchdog.
    private let stepMilliseconds: Int64?
    private var next: Int64
    private let isAlive = Monitor(true)

    /// - Returns: nil if nobody listens.
    init?(_ environment: Environment) {
        guard let socket = environment["NOTIFY_SOCKET"] else { return nil }
        // A name that begins with @ is in the kernel's own name space, where that byte is 0.
        var path = Array(socket.utf8)
        if path.first == UInt8(ascii: "@") { path[0] = 0 }
        guard !path.isEmpty, path.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else { return nil }
        self.path = path
        let isMeant = environment["WATCHDOG_PID"].map { $0 == String(getpid()) } ?? true
        let microseconds = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
        stepMilliseconds = isMeant && microseconds > 0 ? max(1, microseconds / 2_000) : nil
        next = MonotonicClock.now()
    }

    /// Call it when the server answers. A start on PostgreSQL may take longer than the watchdog waits, so that waits for this.
    func tellReady() { send("READY=1") }

    /// How long the caller may wait before the next call of `feed`.
    var leftMilliseconds: Int64 { stepMilliseconds == nil ? .max : max(0, next - MonotonicClock.now()) }

    /// Feeds the watchdog if it is time and the server has shown a sign of life since the last time.
    func feed(_ server: ChatServer) {
        guard let stepMilliseconds, MonotonicClock.now() >= next else { return }
        next = MonotonicClock.now() + stepMilliseconds
        let wasAlive = isAlive.withLock { isAlive in
            defer { isAlive = false }
            return isAlive
        }
        server.probe { [isAlive] in isAlive.signal { $0 = true } }
        if wasAlive { send("WATCHDOG=1") }
    }

    private func send(_ text: String) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let bytes = Array(text.utf8)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT), $0, length)
            }
        }
    }
}
