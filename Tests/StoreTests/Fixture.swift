import Glibc
import NatterArchive
import NatterCrypto
import NatterLanguage
import NatterModel
import NatterSystem

@testable import NatterStore

/// A directory of its own for each test, gone with the value.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-store-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw DiskError(operation: "make", path: "/tmp/natter-store-XXXXXX") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { TemporaryDirectory.remove(path) }

    static func remove(_ path: String) {
        let disk = PosixDisk()
        for name in (try? disk.list(path)) ?? [] {
            let inner = path + "/" + name
            if unlink(inner) != 0 { remove(inner) }
        }
        rmdir(path)
    }

    /// The content of every file below a directory, by the path below it.
    static func contents(_ root: String) throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        func walk(_ path: String) throws {
            for name in try PosixDisk().list(path) {
                let inner = path + "/" + name
                if try PosixDisk().information(inner)?.isDirectory == true {
                    try walk(inner)
                } else {
                    found[String(inner.dropFirst(root.utf8.count + 1))] = try PosixDisk().contents(
                        of: inner, limit: 1 << 30)
                }
            }
        }
        try walk(root)
        return found
    }

    /// Copies a directory with all in it; what is there already is replaced.
    static func copy(_ source: String, to target: String) throws {
        let disk = PosixDisk()
        try disk.makeDirectories(target)
        for (name, bytes) in try contents(source) {
            let path = target + "/" + name
            try disk.makeDirectories(Path.directory(of: path))
            if try disk.information(path) != nil { try disk.remove(path) }
            try disk.open(path, .create).write(bytes, at: 0)
        }
    }
}

/// SplitMix64: the same numbers for the same seed.
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

/// A clock that goes on by a millisecond each time somebody looks.
final class TestClock: WallClock {
    private let time: Monitor<Timestamp>

    init(_ milliseconds: Int64 = 1_795_000_000_000) { time = Monitor(Timestamp(milliseconds: milliseconds)) }

    func now() -> Timestamp {
        time.withLock { time in
            time = time.advanced(milliseconds: 1)
            return time
        }
    }

    func advance(milliseconds: Int64) { time.withLock { $0 = $0.advanced(milliseconds: milliseconds) } }
}

/// What a store has reported so far.
final class Reports: Sendable {
    private let all = Monitor<[String]>([])

    var lines: [String] { all.withLock { $0 } }
    func add(_ line: String) { all.withLock { $0.append(line) } }
    func contains(_ part: String) -> Bool { lines.contains { $0.contains(part) } }
}

/// A store in a directory, with users who need no password, and calls that wait for their answer.
final class TestStore {
    let directory: String
    let disk: any Disk
    let clock: TestClock
    let reports = Reports()
    /// The journal's bound; nil for the real one.
    private let journalBytes: Int?
    private(set) var store: Store
    private var users: [String: Principal] = [:]

    init(
        _ directory: String, disk: any Disk = PosixDisk(), clock: TestClock = TestClock(), journalBytes: Int? = nil
    ) throws {
        (self.directory, self.disk, self.clock, self.journalBytes) = (directory, disk, clock, journalBytes)
        store = try TestStore.open(directory, disk, clock, journalBytes, reports)
    }

    private static func open(
        _ directory: String, _ disk: any Disk, _ clock: TestClock, _ journalBytes: Int?, _ reports: Reports
    ) throws -> Store {
        var options = Store.Options()
        if let journalBytes { options.journalBytes = journalBytes }
        options.report = { reports.add($0.english) }
        options.failed = { reports.add("failed: \($0)") }
        return try Store.open(directory, disk: disk, clock: clock, options: options)
    }

    deinit { store.close() }

    /// Closes in order and opens again.
    func reopen() throws {
        store.close()
        users = [:]
        store = try TestStore.open(directory, disk, clock, journalBytes, reports)
    }

    /// Waits for the answer to something that takes a completion.
    static func answer<Value: Sendable>(_ ask: (@escaping @Sendable (Value) -> Void) -> Void) -> Value {
        let result = Monitor<Value?>(nil)
        ask { value in result.signal { $0 = value } }
        while true { if let value = result.wait(until: { $0 }) { return value } }
    }

    /// A user by name, registered when first asked for.
    func user(_ name: String) throws -> Principal {
        if let known = users[name] { return known }
        let account: AccountID
        if let known = store.credentials(of: name) {
            account = known.account
        } else {
            let hash = PasswordHash(stored: "$none")
            account = try TestStore.answer { store.register(try! UserName(name), password: hash, $0) }
                .get()
        }
        let token = try TestStore.answer { store.addSession(of: account, expires: nil, $0) }.get()
        guard let principal = store.principal(of: token, address: "127.0.0.1") else {
            throw StoreError.noSuchUser(name)
        }
        users[name] = principal
        return principal
    }

    @discardableResult
    func post(
        _ texts: [String], to conversation: String = "general", by name: String = "alice", key: String? = nil
    ) throws -> [PostOutcome] {
        let messages = texts.enumerated().map { index, text in
            NewMessage(
                conversation: conversation, text: text,
                key: key.flatMap { IdempotencyKey("\($0)\(index == 0 ? "" : ":\(index)")") })
        }
        return post(messages, by: try user(name))
    }

    func post(_ messages: [NewMessage], by principal: Principal) -> [PostOutcome] {
        TestStore.answer { store.post(messages, by: principal, stopAtRefusal: false, $0) }
    }

    /// Posts texts of about a hundred bytes, a thousand at a time.
    func fill(_ count: Int, in conversation: String = "general", by name: String = "alice", label: String = "message")
        throws
    {
        var next = 1
        while next <= count {
            let texts = (next..<min(count + 1, next + 1_000)).map { TestStore.text($0, label) }
            try post(texts, to: conversation, by: name)
            next += texts.count
        }
    }

    static func text(_ number: Int, _ label: String = "message") -> String {
        "\(label) \(number): \(String(repeating: String(number &* 7_919, radix: 36), count: 12))"
    }

    /// Seals a conversation to its last message.
    func seal(_ conversation: String = "general", as name: String = "alice") throws {
        let result = Monitor<Result<Void, StoreError>?>(nil)
        try store.seal(conversation, for: try user(name)) { failure in
            result.signal { $0 = failure.map { .failure($0) } ?? .success(()) }
        }
        try result.wait(until: { $0 })?.get()
    }

    func page(_ conversation: String = "general", as name: String = "alice", _ change: (inout PageQuery) -> Void) throws
        -> MessagePage
    {
        var query = PageQuery(conversation: conversation, limit: 100)
        change(&query)
        return try store.messages(query, for: try user(name))
    }

    /// All messages of a conversation, page after page.
    func all(_ conversation: String = "general", as name: String = "alice", limit: Int = 1_000) throws -> [Message] {
        var messages: [Message] = []
        var next = Seq.zero
        while true {
            let page = try page(conversation, as: name) { ($0.after, $0.limit) = (next, limit) }
            messages += page.messages
            next = page.next
            if !page.more { return messages }
        }
    }

    /// The path of the newest log file of a conversation.
    func logs(_ conversation: String = "general", as name: String = "alice") throws -> [String] {
        let id = try store.conversation(conversation, for: try user(name)).id.description
        let path = "\(directory)/logs/\(id.prefix(2))/\(id)"
        return try PosixDisk().list(path).map { path + "/" + $0 }
    }
}

extension PostOutcome {
    var message: Message? {
        switch self {
        case .posted(let message), .repeated(let message): message
        case .refused: nil
        }
    }

    var refusal: StoreError? {
        if case .refused(let error) = self { error } else { nil }
    }

    var isRepeated: Bool {
        if case .repeated = self { true } else { false }
    }
}
