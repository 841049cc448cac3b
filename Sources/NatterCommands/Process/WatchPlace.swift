internal import NatterCLI
internal import NatterClient
internal import NatterCrypto
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// The files of one watch, in the directory of its replica: its positions, when it began, and what has failed.
struct WatchPlace {
    /// More failures than anybody reads. The oldest go.
    private static let failedBytes = 16 << 20

    let path: String
    /// The name, or the beginning of the key.
    let title: String
    private let name: String?
    private let conversations: [String]
    private let directory: String

    static func directory(of location: ReplicaLocation) -> String { location.directory + "/watches" }

    /// The same name, or else the same conversations, identify the same watch, in whichever directory it is started.
    init(_ directory: String, name: String?, conversations: [String]) throws {
        (self.directory, self.name, self.conversations) = (directory, name, conversations)
        let identity = name.map { ["name", $0] } ?? ["conversations"] + conversations.map(NameRule.caseKey).sorted()
        let key = WatchPlace.key(identity)
        (path, title) = ("\(directory)/\(key)", name ?? key)
    }

    private static func key(_ words: [String]) -> String {
        String(Digest(of: Array(words.joined(separator: "\0").utf8)).description.prefix(16))
    }

    /// Continues a watch of an older natter, which was its conversations and its command.
    func takeOver(command: String) throws {
        let disk = PosixDisk()
        let former = "\(directory)/\(WatchPlace.key(conversations.sorted() + [command]))"
        guard try disk.information(path) == nil, try disk.information(former) != nil else { return }
        if try disk.information(former + ".start") != nil { try disk.rename(former + ".start", to: path + ".start") }
        try disk.rename(former, to: path)
        try disk.syncDirectory(directory)
    }

    /// The lines about the watch behind the time of its start.
    var description: String {
        "\(name ?? "")\n" + conversations.map { $0 + "\n" }.joined()
    }

    /// Keeps a message for `watch --failed`.
    func keep(failed message: Message) throws {
        var lines = try failedLines()
        lines.append(contentsOf: WireJSON.encode(MessageObject(message)) + [UInt8(ascii: "\n")])
        while lines.count > WatchPlace.failedBytes, let end = lines.firstIndex(of: UInt8(ascii: "\n")) {
            lines.removeSubrange(...end)
        }
        try PrivateFile.replace(path + ".failed", with: lines)
    }

    private func failedLines() throws -> [UInt8] {
        let disk = PosixDisk()
        guard try disk.information(path + ".failed") != nil else { return [] }
        return try disk.contents(of: path + ".failed", limit: 2 * WatchPlace.failedBytes)
    }

    func failed() throws -> [MessageObject] {
        try failedLines().split(separator: UInt8(ascii: "\n")).compactMap { try? WireJSON.decode(from: $0) }
    }
}

/// `watch ls`, `watch drop NAME`, `watch --failed`.
struct WatchList {
    private struct WatchObject: Encodable {
        var name: String
        var conversations: [String]
        var started: String
        var failed: Int
    }

    private let context: Context
    private let directory: String

    init(_ context: Context) throws {
        self.context = context
        directory = WatchPlace.directory(of: try SyncedReplica(context, needsServer: false).location)
    }

    func run() throws -> ExitCode {
        let arguments = context.arguments
        let words = arguments.operands("CONV")
        if arguments.flag("failed") {
            try printFailed(WatchPlace(directory, name: arguments.value("name"), conversations: words))
            return .success
        }
        switch words.first {
        case "ls" where words.count == 1, "list" where words.count == 1: try list()
        case "drop" where words.count == 2, "rm" where words.count == 2: try drop(words[1])
        default: throw arguments.error("'watch' needs --exec CMD")
        }
        return .success
    }

    private func printFailed(_ place: WatchPlace) throws {
        for message in try place.failed() {
            if try context.writeJSON(message) { continue }
            let line = "\(message.time) \(message.conversation) \(message.sender): \(message.text)"
            try context.console.output.writeLine(TerminalText.escaped(line))
        }
    }

    /// The watches by the names of their files.
    private func watches() throws -> [(key: String, object: WatchObject)] {
        let disk = PosixDisk()
        guard try disk.information(directory) != nil else { return [] }
        let names = try disk.list(directory).filter { $0.hasSuffix(".start") && !$0.hasPrefix(".") }.sorted()
        return try names.map { file in
            let key = String(file.dropLast(".start".count))
            let text = String(decoding: try disk.contents(of: "\(directory)/\(file)", limit: 64 << 10), as: UTF8.self)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            let started = lines.first.flatMap { Int64($0) }.map { Timestamp(milliseconds: $0).rfc3339 }
            let name = lines.dropFirst().first ?? ""
            let conversations = lines.dropFirst(2).filter { !$0.isEmpty }
            let place = try WatchPlace(
                directory, name: name.isEmpty ? nil : name, conversations: Array(conversations))
            return (
                key,
                WatchObject(
                    name: name.isEmpty ? key : name, conversations: Array(conversations), started: started ?? "",
                    failed: try place.failed().count)
            )
        }
    }

    private func list() throws {
        try context.list(
            try watches().map(\.object),
            [
                Column("NAME") { $0.name }, Column("STARTED") { context.age($0.started) },
                Column("FAILED", .right) { "\($0.failed)" },
                Column("CONVERSATIONS") { $0.conversations.joined(separator: " ") },
            ])
    }

    private func drop(_ name: String) throws {
        guard let (key, _) = try watches().first(where: { $0.object.name == name }) else {
            throw CommandFailure(
                .notFound, code: "no_such_watch", "there is no watch '\(name)'; 'natter watch ls' lists them")
        }
        let path = "\(directory)/\(key)"
        guard let lock = try FileLock.take(path + ".lock", timeoutMilliseconds: 0) else {
            throw CommandFailure(.temporary, code: "locked", "the watch '\(name)' is running; stop it first")
        }
        defer { withExtendedLifetime(lock) {} }
        let disk = PosixDisk()
        for suffix in ["", ".failed", ".lock", ".start"] where try disk.information(path + suffix) != nil {
            try disk.remove(path + suffix)
        }
        context.confirm("forgot the watch '\(name)'")
    }
}
