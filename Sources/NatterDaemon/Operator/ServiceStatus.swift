internal import Glibc
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// How a data directory and its server are, as `natterd status --json` prints it.
struct ServiceStatus: Codable, Sendable, Equatable {
    /// Whether a server runs on the directory.
    var running: Bool
    @OrNull var server: Service?
    /// Of the program that has the store open.
    var version: String
    var directory: String
    var store: String
    /// The run of the server that writes, or wrote last, and its random half.
    var epoch: String
    /// Why nothing is written any more, where that is so.
    @OrNull var failure: String?
    var users: Users
    var sessions: Int
    var conversations: Int
    var messages: UInt64
    /// Those that are not in a log file yet.
    var unsealedMessages: UInt64
    var commits: UInt64
    var bytes: Bytes

    struct Service: Codable, Sendable, Equatable {
        var pid: Int32
        /// RFC 3339.
        var since: String
        /// The address that clients use.
        var address: String
        var connections: Int
        /// Requests that wait for news.
        var waiting: Int
    }

    struct Users: Codable, Sendable, Equatable {
        var all: Int
        var online: Int
        var admins: Int
        var disabled: Int
    }

    struct Bytes: Codable, Sendable, Equatable {
        /// The log files.
        var logs: UInt64
        /// `store.db` and its write-ahead log, the journal included.
        var database: UInt64
        /// What of the messages is durable and not in a log file yet.
        var journal: Int
        /// `search.db`, which can be made again.
        var search: UInt64
        /// What the file system has left.
        var free: UInt64
    }

    enum CodingKeys: String, CodingKey {
        case running, server, version, directory, store, epoch, failure, users, sessions, conversations, messages,
            commits, bytes
        case unsealedMessages = "unsealed_messages"
    }
}

extension ServiceStatus {
    /// Whoever asks may stand elsewhere than the server does. As it is, where the system can't say.
    private static func absolute(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    init(of store: Store, server: Service?) throws {
        let counts = store.statistics()
        let accounts = store.accountViews()
        let sizes = try store.sizes()
        running = server != nil
        _server = OrNull(wrappedValue: server)
        version = Release.version
        directory = ServiceStatus.absolute(store.directory)
        self.store = store.id.description
        epoch = counts.epoch
        _failure = OrNull(wrappedValue: store.failure)
        users = Users(
            all: accounts.count, online: accounts.count { $0.isOnline }, admins: accounts.count { $0.isAdmin },
            disabled: accounts.count { $0.isDisabled })
        sessions = counts.sessions
        conversations = counts.conversations
        messages = counts.messages
        unsealedMessages = counts.unsealedMessages
        commits = counts.commit
        bytes = Bytes(
            logs: sizes.logs, database: sizes.database, journal: counts.journalBytes, search: sizes.search,
            free: sizes.free)
    }
}
