internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterModel

/// The files of one watch, in the directory of its replica: its positions, when it began, and what has failed.
struct WatchPlace {
    /// More failures than anybody reads. The oldest go.
    private static let failedLimit = 10_000
    private static let failedBytes = 32 << 20

    let path: String
    /// The name, or the beginning of the key.
    let title: String
    /// The lines about the watch behind the time of its start: its name, and each conversation with its id.
    let description: String
    /// Prints what has failed.
    let failedCommand: String

    /// The remedy if the positions are lost: nobody knows which messages were handled.
    static let restart: Phrase =
        "'natter watch drop' forgets the watch, and the next start begins with the messages that come then; 'natter log --since' shows earlier ones"

    static func directory(of location: ReplicaLocation) -> String { location.directory + "/watches" }

    /// A watch is identified by its name, or else by its conversations, in whichever directory it is started.
    ///
    /// - Parameter words: the names of the conversations, as the user wrote them.
    init(_ directory: String, name: String?, words: [String], conversations: [NamedConversation]) {
        let ids = conversations.map { $0.id.map { "#\($0)" } ?? NameRule.caseKey($0.name) }
        let key = WatchPlace.key(name.map { ["name", $0] } ?? ["conversations"] + ids.sorted())
        (path, title) = ("\(directory)/\(key)", name ?? key)
        let lines = conversations.map { $0.name + ($0.id.map { " \($0)" } ?? "") + "\n" }
        description = "\(name ?? "")\n" + lines.joined()
        let selection = name.map { ["--name", $0] } ?? words
        failedCommand = (["natter", "watch", "--failed"] + selection.map { Delivery.quoted($0) }).joined(separator: " ")
    }

    private init(path: String, title: String) {
        (self.path, self.title, description, failedCommand) = (path, title, "", "")
    }

    private static func key(_ words: [String]) -> String {
        String(Digest(of: Array(words.joined(separator: "\0").utf8)).description.prefix(16))
    }

    /// The watches that were started and not dropped, in the order of their files.
    static func all(in directory: String) throws -> [(place: WatchPlace, start: StartFile.Content)] {
        let disk = PosixDisk()
        guard try disk.information(directory) != nil else { return [] }
        let names = try disk.list(directory).filter { $0.hasSuffix(".start") && !$0.hasPrefix(".") }.sorted()
        return try names.compactMap { file in
            guard let start = try StartFile(path: "\(directory)/\(file)").read() else { return nil }
            let key = String(file.dropLast(".start".count))
            return (WatchPlace(path: "\(directory)/\(key)", title: start.name.isEmpty ? key : start.name), start)
        }
    }

    /// Whether the watch was started.
    func exists() throws(DiskError) -> Bool { try PosixDisk().information(path + ".start") != nil }

    /// Takes the watch for this process alone.
    ///
    /// - Throws: 75 if it is running.
    func lock() throws -> FileLock {
        guard let lock = try FileLock.take(path + ".lock", timeoutMilliseconds: 0) else {
            throw CommandFailure(
                .temporary, code: "locked", "the watch '\(title)' is running already; give this one another --name")
        }
        return lock
    }

    /// Removes the files.
    ///
    /// - Throws: 75 if the watch is running.
    func drop() throws {
        guard let lock = try FileLock.take(path + ".lock", timeoutMilliseconds: 0) else {
            throw CommandFailure(.temporary, code: "locked", "the watch '\(title)' is running; stop it first")
        }
        defer { withExtendedLifetime(lock) {} }
        let disk = PosixDisk()
        for suffix in ["", ".failed", ".lock", ".start"] where try disk.information(path + suffix) != nil {
            try disk.remove(path + suffix)
        }
    }

    /// Keeps messages for `watch --failed`. Not their texts, which somebody may delete or erase.
    func keep(failed messages: [MessageCursor]) throws {
        let lines = messages.suffix(WatchPlace.failedLimit).map { "\($0)\n" }
        try PrivateFile.replace(path + ".failed", with: Array(lines.joined().utf8))
    }

    /// The messages that have failed, oldest first.
    func failed() throws(DiskError) -> [MessageCursor] {
        let disk = PosixDisk()
        guard try disk.information(path + ".failed") != nil else { return [] }
        return try disk.contents(of: path + ".failed", limit: WatchPlace.failedBytes)
            .split(separator: UInt8(ascii: "\n")).compactMap { MessageCursor(String(decoding: $0, as: UTF8.self)) }
    }
}
