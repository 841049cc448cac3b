internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// The state of a data directory and its server, as `natterd status --json` prints it.
struct ServiceStatus: Codable, Sendable, Equatable {
    /// True if a server runs on the directory.
    var running: Bool
    @OrNull var server: Service?
    /// The version of the program that has the store open.
    var version: String
    var directory: String
    var store: String
    /// The epoch of the server that writes or wrote last, with its random half.
    var epoch: String
    /// Why the server has stopped writing. It is null if it has not stopped.
    @OrNull var failure: String?
    /// The problems that keep the server from working as it should: a full disk, a sealer or a search index that has stopped, a
    /// clock that has jumped, a certificate that ends soon, settings that could not be reloaded. nil from an earlier version.
    var problems: [Problem]?
    /// The servers that share the store; null for a store of files, and while the database can't be read.
    var nodes: [Node]?
    var users: Users
    var sessions: Int
    var conversations: Int
    var messages: UInt64
    /// Messages that are not in a log file yet.
    var unsealedMessages: UInt64
    /// Files of messages; nil from an earlier version.
    var files: Files?
    var commits: UInt64
    var bytes: Bytes

    struct Service: Codable, Sendable, Equatable {
        var pid: Int32
        /// The start time in RFC 3339.
        var since: String
        /// The address that clients use.
        var address: String
        var connections: Int
        /// The number of requests that wait for news.
        var waiting: Int
        /// `open`, `closed` or `invite`: who may create an account.
        var registration: String
        /// When the certificate ends; null without TLS.
        @OrNull var certificateExpires: String?
        /// The limits of each account.
        var limits: [LimitObject]
        /// How long messages are kept at most: `365d` or `forever`. A server of an earlier version does not say.
        var retain: String?

        enum CodingKeys: String, CodingKey {
            case pid, since, address, connections, waiting, registration, limits, retain
            case certificateExpires = "certificate_expires"
        }
    }

    struct Node: Codable, Sendable, Equatable {
        /// The name of its machine.
        var name: String
        /// Whether it is the one that answers.
        var this: Bool
        /// When it last said that it runs, in RFC 3339.
        var seen: String
        /// How many commits of the others it has not read yet.
        var behind: Int64
    }

    struct Users: Codable, Sendable, Equatable {
        var all: Int
        var online: Int
        var admins: Int
        var disabled: Int
    }

    struct Bytes: Codable, Sendable, Equatable {
        /// The size of the log files.
        var logs: UInt64
        /// The size of `store.db` and its write-ahead log, including the journal.
        var database: UInt64
        /// The size of messages that are durable but not in a log file yet.
        var journal: Int
        /// The size of `search.db`, which can be rebuilt.
        var search: UInt64
        /// The free space of the file system.
        var free: UInt64
    }

    struct Files: Codable, Sendable, Equatable {
        var count: UInt64
        var bytes: UInt64
        /// How many of them no message names yet.
        var waiting: UInt64
    }

    /// Something that keeps the store from working as it should.
    struct Problem: Codable, Sendable, Equatable {
        /// `disk_full`, `low_on_space`, `directory`, `database`, `sealer`, `search_index`, `clock`, `logs`, `certificate`,
        /// `configuration`, `write_failed`.
        var kind: String
        /// In English.
        var message: String
        var phrase: PhraseParts

        init(_ kind: String, _ phrase: Phrase) {
            (self.kind, message, self.phrase) = (kind, phrase.english, PhraseParts(phrase))
        }
    }

    enum CodingKeys: String, CodingKey {
        case running, server, version, directory, store, epoch, failure, problems, nodes, users, sessions,
            conversations,
            messages, files, commits, bytes
        case unsealedMessages = "unsealed_messages"
    }
}

extension ServiceStatus {
    init(of store: Store, server: Service?) throws {
        let counts = store.statistics()
        let accounts = store.accountViews()
        let sizes = try store.sizes()
        running = server != nil
        _server = OrNull(wrappedValue: server)
        version = Release.version
        directory = Path.real(store.directory)
        self.store = store.id.description
        epoch = counts.epoch
        _failure = OrNull(wrappedValue: store.failure)
        let troubles = store.troubles()
        problems = troubles.map { Problem($0.name, $0.phrase) }
        if let jump = (store.clock as? SteadyClock)?.jump {
            problems?.append(Problem("clock", ServeCommand.jumped(by: jump)))
        }
        if case let count = store.shortLogCount, count > 0 {
            problems?.append(
                Problem(
                    "logs",
                    .plural(
                        count, "\(count) log file is missing or cut short; run 'natterd fsck'",
                        "\(count) log files are missing or cut short; run 'natterd fsck'")))
        }
        if case let count = store.damageCount, count > 0 {
            problems?.append(
                Problem(
                    "logs",
                    .plural(
                        count,
                        "\(count) place of the log files is damaged, as far as they were read; run 'natterd fsck'",
                        "\(count) places of the log files are damaged, as far as they were read; run 'natterd fsck'")))
        }
        // A lock there would keep the operator waiting for what is known.
        if store.isShared, !troubles.contains(.databaseAway), !troubles.contains(.databaseLocked) {
            nodes = try store.nodes().map {
                Node(name: $0.name, this: $0.isThis, seen: $0.seen.rfc3339, behind: $0.entriesBehind)
            }
        }
        users = Users(
            all: accounts.count, online: accounts.count { $0.isOnline }, admins: accounts.count { $0.isAdmin },
            disabled: accounts.count { $0.isDisabled })
        sessions = counts.sessions
        conversations = counts.conversations
        messages = counts.messages
        unsealedMessages = counts.unsealedMessages
        files = Files(count: counts.files, bytes: counts.fileBytes, waiting: counts.waitingFiles)
        commits = counts.commit
        bytes = Bytes(
            logs: sizes.logs, database: sizes.database, journal: counts.journalBytes, search: sizes.search,
            free: sizes.free)
    }
}
