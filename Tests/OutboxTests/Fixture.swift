internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterCrypto
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterWire

@testable internal import NatterCommands

struct Failure: Error {
    let what: String
}

/// A directory of its own, gone with the last who holds it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-outbox-XXXXXX".utf8CString)
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

    func write(_ text: String, to name: String) throws {
        let path = "\(self.path)/\(name)"
        try PosixDisk().makeDirectories(Path.directory(of: path))
        unlink(path)
        try PosixDisk().open(path, .create).write(Array(text.utf8), at: 0)
    }

    /// Copies all of it, as a backup of a home would.
    func copy() throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        try copyFiles(of: "", to: copy)
        return copy
    }

    private func copyFiles(of name: String, to copy: TemporaryDirectory) throws {
        let disk = PosixDisk()
        for entry in try disk.list(path + name) {
            let inner = "\(name)/\(entry)"
            if try disk.information(path + inner)?.isDirectory == true {
                try disk.makeDirectory(copy.path + inner)
                try copyFiles(of: inner, to: copy)
            } else {
                let bytes = try disk.contents(of: path + inner, limit: 1 << 28)
                try disk.open(copy.path + inner, .create).write(bytes, at: 0)
            }
        }
    }
}

/// A server in this process over a store of its own. It can be stopped, and started again at the same port.
final class TestServer: Sendable {
    private struct Running {
        let store: Store
        let chat: ChatServer
        let thread: SystemThread
    }

    let directory: TemporaryDirectory
    let port: UInt16
    let storeID: StoreID
    private let running: Monitor<Running?>

    var url: String { "http://127.0.0.1:\(port)" }
    private static let passwordHash = PasswordHash(of: "correct horse battery")

    init() throws {
        let directory = try TemporaryDirectory()
        let first = try TestServer.start(directory, port: 0)
        (self.directory, port, storeID) = (directory, first.chat.port, first.store.id)
        running = Monitor(first)
    }

    deinit { stop() }

    func start() throws {
        let started = try TestServer.start(directory, port: port)
        running.withLock { $0 = started }
    }

    func stop() {
        let former = running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let former else { return }
        former.chat.stop()
        former.thread.join()
        former.store.close()
    }

    private static func start(_ directory: TemporaryDirectory, port: UInt16) throws -> Running {
        let store = try Store.open(directory.path, clock: SystemClock())
        var options = ChatServer.Options()
        options.spoolDirectory = directory.path
        let chat = try ChatServer(store: store, address: "127.0.0.1", port: port, options: options) { _ in }
        return Running(store: store, chat: chat, thread: try SystemThread(name: "test-server") { chat.run() })
    }

    /// Somebody who is logged in at a home of their own, made past the API: nothing here is about passwords.
    func user(_ name: String) throws -> Person {
        guard let hash = TestServer.passwordHash, let store = running.withLock({ $0?.store }) else {
            throw Failure(what: "the server is not running")
        }
        let account = try waitFor { done in store.register(UserName(trusted: name), password: hash) { done($0) } }
        let token = try waitFor { done in store.addSession(of: account, expires: nil) { done($0) } }
        let directory = try TemporaryDirectory()
        try directory.write("server=\(url)\nname=\(name)\nstore=\(storeID)\n", to: "profiles/default/account")
        try directory.write(token.text + "\n", to: "profiles/default/token")
        return Person(directory: directory, server: url, name: name, store: storeID)
    }

    private func waitFor<Value: Sendable>(
        _ begin: (@escaping @Sendable (Result<Value, StoreError>) -> Void) -> Void
    ) throws -> Value {
        let result = Monitor<Result<Value, StoreError>?>(nil)
        begin { given in result.signal { $0 = given } }
        guard let given = result.wait(timeoutMilliseconds: 60_000, until: { $0 }) else {
            throw Failure(what: "the store did not answer in a minute")
        }
        return try given.get()
    }
}

/// Somebody with a home who types commands.
struct Person: Sendable {
    let directory: TemporaryDirectory
    var server: String
    let name: String
    let store: StoreID

    struct Outcome: Equatable {
        let code: Int32
        let output: String
        let errors: String

        var lines: [String] { output.split(separator: "\n").map(String.init) }
        var messages: [MessageObject] { lines.compactMap { try? WireJSON.decode(from: Array($0.utf8)) } }
    }

    var outbox: Outbox { Outbox(ClientHome(path: directory.path).outbox(store: store, user: name)) }

    /// The same person with another home, or another way to the server.
    func with(directory: TemporaryDirectory? = nil, server: String? = nil) -> Person {
        Person(directory: directory ?? self.directory, server: server ?? self.server, name: name, store: store)
    }

    private func console() -> Console {
        Console(
            output: .memory(), errors: .memory(),
            environment: Environment(["NATTER_HOME": directory.path, "NATTER_SERVER": server]), clock: SystemClock(),
            program: "natter")
    }

    /// Runs one command as a process without a terminal would.
    func run(_ words: [String]) -> Outcome { run(NatterProgram.spec, words) }

    func callAsFunction(_ words: String...) -> Outcome { run(words) }

    private func run(_ program: ProgramSpec, _ words: [String]) -> Outcome {
        let console = console()
        let code = Program.run(program, words: words, console: console, explain: Explanation.failure)
        return Outcome(
            code: code.rawValue, output: String(decoding: console.output.collected, as: UTF8.self),
            errors: String(decoding: console.errors.collected, as: UTF8.self))
    }

    /// Runs `send` with standard input of its own: the process's is not for tests that run at once.
    func send(_ words: String..., input: [UInt8]) throws -> Outcome {
        let path = "\(directory.path)/input"
        unlink(path)
        try PosixDisk().open(path, .create).write(input, at: 0)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        return send(words, descriptor: descriptor)
    }

    func send(_ words: [String], descriptor: Int32) -> Outcome {
        run(
            ProgramSpec(
                name: "natter", tagline: "", version: "", options: NatterProgram.globalOptions,
                commands: [SendCommand.spec(reading: descriptor)]), ["send"] + words)
    }

    /// The texts of a conversation, as the server has them.
    func texts(_ conversation: String = "general") throws -> [String] {
        let outcome = run(["log", conversation, "--format", "%m"])
        guard outcome.code == 0 else { throw Failure(what: outcome.errors) }
        return outcome.lines
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

/// The first place where two lists differ, in words; nil if they are the same. Printed whole, long lists hide it.
func difference(_ found: [String], _ expected: [String]) -> String? {
    if let index = zip(found, expected).enumerated().first(where: { $0.element.0 != $0.element.1 })?.offset {
        return "at \(index): '\(found[index])' for '\(expected[index])'"
    }
    return found.count == expected.count ? nil : "\(found.count) for \(expected.count)"
}
