public import NatterModel
internal import NatterSQLite

/// Adds messages to the index and removes conversations, in one transaction. See `SearchIndex.write`.
public final class SearchWriter {
    private let index: SearchIndex
    private var connection: Connection { index.connection }
    /// The first failure. Rows without a range may have been written, so nothing may be committed.
    private(set) var failure: (any Error)?
    /// The bytes of the texts that were added.
    public private(set) var textBytes = 0

    init(_ index: SearchIndex) { self.index = index }

    /// Adds messages of one conversation.
    ///
    /// A conversation that is not indexed may begin with any seq, because a replica may begin late. Otherwise `first`
    /// must follow the highest indexed seq. Many messages in one call make a small index, because each change to
    /// another conversation costs some 60 bytes.
    ///
    /// - Parameter body: appends the messages, in order and without gaps.
    /// - Throws: `notContiguous`, with nothing changed; `corrupt`; `database`; and the errors of `body`, which roll the
    ///   transaction back.
    public func add(
        _ conversation: ConversationID, from first: Seq, _ body: (inout SearchRows) throws -> Void
    ) throws {
        let known = try SearchIndexError.translate { try index.entry(of: conversation) }
        guard first > .zero, first.rawValue < UInt64(Int64.max) / 2, known.map({ $0.head.next == first }) ?? true else {
            throw SearchIndexError.notContiguous(
                conversation: conversation, expected: known?.head.next ?? Seq(1), given: first)
        }
        try completely {
            let number = try known?.number ?? insert(conversation, first: first)
            var rows = try SearchRows(connection, conversation: number, first: first)
            try SearchIndexError.foreign { try body(&rows) }
            try rows.finish()
            textBytes += rows.textBytes
            if rows.next > first {
                try connection.run(
                    "UPDATE conversation SET head = ?2 WHERE id = ?1", number, rows.next.previous.rawValue)
            } else if known == nil {
                try delete(number)
            }
        }
    }

    /// Notes the hash of a message that is indexed, so that the index of another history is noticed.
    public func note(_ mark: SearchIndex.Mark, of conversation: ConversationID) throws {
        try completely {
            try connection.run(
                "UPDATE conversation SET known_seq = ?2, known_hash = ?3 WHERE name = ?1 AND known_seq IS NOT 0",
                conversation.bytes, mark.seq.rawValue, Int64(bitPattern: mark.hashPrefix))
        }
    }

    /// Notes that messages of a conversation were added without their text, because they could not be read. It has no other mark
    /// until it is forgotten.
    public func noteDamage(of conversation: ConversationID) throws {
        try completely {
            try connection.run(
                "UPDATE conversation SET known_seq = 0, known_hash = 0 WHERE name = ?1", conversation.bytes)
        }
    }

    /// Notes the run of the server that writes.
    public func note(_ epoch: Epoch) throws {
        try completely {
            try connection.run("UPDATE next SET epoch = ?1 WHERE id = 1", Int64(bitPattern: epoch.rawValue))
        }
    }

    /// Removes a conversation from the index. It may be added again from any seq.
    public func forget(_ conversation: ConversationID) throws {
        guard let known = try SearchIndexError.translate({ try index.entry(of: conversation) }) else { return }
        try completely {
            try connection.run("DELETE FROM range WHERE conversation = ?1", known.number)
            try delete(known.number)
        }
    }

    private func completely(_ body: () throws -> Void) throws {
        do {
            try SearchIndexError.translate(body)
        } catch {
            failure = failure ?? error
            throw error
        }
    }

    private func insert(_ conversation: ConversationID, first: Seq) throws -> Int64 {
        try connection.run(
            "INSERT INTO conversation(name, first, head) VALUES(?1, ?2, ?2)", conversation.bytes, first.rawValue)
        return connection.lastInsertedRow
    }

    private func delete(_ number: Int64) throws {
        try connection.run("DELETE FROM conversation WHERE id = ?1", number)
    }
}

/// Receives the messages of one conversation in order. See `SearchWriter.add`.
public struct SearchRows: ~Copyable {
    private let connection: Connection
    private let conversation: Int64
    private let insert: Statement
    private var text = SearchText()
    private var row: Int64
    private var range: SearchRange?
    /// True if the range is already in the table.
    private var isStored: Bool
    /// The seq of the next message.
    public private(set) var next: Seq
    fileprivate private(set) var textBytes = 0

    init(_ connection: Connection, conversation: Int64, first: Seq) throws {
        let row = try SearchRows.nextRow(connection)
        let range = try SearchRows.lastRange(connection)
        insert = try connection.statement("INSERT INTO posting(rowid, text) VALUES(?1, ?2)")
        (self.connection, self.conversation, self.row, next) = (connection, conversation, row, first)
        // Continue the index's last range if these messages follow it.
        isStored =
            range.map { $0.conversation == conversation && $0.lastRow + 1 == row && $0.seq(of: row) == first } ?? false
        self.range = isStored ? range : nil
    }

    private static func nextRow(_ connection: Connection) throws(SQLiteError) -> Int64 {
        let row = try connection.row("SELECT row FROM next") { $0.int64(0) } ?? 0
        guard row > 0, row < Int64.max / 2 else {
            throw SQLiteError(reason: .corrupt, message: "no row comes next", path: connection.path)
        }
        return row
    }

    private static func lastRange(_ connection: Connection) throws(SQLiteError) -> SearchRange? {
        try connection.row("SELECT \(SearchRange.columns) FROM range ORDER BY first_row DESC LIMIT 1") {
            row throws(SQLiteError) in try SearchRange(row, path: connection.path)
        }
    }

    /// Adds the next message.
    ///
    /// - Parameter text: UTF-8, used only during the call. It is empty if no search may find the message.
    public mutating func append(time: Timestamp, text bytes: UnsafeRawBufferPointer) throws {
        textBytes += bytes.count
        if bytes.count > 0 { try SearchIndexError.translate { try text.insertMapped(bytes, row: row, with: insert) } }
        try account(time)
    }

    /// Adds the next message, with its text as an array.
    public mutating func append(time: Timestamp, text: [UInt8]) throws {
        try text.withUnsafeBytes { try append(time: time, text: $0) }
    }

    private mutating func account(_ time: Timestamp) throws {
        if let full = range, full.count >= Int64(SearchRange.rowLimit) {
            try save(full)
            (range, isStored) = (nil, false)
        }
        if var current = range {
            // While times rise, the highest time is the last one.
            current.timesRise = current.timesRise && time >= current.maxTime
            current.count += 1
            current.minTime = min(current.minTime, time)
            current.maxTime = max(current.maxTime, time)
            range = current
        } else {
            range = SearchRange(
                firstRow: row, count: 1, conversation: conversation, firstSeq: next, minTime: time, maxTime: time,
                timesRise: true)
        }
        row += 1
        next = next.next
    }

    // Each statement here and in `SearchWriter.add` changes one row that it finds by its key. A statement that might
    // change several rows (including REPLACE) makes a savepoint, and at a savepoint FTS5 flushes its buffer as a
    // separate small segment.

    mutating func finish() throws {
        if let range { try save(range) }
        try connection.run("UPDATE next SET row = ?1 WHERE id = 1", row)
    }

    private func save(_ range: SearchRange) throws {
        if isStored {
            let statement = try connection.statement(
                "UPDATE range SET count = ?2, min_time = ?3, max_time = ?4, rises = ?5 WHERE first_row = ?1")
            try statement.run(
                range.firstRow, range.count, range.minTime.rawValue, range.maxTime.rawValue, range.timesRise)
        } else {
            let statement = try connection.statement(
                "INSERT INTO range(\(SearchRange.columns)) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")
            try statement.run(
                range.firstRow, range.count, range.conversation, range.firstSeq.rawValue, range.minTime.rawValue,
                range.maxTime.rawValue, range.timesRise)
        }
    }
}

extension SearchIndex {
    /// Changes the index in one transaction: all of it, or nothing. The index must be open for writing.
    ///
    /// Some thousand messages make a good transaction. A crash may lose the last transactions. `coverage` shows which
    /// messages are indexed.
    public func write(_ body: (SearchWriter) throws -> Void) throws {
        try SearchIndexError.translate {
            try connection.transaction { () throws -> Void in
                let writer = SearchWriter(self)
                try SearchIndexError.foreign { try body(writer) }
                // The failure may have been caught by `body`.
                if let failure = writer.failure { try SearchIndexError.foreign { throw failure } }
            }
        }
    }
}
