internal import NatterConversation
internal import NatterSystem
internal import NatterSQLite
public import NatterModel

/// Where a message of an import stands.
public enum ImportedPlace: Sendable, Equatable {
    /// In this import, counted from 0.
    case new(UInt64)
    /// In the conversation, from an earlier import.
    case earlier(Seq)
}

/// The ids of imported messages, and the files that they came from. Both are remembered as long as the conversation lives,
/// so that the same file twice does not double a history.
///
/// The ids of a running import are in memory, some 40 bytes each. Those of earlier ones are looked up.
struct ImportMemory {
    private struct Found {
        let place: ImportedPlace
        let content: UInt64
    }

    private let store: Store
    /// nil for a conversation that this import creates.
    private let conversation: Int64?
    private var added: [UInt64: (place: UInt64, content: UInt64)] = [:]
    /// The input of this import, to be remembered with it.
    private var file: Digest?

    init(_ store: Store, conversation: Int64?) { (self.store, self.conversation) = (store, conversation) }

    /// Looks an id up, and remembers it for a message that is new.
    ///
    /// - Parameter place: the place that the message would get.
    /// - Returns: where the message with this id stands; nil if it is new.
    /// - Throws: `reusedID` if the id has another message.
    mutating func find(
        _ id: IdempotencyKey, content: [UInt8], at place: UInt64
    ) throws(ImportError) -> ImportedPlace? {
        let hash = store.keySecret.hash(id.text)
        let content = content.withUnsafeBytes { store.keySecret.hash($0) }
        guard let found = try find(hash) else {
            added[hash] = (place, content)
            return nil
        }
        // The text of an erased message is not known.
        guard found.content == content || found.content == FoundKey.erasedContent else {
            throw .badMessage(.reusedID(id.text))
        }
        return found.place
    }

    private func find(_ hash: UInt64) throws(ImportError) -> Found? {
        if let own = added[hash] { return Found(place: .new(own.place), content: own.content) }
        return try findEarlier(hash)
    }

    private func findEarlier(_ hash: UInt64) throws(ImportError) -> Found? {
        try read { connection, conversation in
            try connection.row(
                "SELECT seq,content FROM import_key WHERE conversation=? AND hash=?", conversation, hash
            ) { Found(place: .earlier(Seq($0.uint64(0))), content: $0.uint64(1)) }
        }
    }

    /// Whether a message of the conversation is erased.
    func isErased(_ seq: Seq) throws(ImportError) -> Bool {
        try read { connection, conversation in try ErasedTexts.has(seq, in: conversation, connection) } ?? false
    }

    /// Whether a message of the conversation is deleted.
    func isDeleted(_ seq: Seq) throws(ImportError) -> Bool {
        try read { connection, conversation in
            try connection.hasRow(
                "SELECT 1 FROM relation WHERE conversation=? AND about=? AND kind=?", conversation, seq.rawValue,
                Int(MessageKind.delete.rawValue))
        } ?? false
    }

    /// Reads what earlier imports have recorded; nil for a new conversation.
    private func read<Value>(_ body: (Connection, Int64) throws -> Value?) throws(ImportError) -> Value? {
        guard let conversation else { return nil }
        do throws(StoreError) { return try store.reading { try body($0.connection, conversation) } } catch {
            throw .store(error)
        }
    }

    /// Remembers the input of this import.
    ///
    /// - Returns: when an earlier import had the same one.
    mutating func note(_ file: Digest) throws(ImportError) -> Timestamp? {
        self.file = file
        return try time(of: file)
    }

    private func time(of file: Digest) throws(ImportError) -> Timestamp? {
        try read { connection, conversation in
            try connection.row(
                "SELECT time FROM import_file WHERE conversation=? AND digest=?", conversation, file.bytes
            ) { Timestamp(milliseconds: $0.int64(0)) }
        }
    }

    /// Whether an import has brought the same input, or a message with one of the ids, since they were looked up.
    func isKnown() throws(ImportError) -> Bool {
        if let file, try time(of: file) != nil { return true }
        for hash in added.keys where try findEarlier(hash) != nil { return true }
        return false
    }

    /// The change that the commit of the import records; nil if there is nothing to remember.
    ///
    /// - Parameter first: the seq of the first message.
    func change(in conversation: Int64, first: Seq, at time: Timestamp) -> Change? {
        if file == nil, added.isEmpty { return nil }
        let keys = added.map { hash, found in
            Change.ImportedKey(
                hash: hash, seq: first.advanced(by: Int(clamping: found.place)), content: found.content)
        }
        return .importRemembered(
            Change.RememberedImport(
                conversation: conversation, file: file, time: time, keys: keys.sorted { $0.hash < $1.hash }))
    }
}
