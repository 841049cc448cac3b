@testable import NatterClient
internal import NatterHTTP
import NatterModel
import NatterServer
import NatterStore
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@Suite("Syncing over HTTP")
struct ClientTests {
    /// A server that listens, until it goes.
    private final class Listening {
        let inner: TestStore
        let chat: ChatServer
        private let thread: SystemThread

        init(_ inner: TestStore) throws {
            self.inner = inner
            var options = ChatServer.Options()
            options.spools.directory = inner.directory
            let chat = try ChatServer(store: inner.store, options: options) { _ in }
            try chat.listen(on: "127.0.0.1", port: 0)
            self.chat = chat
            thread = try SystemThread(name: "test-server") { chat.run() }
        }

        deinit {
            chat.stop()
            thread.join()
        }

        /// - Parameter way: the port of what stands before the server.
        func client(
            _ user: String, _ home: TemporaryDirectory, store: StoreID? = nil, through way: UInt16? = nil
        ) throws -> SyncClient {
            let token = try inner.token(user)
            let address = try ServerAddress(url: "http://127.0.0.1:\(way ?? chat.port)")
            let http = HTTPClient(address: address, timeoutMilliseconds: 60_000, caFile: nil, userAgent: "test")
            return SyncClient(
                api: ServerAPI(address: address, client: http, token: token),
                location: ReplicaLocation(home: home.path, store: store ?? inner.store.id, user: user))
        }
    }

    @Test("a client gets everything, then what is new, then nothing")
    func everything() throws {
        // Given a server
        let server = try TestStore(users: ["alice", "bob"])
        try server.mustPost((1...2_000).map { "message \($0) with a little text" }, to: "general", by: "alice")
        try server.seal("general", as: "alice")
        let listening = try Listening(server)
        let home = try TemporaryDirectory()
        let client = try listening.client("alice", home)
        let location = server.location(home, "alice")
        // When it is synced by limits of all kinds
        var limited = SyncClient.Limits()
        limited.bytes = 1
        let first = try client.sync(limited)
        var bytes = 0
        let second = try client.sync { bytes = $0.receivedBytes }
        #expect(second.isComplete && first.messageCount + second.messageCount == 2_000)
        #expect(bytes > 0 || first.isComplete)
        #expect(try contents(location) == server.export(for: "alice"))
        // Then there is nothing until a message is sent
        #expect(try client.sync().messageCount == 0)
        try server.mustPost(["hello"], to: "@alice", by: "bob")
        let third = try client.sync(SyncClient.Limits(waitSeconds: 10))
        #expect(third.news.map(\.name) == ["@bob"] && third.messageCount == 1)
        #expect(try contents(location) == server.export(for: "alice"))
    }

    @Test("another store at the same address is noticed before anything of it is kept")
    func otherStore() throws {
        // Given a replica of another store
        let server = try TestStore(users: ["alice"])
        try server.mustPost(["here"], to: "general", by: "alice")
        let listening = try Listening(server)
        let home = try TemporaryDirectory()
        let foreign = StoreID(high: 1, low: 2)
        // When it is synced with this one
        let client = try listening.client("alice", home, store: foreign)
        // Then that fails, and nothing is there
        #expect(throws: SyncError.self) { try client.sync() }
        let location = ReplicaLocation(home: home.path, store: foreign, user: "alice")
        #expect(try Replica.open(at: location) == nil)
    }

    @Test("a hole that the server states is asked for again, and filled once it can")
    func gaps() throws {
        // Given a server with a damaged block
        let server = try TestStore(users: ["alice"])
        let filling = String(repeating: "some text to fill a block with, ", count: 20)
        for round in 0..<3 {
            try server.mustPost((0..<90).map { "\(round) \($0) \(filling)" }, to: "general", by: "alice")
            try server.seal("general", as: "alice")
        }
        let log = try #require(Files.below(server.directory).first { $0.hasSuffix(".log") })
        let file = try PosixDisk().open(log, .readWrite)
        let offset = try file.size() / 2
        let kept = try file.read(count: 8, at: offset)
        try server.reopen { _ in try file.write([UInt8](repeating: 0xAA, count: 8), at: offset) }
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        do {
            let listening = try Listening(server)
            let report = try listening.client("alice", home).sync()
            #expect(report.isComplete && report.damaged.count == 1)
            // When it is synced again in vain, and again after a repair
            #expect(try listening.client("alice", home).sync().messageCount == 0)
        }
        try server.reopen { _ in try file.write(kept, at: offset) }
        let listening = try Listening(server)
        // A server that can't answer now may have it
        let port = listening.chat.port
        let busy = try Proxy { client in
            while let request = Loopback.message(from: client) {
                let isAsked = String(decoding: request.prefix(100), as: UTF8.self).contains("/v1/conversations/")
                let refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
                guard let answer = isAsked ? Array(refusal.utf8) : Loopback.exchange(request, with: port),
                    Loopback.send(answer, to: client)
                else { return }
            }
        }
        let refused = try listening.client("alice", home, through: busy.port).sync()
        #expect(!refused.isComplete && refused.interruption != nil)
        let report = try listening.client("alice", home).sync()
        // Then all is there
        #expect(report.messageCount > 0)
        #expect(try contents(location) == server.export(for: "alice"))
    }
}
