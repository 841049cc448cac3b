internal import CMicroHTTPD
internal import Glibc

/// Checks that a transfer is fast enough: at least `progressBytes` in each `progressMilliseconds`.
struct TransferProgress {
    private var mark: (total: UInt64, time: Int64)?

    /// - Parameter total: bytes transferred since some fixed moment.
    mutating func isEnough(total: UInt64, now: Int64, _ limits: ListenerLimits) -> Bool {
        guard let mark, total &- mark.total < UInt64(limits.progressBytes) else {
            self.mark = (total, now)
            return true
        }
        return now - mark.time <= limits.progressMilliseconds
    }
}

/// The kernel's statistics of a socket.
enum SocketStatistics {
    /// Bytes that the other side has acknowledged since the connection began, or 0 if unknown.
    static func bytesAcknowledged(_ socket: Int32) -> UInt64 {
        // The offset of tcpi_bytes_acked in linux/tcp.h (Linux 4.1). glibc's own structure lacks it.
        let offset = 120
        return withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { buffer in
            var length = socklen_t(buffer.count)
            guard
                getsockopt(socket, Int32(IPPROTO_TCP), TCP_INFO, buffer.baseAddress, &length) == 0,
                length >= offset + 8
            else { return 0 }
            return buffer.load(fromByteOffset: offset, as: UInt64.self)
        }
    }

    /// Bytes that have arrived and are not read yet.
    static func unreadBytes(_ socket: Int32) -> Int {
        var count: Int32 = 0
        return ioctl(socket, UInt(FIONREAD), &count) == 0 ? Int(count) : 0
    }
}
