internal import Glibc
internal import NatterModel
internal import NatterSystem

/// Why the socket of a data directory can't be used.
enum OperatorSocketError: FailureConvertible {
    /// The name is taken by something that is not a socket.
    case inTheWay(String)
    /// The peer process belongs to neither the directory's owner nor root.
    case stranger(path: String, uid: UInt32)
    /// This process may not connect to it.
    case forbidden(String)

    var failure: CommandFailure {
        switch self {
        case .inTheWay(let path):
            CommandFailure(
                .cannotCreate, code: "cannot_create",
                "'\(path)' is in the way of the server's socket; move it elsewhere")
        case .stranger(let path, let uid):
            CommandFailure(
                .refused, code: "not_allowed",
                "'\(path)' is answered by the user \(uid), who does not own the directory; run this command as that user"
            )
        case .forbidden(let path):
            CommandFailure(
                .refused, code: "not_allowed",
                "only the user who runs the server may use '\(path)'; run this command as that user")
        }
    }
}

/// `DIR/natterd.sock`, through which natterd's own commands reach the server on the directory.
struct OperatorSocket {
    static let name = "natterd.sock"
    private static let backlog: Int32 = 64

    private let directory: String

    init(of directory: String) { self.directory = directory }

    var path: String { directory + "/" + OperatorSocket.name }

    // MARK: The server's end

    /// Creates the socket with mode 0600 and replaces one that a killed server left. The caller must hold the store's
    /// lock, so that no server can be listening there.
    ///
    /// - Throws: `OperatorSocketError.inTheWay`, `DiskError`.
    func listen() throws -> LocalStream {
        try removeStale()
        let stream = try LocalStream.make(path)
        // Set the mode before the socket has a name, so that other users can never connect.
        guard fchmod(stream.descriptor, 0o600) == 0 else {
            throw DiskError(operation: "change the mode of", path: path)
        }
        try withAddress { address, length in
            guard bind(stream.descriptor, address, length) == 0,
                Glibc.listen(stream.descriptor, OperatorSocket.backlog) == 0
            else { throw DiskError(operation: "create", path: path) }
        }
        return stream
    }

    /// Removes the socket if the path is still a socket.
    func remove() { try? removeStale() }

    private func removeStale() throws {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw DiskError(operation: "look at", path: path)
        }
        // Another kind of file may be valuable, or a link to another place, so it is not ours to remove.
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw OperatorSocketError.inTheWay(path) }
        guard unlink(path) == 0 else { throw DiskError(operation: "remove", path: path) }
    }

    // MARK: A command's end

    /// Connects to the server.
    ///
    /// - Returns: nil if no server listens there.
    /// - Throws: `DiskError`; `OperatorSocketError.stranger` if the server's user is not the directory's owner. Such a
    ///   process must not receive password hashes and conversations.
    func connect() throws -> LocalStream? {
        var status = stat()
        // A symbolic link could lead to another user's socket outside the directory.
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
        let stream = try LocalStream.make(path)
        // Commands that a hanging server never accepted fill its queue. Then a connection would wait for ever.
        stream.limitWriting(toMilliseconds: Int(OperatorClient.patienceMilliseconds))
        defer { stream.limitWriting(toMilliseconds: 0) }
        let code = try withAddress { address, length -> Int32 in
            // An interrupted connect continues in the background, but a local one succeeds or fails immediately.
            retrying { Glibc.connect(stream.descriptor, address, length) } == 0 ? 0 : errno
        }
        switch code {
        case 0: break
        case ECONNREFUSED, ENOENT, EAGAIN: return nil
        case EACCES, EPERM: throw OperatorSocketError.forbidden(path)
        default: throw DiskError(code: Errno(rawValue: code), operation: "connect to", path: path)
        }
        let peer = try stream.peer(path)
        var owner = stat()
        guard stat(directory, &owner) == 0 else { throw DiskError(operation: "look at", path: directory) }
        guard peer == owner.st_uid || peer == geteuid() || peer == 0 else {
            throw OperatorSocketError.stranger(path: path, uid: peer)
        }
        return stream
    }

    // MARK: The address

    /// Calls `body` with the socket's address. If the path is too long for an address, it goes through a descriptor of
    /// the directory, which stays open during `body`.
    private func withAddress<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) throws -> Result {
        var address = sockaddr_un()
        let room = MemoryLayout.size(ofValue: address.sun_path)
        address.sun_family = sa_family_t(AF_UNIX)
        var held: Int32 = -1
        defer { if held >= 0 { close(held) } }
        var name = path
        if name.utf8.count >= room {
            held = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard held >= 0 else { throw DiskError(operation: "open", path: directory) }
            name = "/proc/self/fd/\(held)/\(OperatorSocket.name)"
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.utf8.prefix(room - 1)) }
        return try withUnsafePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
