internal import Glibc
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// The file of `--cursor-file`, which stores how far its owner has read. For one conversation it contains one line with
/// the cursor of the last message. For all conversations, the first line is the store, and each other line has the id
/// and the cursor of a conversation.
struct CursorFile {
    enum Content: Equatable {
        /// The file is missing or empty, so start from the beginning.
        case none
        case conversation(MessageCursor)
        case all(StoreID, [ConversationID: MessageCursor])

        /// The positions of this content, or those of `other` where it is further on in the same conversation.
        func furthest(with other: Content) -> Content {
            switch (self, other) {
            case (.none, _): return other
            case (.conversation(let own), .conversation(let theirs))
            where own.conversationPrefix == theirs.conversationPrefix && theirs.seq > own.seq:
                return other
            case (.all(let store, let own), .all(let theirStore, let theirs)) where store == theirStore:
                return .all(store, own.merging(theirs) { $1.seq > $0.seq ? $1 : $0 })
            default: return self
            }
        }
    }

    /// Enough for several hundred thousand conversations.
    private static let limitBytes = 64 << 20
    private static let allMarker = "all"

    let path: String
    /// The remedy if natter did not write the file.
    var remedy: Phrase = "empty it to start from the beginning"

    /// - Throws: 65 for a file that natter did not write; 66 if it can't be read; 73 if it could not be replaced.
    func read() throws -> Content {
        let disk = PosixDisk()
        guard let found = try lookUp() else { return .none }
        guard found.isRegular else {
            throw CommandFailure(
                .noInput, code: "cannot_read",
                "the cursor file '\(path)' is not a regular file; name another "
                    + "one")
        }
        let bytes: [UInt8]
        do throws(DiskError) { bytes = try disk.contents(of: path, limit: CursorFile.limitBytes) } catch {
            throw CommandFailure(unreadable: error)
        }
        guard !bytes.allSatisfy({ $0 == UInt8(ascii: "\n") }) else { return .none }
        guard let content = CursorFile.parse(bytes) else {
            throw CommandFailure(
                .invalidData, code: "bad_cursor",
                "the cursor file '\(path)' holds no cursor; \(remedy)")
        }
        return content
    }

    /// Checks that the file can be replaced later, before anything is printed.
    private func lookUp() throws -> FileInformation? {
        let directory = Path.directory(of: path)
        if !path.isEmpty, let found = try? PosixDisk().information(path), !found.isRegular { return found }
        if path.isEmpty || access(directory, W_OK | X_OK) != 0 {
            let code = path.isEmpty ? Errno.noSuchFileOrDirectory : .current
            throw DiskError(code: code, operation: "create", path: path)
        }
        return try PosixDisk().information(path)
    }

    /// Replaces the file, but keeps the positions that another process has moved further on meanwhile. Without a lock,
    /// a position can only go backwards if the other process writes between the two steps here.
    func advance(to content: Content) throws {
        let present = try read()
        let furthest = content.furthest(with: present)
        guard furthest == content || furthest != present else { return }
        try write(furthest)
    }

    /// Replaces the file with any content.
    func write(_ content: Content) throws {
        try PrivateFile.replace(path, with: CursorFile.bytes(of: content))
    }

    static func parse(_ bytes: [UInt8]) -> Content? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        let lines = text.utf8.split(separator: UInt8(ascii: "\n")).map { Substring($0) }
        guard let first = lines.first else { return nil }
        let head = first.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).map {
            Substring($0)
        }
        guard head.first.map(String.init) == allMarker else {
            return lines.count == 1 ? MessageCursor(first).map { .conversation($0) } : nil
        }
        guard head.count == 2, let store = StoreID(hex: head[1]) else { return nil }
        var cursors: [ConversationID: MessageCursor] = [:]
        for line in lines.dropFirst() {
            let words = line.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                .map { Substring($0) }
            guard words.count == 2, let id = ConversationID(hex: words[0]), let cursor = MessageCursor(words[1]),
                cursor.isOf(id)
            else { return nil }
            cursors[id] = cursor
        }
        return .all(store, cursors)
    }

    static func bytes(of content: Content) -> [UInt8] {
        switch content {
        case .none: []
        case .conversation(let cursor): Array("\(cursor)\n".utf8)
        case .all(let store, let cursors):
            Array(
                cursors.sorted { $0.key < $1.key }.reduce(into: "\(allMarker) \(store)\n") { text, entry in
                    text += "\(entry.key) \(entry.value)\n"
                }.utf8)
        }
    }
}
