internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// The file that says when a watch was first started and what it is. It is next to the file with the watch's positions.
///
/// One line with Unix milliseconds, one with the name of the watch or nothing, then a line for each conversation: its name
/// and its id.
struct StartFile {
    /// More than the words of a command can have.
    private static let limitBytes = 4 << 20

    struct Content {
        let time: Timestamp
        let name: String
        let conversations: [NamedConversation]
    }

    let path: String

    /// - Returns: nil if the file is missing or natter did not write it.
    /// - Throws: `DiskError`.
    func read() throws -> Content? {
        let disk = PosixDisk()
        guard try disk.information(path) != nil else { return nil }
        let text = String(decoding: try disk.contents(of: path, limit: StartFile.limitBytes), as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard let time = lines.first.flatMap({ Int64($0) }) else { return nil }
        let conversations = lines.dropFirst(2).filter { !$0.isEmpty }.map { line in
            let words = line.split(separator: " ").map(String.init)
            return NamedConversation(name: words.first ?? "", id: words.last.flatMap { ConversationID(hex: $0) })
        }
        return Content(
            time: Timestamp(milliseconds: time), name: lines.dropFirst().first ?? "", conversations: conversations)
    }

    /// - Parameter description: the lines about the watch.
    /// - Throws: `DiskError`.
    func write(_ time: Timestamp, _ description: String) throws {
        try PrivateFile.replace(path, with: Array("\(time.milliseconds)\n\(description)".utf8))
    }
}
