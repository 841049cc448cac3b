internal import Glibc
package import NatterSystem
package import NatterModel
package import NatterServer
package import NatterStore
internal import SystemSupport
package import TestSupport

/// A server in this process with its own store. It listens from the first use of its port. It stops with its last reference.
/// If a test stops it earlier, it can be started again on the same port.
package final class TestServer: Sendable {
    private struct Running {
        let store: Store
        let chat: ChatServer
        /// 0 before the server listens.
        var port: UInt16 = 0
        var thread: SystemThread?
        var isStopped = false
        /// Holds the port while the server is stopped.
        var holder: Int32 = -1
    }

    package let directory: TemporaryDirectory
    package let clock: any WallClock
    package let events: Monitor<[Event]>
    private let options: ChatServer.Options
    private let disk: any Disk
    private let running: Monitor<Running>

    /// Whether clients send their requests through a socket.
    package let usesSockets: Bool

    package var url: String { "http://127.0.0.1:\(port)" }
    package var port: UInt16 {
        running.withLock { running in
            if running.thread == nil, running.port == 0 { try? TestServer.listen(&running) }
            return running.port
        }
    }
    package var store: Store { running.withLock { $0.store } }
    package var chat: ChatServer { running.withLock { $0.chat } }
    package var storeID: StoreID { store.id }

    /// The password of every account. Its hash is computed once, because hashing is slow by design.
    package static let password = "correct horse battery"
    private static let passwordHash = PasswordHash(of: password)

    /// - Parameters:
    ///   - isCopied: whether another server will begin with a copy of the directory, or this one does.
    ///   - usesSockets: whether the test is about connections, or about what only the listener knows of a request.
    package init(
        directory: TemporaryDirectory? = nil, isCopied: Bool = false, clock: any WallClock = SystemClock(),
        options: ChatServer.Options = ChatServer.Options(), disk: any Disk = PosixDisk(), usesSockets: Bool = false
    ) throws {
        let directory = try directory ?? TemporaryDirectory()
        let events = Monitor<[Event]>([])
        if isCopied { _ = try PostgresCluster.store(of: directory.path, isDatabase: true) }
        let first = try TestServer.start(directory, disk, clock: clock, options, events)
        (self.directory, self.clock, self.options, self.events) = (directory, clock, options, events)
        (self.disk, self.usesSockets) = (disk, usesSockets)
        running = Monitor(first)
    }

    package static func withAlice() throws -> (TestServer, Person) {
        let server = try TestServer()
        return (server, try server.user("alice"))
    }

    deinit {
        stop()
        close(running.withLock { $0.holder })
    }

    private static func start(
        _ directory: TemporaryDirectory, _ disk: any Disk, clock: any WallClock, _ options: ChatServer.Options,
        _ events: Monitor<[Event]>
    ) throws -> Running {
        let store =
            try PostgresCluster.store(of: directory.path).map {
                try Store.open(SharedStore($0), cache: directory.path, clock: clock)
            } ?? Store.open(directory.path, disk: disk, clock: clock)
        var options = options
        options.spools.directory = directory.path
        let chat = try ChatServer(store: store, options: options) { event in events.signal { $0.append(event) } }
        return Running(store: store, chat: chat)
    }

    private static func listen(_ running: inout Running) throws {
        let chat = running.chat
        try chat.listen(on: "127.0.0.1", port: running.port)
        running.port = chat.port
        running.thread = try SystemThread(name: "test-server") { chat.run() }
    }

    /// Starts the server again after `stop`.
    package func start() throws {
        var started = try TestServer.start(directory, disk, clock: clock, options, events)
        try running.withLock { running in
            close(running.holder)
            started.port = running.port
            if started.port != 0 { try TestServer.listen(&started) }
            running = started
        }
    }

    /// Stops the server. Its directory stays.
    package func stop() {
        let former = running.withLock { running in
            defer { (running.thread, running.isStopped) = (nil, true) }
            return running
        }
        guard !former.isStopped else { return }
        if let thread = former.thread {
            former.chat.stop()
            thread.join()
            if let holder = try? Loopback.hold(former.port).0 { running.withLock { $0.holder = holder } }
        } else {
            former.chat.end()
        }
        former.store.close()
    }

    // MARK: Accounts

    /// Registers an account and begins a session, both without HTTP, so that only tests of passwords spend time on
    /// hashing.
    private func session(_ name: String) throws -> Token {
        guard let hash = TestServer.passwordHash else { throw Failure("no memory to hash a password") }
        let (store, user) = (store, try UserName(name))
        let account = try waitFor { store.register(user, password: hash, $0) }.get()
        return try waitFor { store.addSession(of: account, expires: nil, $0) }.get()
    }

    /// Registers an account and returns a client for it. Its password is `password`.
    @discardableResult
    package func account(_ name: String) throws -> Client { Client(self, token: try session(name).text) }

    package func makeAdmin(_ name: String) throws {
        let store = store
        _ = try waitFor { store.change(name, AccountChange(isAdmin: true), by: "test", asking: nil, $0) }.get()
    }

    /// A client without a token.
    package func stranger() -> Client { Client(self, token: nil) }

    /// Registers an account and returns a user who runs commands and is logged in.
    package func user(_ name: String) throws -> Person {
        let token = try session(name)
        let person = try Person(server: url, name: name, store: storeID)
        let profile = "home/profiles/default"
        try person.directory.write("\(profile)/account", "server=\(url)\nname=\(name)\nstore=\(storeID)\n")
        try person.directory.write("\(profile)/token", token.text + "\n")
        return person
    }

    // MARK: Waiting and posting

    /// Waits until this many requests wait for news.
    package func untilWaiting(_ count: Int) throws {
        let client = stranger()
        try eventually("\(count) waiting requests") {
            try client.get("/metrics").text.contains("\nnatter_waiting_requests \(count)\n")
        }
    }

    package func principal(of client: Client) throws -> Principal { try principal(of: client.token ?? "") }

    /// The account of a token.
    package func principal(of token: String) throws -> Principal {
        guard let token = Token(token), case .good(let principal) = store.authenticate(token, address: "127.0.0.1")
        else { throw Failure("the token is no good") }
        return principal
    }

    /// Moves all messages of a conversation to log files.
    package func seal(_ conversation: String = "general", as client: Client) throws {
        let (store, principal) = (store, try principal(of: client))
        let failure: StoreError? = try waitFor { try store.seal(conversation, for: principal, $0) }
        if let failure { throw failure }
    }

    /// Posts many messages in one call without HTTP, for tests that need a long history.
    package func post(_ messages: [NewMessage], as client: Client) throws {
        let principal = try principal(of: client)
        for outcome in try waitFor({ store.post(messages, by: principal, stopAtRefusal: false, $0) }) {
            if case .refused(let error) = outcome { throw error }
        }
    }
}
