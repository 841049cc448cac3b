internal import Glibc
internal import NatterCLI
internal import NatterCrypto
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem

@testable internal import NatterCommands

struct Failure: Error {
    let what: String
}

/// A directory of its own, gone with the last who holds it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-commands-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Failure(what: "mkdtemp: \(errno)") }
        path = String(cString: made)
    }

    deinit { TemporaryDirectory.remove(path) }

    private static func remove(_ path: String) {
        for name in (try? PosixDisk().list(path)) ?? [] {
            let inner = "\(path)/\(name)"
            if unlink(inner) != 0 { remove(inner) }
        }
        rmdir(path)
    }

    func write(_ text: String, to name: String, mode: mode_t = 0o600) throws -> String {
        let path = "\(self.path)/\(name)"
        unlink(path)
        let file = try PosixDisk().open(path, .create)
        try file.write(Array(text.utf8), at: 0)
        chmod(path, mode)
        return path
    }

    static func text(_ path: String) -> String? {
        (try? PosixDisk().contents(of: path, limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// A server in this process, on a free port, over a store of its own. Ends with the last who holds it.
final class TestServer: Sendable {
    let directory: TemporaryDirectory
    let store: Store
    private let chat: ChatServer
    private let thread: Monitor<SystemThread?>

    let url: String

    private static let passwordHash = PasswordHash(of: "correct horse battery")

    init() throws {
        directory = try TemporaryDirectory()
        let store = try Store.open(directory.path, clock: SystemClock())
        var options = ChatServer.Options()
        options.spoolDirectory = directory.path
        let chat = try ChatServer(store: store, address: "127.0.0.1", port: 0, options: options) { _ in }
        (self.store, self.chat) = (store, chat)
        url = "http://127.0.0.1:\(chat.port)"
        thread = Monitor(try SystemThread(name: "test-server") { chat.run() })
    }

    deinit { stop() }

    func stop() {
        let running = thread.signal { thread in
            defer { thread = nil }
            return thread
        }
        guard let running else { return }
        chat.stop()
        running.join()
        store.close()
    }

    /// Someone who is logged in at home, made past the API: a test of something else need not pay for hashing.
    func user(_ name: String) throws -> Person {
        guard let hash = TestServer.passwordHash else { throw Failure(what: "no memory to hash a password") }
        let account = try waitFor { done in
            store.register(UserName(trusted: name), password: hash) { done($0.mapError { $0 }) }
        }
        let token = try waitFor { done in
            store.addSession(of: account, expires: nil) { done($0.mapError { $0 }) }
        }
        let person = try Person(server: url)
        let profiles = "\(person.home)/profiles/default"
        try PosixDisk().makeDirectories(profiles)
        let text = "server=\(url)\nname=\(name)\nstore=\(store.id)\n"
        _ = try person.directory.write(text, to: "home/profiles/default/account")
        _ = try person.directory.write(token.text + "\n", to: "home/profiles/default/token")
        return person
    }

    private func waitFor<Value: Sendable>(
        _ begin: (@escaping @Sendable (Result<Value, any Error>) -> Void) throws -> Void
    ) throws -> Value {
        let result = Monitor<Result<Value, any Error>?>(nil)
        try begin { given in result.signal { $0 = given } }
        guard let given = result.wait(timeoutMilliseconds: 60_000, until: { $0 }) else {
            throw Failure(what: "the store did not answer in a minute")
        }
        return try given.get()
    }
}

/// Somebody with a home of their own who types commands.
struct Person: Sendable {
    let directory: TemporaryDirectory
    let server: String

    init(server: String) throws {
        directory = try TemporaryDirectory()
        self.server = server
    }

    var home: String { "\(directory.path)/home" }

    struct Outcome: Equatable {
        let code: Int32
        let output: String
        let errors: String

        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    /// Runs one command as a process without a terminal would.
    func run(_ words: [String], environment: [String: String] = [:], now: Timestamp? = nil) -> Outcome {
        var values = ["NATTER_HOME": home, "NATTER_SERVER": server]
        values.merge(environment) { $1 }
        let console = Console(
            output: .memory(), errors: .memory(), environment: Environment(values),
            clock: now.map { FixedClock(time: $0) } ?? SystemClock(), program: "natter")
        let code = Program.run(NatterProgram.spec, words: words, console: console, explain: Explanation.failure)
        return Outcome(
            code: code.rawValue, output: String(decoding: console.output.collected, as: UTF8.self),
            errors: String(decoding: console.errors.collected, as: UTF8.self))
    }

    func callAsFunction(_ words: String...) -> Outcome { run(words) }

    /// The texts that a `log` prints, without times.
    func texts(_ words: String...) -> [String] { run(words + ["--format", "%m"]).lines }
}

struct FixedClock: WallClock {
    let time: Timestamp
    func now() -> Timestamp { time }
}

/// SplitMix64: the same numbers for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
