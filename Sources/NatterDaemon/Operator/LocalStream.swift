internal import Glibc
internal import NatterSystem

/// A socket of this machine, closed with its last reference. Reading and writing may be done by two threads.
final class LocalStream: Sendable {
    let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    static func make(_ path: String) throws(DiskError) -> LocalStream {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw DiskError(operation: "make a socket for", path: path) }
        return LocalStream(descriptor: descriptor)
    }

    /// The next who connects; nil once the socket was shut down.
    func accept() -> LocalStream? {
        while true {
            let taken = Glibc.accept(descriptor, nil, nil)
            if taken >= 0 {
                // The server starts no other programs, so nothing can come between.
                _ = fcntl(taken, F_SETFD, FD_CLOEXEC)
                return LocalStream(descriptor: taken)
            }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // Others will close something; whoever waits here meanwhile is not turned away.
                usleep(100_000)
            default: return nil
            }
        }
    }

    /// The user whose process is at the other end, as the kernel says.
    func peer(_ path: String) throws(DiskError) -> UInt32 {
        // struct ucred: process, user, group; glibc shows it to those alone who define _GNU_SOURCE.
        var credentials: (pid: Int32, uid: UInt32, gid: UInt32) = (0, UInt32.max, UInt32.max)
        var length = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else {
            throw DiskError(operation: "look at the peer of", path: path)
        }
        return credentials.uid
    }

    /// How long a read waits for the next byte; 0 for ever.
    func limitReading(toMilliseconds milliseconds: Int) {
        var limit = timeval(tv_sec: milliseconds / 1_000, tv_usec: (milliseconds % 1_000) * 1_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Ends what waits to read from it, in this process and, with `SHUT_RDWR`, what writes.
    func shutDown(_ how: Int) { shutdown(descriptor, Int32(how)) }

    /// Whether something can be read, the end included, without waiting.
    var hasInput: Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, 0) > 0
    }

    /// - Returns: how many bytes there were; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            // A peer that went away with something unread is as gone as one that closed.
            if errno == ECONNRESET { return 0 }
            if errno != EINTR { throw DiskError(operation: "read", path: OperatorSocket.name) }
        }
    }

    /// Writes all of it. A peer that is gone is an error, and no signal.
    func write(_ bytes: UnsafeRawBufferPointer) throws(DiskError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno != EINTR {
                throw DiskError(operation: "write", path: OperatorSocket.name)
            }
        }
    }
}
