internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// A server and its users, each with a home directory.
///
/// Where tests share one, none of them stops its server.
final class World: @unchecked Sendable {
    static let password = "correct horse battery"
    /// The password on standard input.
    static let typed = ChildProcess.Stream.text("\(password)\n")

    let directory: TemporaryDirectory
    private(set) var daemon: Daemon?

    /// With alice, bob and carol, who are registered and have not synced yet.
    ///
    /// Registering costs as much as hashing a password is meant to cost, so it is done once and then copied.
    init(isServing: Bool = true) throws {
        directory = try TemporaryDirectory()
        try Files.clone(World.template.get().path, into: directory.path)
        _ = try World.store(of: data)
        if isServing { try serve() }
    }

    /// A world in which alice has written these texts.
    convenience init(says texts: String...) throws {
        try self.init()
        for text in texts { try alice.sends(text) }
    }

    private static let template = Result { () throws -> TemporaryDirectory in
        let directory = try TemporaryDirectory()
        let data = directory("data")
        try FileManager.default.createDirectory(
            atPath: data, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let daemon = try Daemon(data: data, environment: try World.store(of: data))
        for name in ["alice", "bob", "carol"] {
            let outcome = try Person(name: name, home: directory(name), server: daemon.url).enter("register", name)
            guard outcome.code == 0 else { throw Failure("register: \(outcome.errors)") }
        }
        let end = daemon.stop()
        guard end.code == 0 else { throw Failure("natterd: \(end.errors)") }
        return directory
    }

    /// Names the database of a data directory, if tests keep their stores in PostgreSQL this time.
    static func store(of data: String) throws -> [String: String] {
        try PostgresCluster.store(of: data, isDatabase: true).map { ["NATTERD_STORE": $0] } ?? [:]
    }

    var data: String { directory("data") }
    /// The directory with the store's own files. Beside a database, that is a cache.
    var store: String { PostgresCluster.servesTests ? data + "/shared" : data }
    var url: String { daemon?.url ?? lastURL }
    private var lastURL = ""
    /// Holds the port of a server that was stopped.
    private var holder: Int32 = -1

    var alice: Person { person("alice") }
    var bob: Person { person("bob") }
    var carol: Person { person("carol") }

    func person(_ name: String) -> Person { Person(name: name, home: directory(name), server: url) }

    func serve(_ options: [String] = []) throws {
        daemon = try Daemon(data: data, options: options, environment: try World.store(of: data))
        release()
        lastURL = url
    }

    @discardableResult
    func stopServing() -> Outcome? {
        defer { daemon = nil }
        let outcome = daemon?.stop()
        // Another test's server there would take this store's tokens.
        if outcome != nil, holder < 0, let port = url.split(separator: ":").last.flatMap({ UInt16($0) }) {
            holder = (try? Loopback.hold(port).0) ?? -1
        }
        return outcome
    }

    private func release() {
        if holder >= 0 { close(holder) }
        holder = -1
    }

    deinit { release() }

    /// Ends the server as a power switch would.
    func killServer() {
        daemon?.process.signal(SIGKILL)
        daemon = nil
    }

    /// A command of natterd on the data, with a server or without.
    func natterd(_ words: String..., input: ChildProcess.Stream = .nothing) throws -> Outcome {
        try natterd(words, input: input)
    }

    func natterd(
        _ words: [String], environment: [String: String] = [:], input: ChildProcess.Stream = .nothing
    ) throws -> Outcome {
        try Daemon.run(
            ["--data", data] + words, home: directory.path,
            environment: World.store(of: data).merging(environment) { $1 }, input: input)
    }

    /// Starts natterd on the data.
    func start(
        _ words: [String], input: ChildProcess.Stream = .nothing, output: ChildProcess.Stream = .pipe,
        errors: ChildProcess.Stream = .pipe
    ) throws -> ChildProcess {
        try ChildProcess(
            Programs.path("natterd"), ["--data", data] + words, environment: World.store(of: data), input: input,
            output: output, errors: errors)
    }

    /// Imports into `general` and restarts the server.
    func importGeneral(_ lines: String) throws {
        stopServing()
        let outcome = try natterd("import", "--old", "general", "-", input: .text(lines))
        guard outcome.code == 0 else { throw Failure("import: \(outcome.errors)") }
        try serve()
    }
}

/// `natterd serve` on a free port.
final class Daemon {
    let process: ChildProcess
    let url: String
    private let data: String

    /// - Parameter wrapper: the words of a program that runs it.
    init(
        data: String, options: [String] = [], environment: [String: String] = [:], wrapper: [String] = []
    ) throws {
        var variables = ["HOME": data, "PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no"]
        variables.merge(environment) { $1 }
        self.data = data
        let address = options.contains("--listen") ? [] : ["--listen", "127.0.0.1:0"]
        let words = try [Programs.path("natterd"), "serve", "--data", data] + address + options
        process = try ChildProcess(
            "/usr/bin/env", wrapper + words, environment: variables, errors: .path("\(data).log"))
        let line = try process.line()
        let prefix = "natterd: listening on "
        guard line.hasPrefix(prefix) else { throw Failure("natterd wrote '\(line)'") }
        url = String(line.dropFirst(prefix.count))
    }

    /// The log that it has written.
    var log: String { Files.text("\(data).log") ?? "" }

    /// A value of the metrics, by its name and labels.
    func metric(_ name: String) throws -> Int? {
        let line = try RawRequest.send("GET", "/metrics", to: url).text.split(separator: "\n").first {
            $0.hasPrefix(name + " ")
        }
        return line.flatMap { Int($0.dropFirst(name.utf8.count + 1)) }
    }

    /// Registers a user and returns their token.
    func register(_ name: String) throws -> String {
        let body = Array("{\"name\":\"\(name)\",\"password\":\"\(World.password)\"}".utf8)
        let answer = try RawRequest.send("POST", "/v1/register", to: url, body: body)
        guard let token = try JSON(parsing: answer.text)[string: "token"] else { throw Failure("register: \(answer)") }
        return token
    }

    /// Posts to `general`; the status, 0 if there was no answer.
    func post(_ text: String, id: String, token: String, timeoutSeconds: Int? = nil) -> Int {
        let body = Array("{\"conversation\":\"general\",\"text\":\"\(text)\",\"id\":\"\(id)\"}".utf8)
        return
            (try? RawRequest.send(
                "POST", "/v1/messages", to: url, token: token, body: body, timeoutSeconds: timeoutSeconds))?.status ?? 0
    }

    /// As an administrator would stop it.
    @discardableResult
    func stop(_ signal: Int32 = SIGTERM) -> Outcome {
        return process.finish(after: signal)
    }

    static func run(
        _ words: [String], home: String, environment: [String: String] = [:], input: ChildProcess.Stream = .nothing
    ) throws -> Outcome {
        var variables = ["HOME": home, "PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no"]
        variables.merge(environment) { $1 }
        return try ChildProcess(
            Programs.path("natterd"), words, environment: variables, input: input
        ).finish()
    }
}

/// A user with a home directory who types commands, without a terminal.
struct Person: Sendable {
    let name: String
    let home: String
    let server: String

    /// Where natter keeps everything unless told otherwise.
    var natterHome: String { "\(home)/.local/share/natter" }
    /// Where natter keeps settings and profiles.
    var natterSettings: String { "\(home)/.config/natter" }

    /// A copy of both in one directory, as `--home` and earlier versions keep them.
    func copyOfHome(_ directory: TemporaryDirectory) throws -> String {
        let path = directory("\(name)-share/natter")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for source in [natterHome, natterSettings] where Files.isDirectory(source) {
            try Files.clone(source, into: path)
        }
        return path
    }

    func start(
        _ words: [String], environment: [String: String] = [:], input: ChildProcess.Stream = .nothing,
        output: ChildProcess.Stream = .pipe, umask mask: String? = nil
    ) throws -> ChildProcess {
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        var variables = ["HOME": home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": server]
        variables.merge(environment) { $1 }
        variables = variables.filter { !$0.value.isEmpty }
        let program = try Programs.path("natter")
        guard let mask else {
            return try ChildProcess(
                program, words, environment: variables, input: input, output: output)
        }
        return try ChildProcess(
            "/bin/sh", ["-c", "umask \(mask); exec \"$0\" \"$@\"", program] + words, environment: variables,
            input: input, output: output)
    }

    func run(
        _ words: [String], environment: [String: String] = [:], input: ChildProcess.Stream = .nothing,
        output: ChildProcess.Stream = .pipe, umask mask: String? = nil
    ) throws -> Outcome {
        try start(words, environment: environment, input: input, output: output, umask: mask).finish()
    }

    func callAsFunction(_ words: String...) throws -> Outcome { try run(words) }

    /// Logs in or registers, with the password of every user.
    func enter(_ words: String...) throws -> Outcome {
        try run(words + ["--password-stdin"], input: World.typed)
    }

    /// Sends each text, without notes about offline recipients.
    func sends(_ texts: String..., to conversation: String = "general") throws {
        for text in texts {
            let outcome = try run(["send", "--quiet", "-c", conversation, "--", text])
            guard outcome.code == 0, outcome.bytes.isEmpty, outcome.errors.isEmpty else {
                throw Failure("send \(text): \(outcome)")
            }
        }
    }

    /// The token of the session.
    func token() throws -> String {
        guard let text = Files.text("\(natterSettings)/profiles/default/token") else {
            throw Failure("\(name) has no token")
        }
        return String(text.dropLast())
    }

    /// The texts that a `log` or `search` finds.
    func texts(_ words: String...) throws -> [String] {
        try run(words + ["--json"]).objects().map { $0[string: "text"] ?? "" }
    }

    /// This user's commands with another address of the server.
    func at(_ server: String) -> Person { Person(name: name, home: home, server: server) }

    /// Without a server to be reached.
    var alone: Person { at("http://127.0.0.1:9") }

    /// Creates a group with these members.
    func group(_ group: String, with members: String...) throws {
        try expect(self("group", "create", group))
        try expect(run(["group", "add", group] + members))
    }
}

/// Went well, with nothing on standard error; and nothing printed, unless it may.
func expect(
    _ outcome: Outcome, isSilent: Bool = true, hasNotes: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let isGood = outcome.code == 0 && (hasNotes || outcome.errors.isEmpty) && (!isSilent || outcome.bytes.isEmpty)
    #expect(isGood, "\(outcome)", sourceLocation: sourceLocation)
    guard outcome.code == 0 else { throw Failure("\(outcome)") }
}

/// Went well, whatever it said.
func expectSuccess(_ outcome: Outcome, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try expect(outcome, isSilent: false, hasNotes: true, sourceLocation: sourceLocation)
}

/// Failed with a code and one line on standard error, which has these parts; and nothing printed, unless it may.
func expect(
    _ outcome: Outcome, _ code: Int32, _ parts: String..., isSilent: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let isSaid = isOneLine(outcome.errors) && parts.allSatisfy { outcome.errors.contains($0) }
    #expect(
        outcome.code == code && isSaid && (!isSilent || outcome.bytes.isEmpty), "\(outcome)",
        sourceLocation: sourceLocation)
}

/// An error is one line that begins with the program's name, or with `--json` an object.
func isOneLine(_ errors: String) -> Bool {
    (errors.hasPrefix("natter") || errors.hasPrefix("{\"error\":")) && errors.hasSuffix("\n")
        && errors.dropLast().allSatisfy { $0 != "\n" }
        && errors.count > "natter: ".count + 8
}
