internal import Glibc
internal import NatterSystem

/// A Unix socket, closed with its last reference. One thread may read while another one writes.
final class LocalStream: Sendable {
    let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    static func make(_ path: String) throws(DiskError) -> LocalStream {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw DiskError(operation: "make a socket for", path: path) }
        return LocalStream(descriptor: descriptor)
    }

    /// Accepts the next connection. Returns nil after the socket was shut down.
    func accept() -> LocalStream? {
        while true {
            let taken = retrying { Glibc.accept(descriptor, nil, nil) }
            if taken >= 0 {
                // The server starts no other programs, so no child process can inherit the descriptor before this call.
                _ = fcntl(taken, F_SETFD, FD_CLOEXEC)
                return LocalStream(descriptor: taken)
            }
            switch errno {
            case ECONNABORTED: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // Other connections will close. Until then, clients wait instead of being refused.
                usleep(100_000)
            default: return nil
            }
        }
    }

    /// The user of the peer process, according to the kernel.
    func peer(_ path: String) throws(DiskError) -> UInt32 {
        // struct ucred: process, user, group. glibc declares it only with _GNU_SOURCE.
        var credentials: (pid: Int32, uid: UInt32, gid: UInt32) = (0, UInt32.max, UInt32.max)
        var length = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else {
            throw DiskError(operation: "look at the peer of", path: path)
        }
        return credentials.uid
    }

    /// Limits how long a read waits for the next byte. 0 means no limit.
    func limitReading(toMilliseconds milliseconds: Int) { limit(SO_RCVTIMEO, milliseconds) }

    /// Limits how long a write waits, and a connection to a socket whose queue is full. 0 means no limit.
    func limitWriting(toMilliseconds milliseconds: Int) { limit(SO_SNDTIMEO, milliseconds) }

    private func limit(_ option: Int32, _ milliseconds: Int) {
        var limit = timeval(tv_sec: milliseconds / 1_000, tv_usec: (milliseconds % 1_000) * 1_000)
        setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Ends reads that wait in this process. With `SHUT_RDWR`, it also ends writes.
    func shutDown(_ how: Int) { shutdown(descriptor, Int32(how)) }

    /// True if a read would return immediately, with data or at the end.
    var hasInput: Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, 0) > 0
    }

    /// - Returns: the number of bytes read, or 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        let count = retrying { recv(descriptor, buffer.baseAddress, buffer.count, 0) }
        // A peer that left data unread counts as closed, too.
        guard count >= 0 || errno == ECONNRESET else { throw DiskError(operation: "read", path: OperatorSocket.name) }
        return max(0, count)
    }

    /// Writes all bytes. If the peer has closed, the result is an error and not a signal.
    func write(_ bytes: UnsafeRawBufferPointer) throws(DiskError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = retrying { send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw DiskError(operation: "write", path: OperatorSocket.name) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}
