internal import NatterHTTP
internal import Glibc
internal import NatterCrypto
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem

struct Failure: Error {
    let what: String
}

/// A clock that stands still until it is set.
final class TestClock: WallClock {
    private let time: Monitor<Timestamp>

    init(_ time: Timestamp = Timestamp(milliseconds: 1_795_000_000_000)) { self.time = Monitor(time) }

    func now() -> Timestamp { time.withLock { $0 } }
    func advance(milliseconds: Int64) { time.withLock { $0 = $0.advanced(milliseconds: milliseconds) } }
}

/// A directory of its own, gone with the last who holds it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-api-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Failure(what: "mkdtemp: \(errno)") }
        path = String(cString: made)
    }

    deinit { TemporaryDirectory.remove(path) }

    private static func remove(_ path: String) {
        for name in names(in: path) {
            let inner = path + "/" + name
            if unlink(inner) != 0 { remove(inner) }
        }
        rmdir(path)
    }

    static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// Every file below it, whole paths.
    func files(_ suffix: String) -> [String] {
        func walk(_ path: String) -> [String] {
            TemporaryDirectory.names(in: path).flatMap { name -> [String] in
                let inner = path + "/" + name
                let below = walk(inner)
                return below.isEmpty ? (inner.hasSuffix(suffix) ? [inner] : []) : below
            }
        }
        return walk(path).sorted()
    }
}

/// A server in this process, on a port of its own, over a store of its own. Ends with the last who holds it.
final class TestServer: Sendable {
    let directory: TemporaryDirectory
    let store: Store
    let chat: ChatServer
    let events: Monitor<[Event]>
    private let thread: Monitor<SystemThread?>

    var port: UInt16 { chat.port }
    var storeID: String { store.id.description }

    /// What `account` gives everybody as password; its hash is made once, because each takes as long as it should.
    static let password = "correct horse battery"
    private static let passwordHash = PasswordHash(of: password)

    init(directory: TemporaryDirectory? = nil, clock: any WallClock = SystemClock()) throws {
        let directory = try directory ?? TemporaryDirectory()
        let events = Monitor<[Event]>([])
        let store = try Store.open(directory.path, clock: clock)
        var options = ChatServer.Options()
        options.spoolDirectory = directory.path
        let chat = try ChatServer(store: store, address: "127.0.0.1", port: 0, options: options) { event in
            events.signal { $0.append(event) }
        }
        (self.directory, self.store, self.chat, self.events) = (directory, store, chat, events)
        thread = Monitor(try SystemThread(name: "test-server") { chat.run() })
    }

    deinit { stop() }

    /// Ends it; what it stored stays as long as the directory is held.
    func stop() {
        guard
            let running = thread.signal({ thread in
                defer { thread = nil }
                return thread
            })
        else { return }
        chat.stop()
        running.join()
        store.close()
    }

    /// Registers past the API, so that a test of something else does not pay for hashing; the password is `password`.
    @discardableResult
    func account(_ name: String) throws -> Client {
        guard let hash = TestServer.passwordHash else { throw Failure(what: "no memory to hash a password") }
        let user = try UserName(name)
        let account = try waitFor { (done: @escaping Completion<AccountID>) in
            store.register(user, password: hash, done)
        }
        let token = try waitFor { (done: @escaping Completion<Token>) in
            store.addSession(of: account, expires: nil, done)
        }
        return Client(self, token: token.text)
    }

    /// Someone without a token.
    func stranger() -> Client { Client(self, token: nil) }

    /// Until this many requests wait for news.
    func untilWaiting(_ count: Int) throws {
        let client = stranger()
        for _ in 0..<2_000 {
            let metrics = String(decoding: try client.get("/metrics").body, as: UTF8.self)
            if metrics.contains("\nnatter_waiting_requests \(count)\n") { return }
            // Nothing tells when a request begins to wait; asking again soon is all there is.
            _ = Monitor(()).wait(timeoutMilliseconds: 3) { _ in nil as Void? }
        }
        throw Failure(what: "there were never \(count) requests waiting")
    }

    /// Posts past HTTP, many at once; for what needs a long history.
    func post(_ messages: [NewMessage], as client: Client) throws {
        guard let token = client.token.flatMap({ Token($0) }),
            let principal = store.principal(of: token, address: "127.0.0.1")
        else { throw Failure(what: "the client has no token") }
        let outcomes = try waitFor { (done: @escaping Completion<[PostOutcome]>) in
            store.post(messages, by: principal, stopAtRefusal: false) { done(.success($0)) }
        }
        for outcome in outcomes {
            if case .refused(let error) = outcome { throw error }
        }
    }

    private func waitFor<Value: Sendable>(_ begin: (@escaping Completion<Value>) -> Void) throws -> Value {
        let result = Monitor<Result<Value, StoreError>?>(nil)
        begin { given in result.signal { $0 = given } }
        guard let given = result.wait(timeoutMilliseconds: 60_000, until: { $0 }) else {
            throw Failure(what: "the store did not answer in a minute")
        }
        return try given.get()
    }
}

/// Runs `body` on threads of its own, all at once, and gives what they gave, in order.
func concurrently<Value: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
    let results = Monitor<[Int: Result<Value, any Error>]>([:])
    let threads = try (0..<count).map { index in
        try SystemThread(name: "test-client") {
            let result = Result { try body(index) }
            results.signal { $0[index] = result }
        }
    }
    for thread in threads { thread.join() }
    let all = results.withLock { $0 }
    return try (0..<count).compactMap { try all[$0]?.get() }
}

/// Numbers that a seed decides.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
