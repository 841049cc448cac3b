internal import NatterConversation
public import NatterModel
internal import NatterSQLite
public import NatterSystem
public import NatterProtocol

/// Messages in an SQLite file, kept in order until a server can be reached. Messages survive a crash once `add` has
/// returned. An entry is removed only after the server has its message, or when the user drops it.
///
/// Each change takes a lock and opens the file. Reading takes no lock. Several processes may do both at once.
public struct Outbox {
    private static let columns = "number,queued,conversation,id,text,code,reason,about,tried,conversation_id,kind"

    /// `code` is NULL while an entry waits, otherwise the reason why the server refused it.
    static let schema = Schema(steps: [
        """
        CREATE TABLE entry (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            queued INTEGER NOT NULL,
            conversation TEXT NOT NULL,
            id TEXT NOT NULL UNIQUE,
            text TEXT NOT NULL,
            code TEXT,
            reason TEXT
        );
        CREATE INDEX entry_waiting ON entry (number) WHERE code IS NULL;
        """,
        // The message that a reply is about.
        "ALTER TABLE entry ADD COLUMN about INTEGER;",
        // When a server may have taken the message without an answer; NULL if none has.
        "ALTER TABLE entry ADD COLUMN tried INTEGER;",
        // The digits of the conversation's id; NULL if only its name was known.
        "ALTER TABLE entry ADD COLUMN conversation_id TEXT;",
        // 'edit' or 'delete' for a change, 'read' for a mark; NULL for a text.
        "ALTER TABLE entry ADD COLUMN kind TEXT;",
        OutboxFiles.table,
    ])

    public let location: OutboxLocation
    let disk: any Disk

    /// Does not open or create anything.
    public init(_ location: OutboxLocation, disk: any Disk = PosixDisk()) {
        (self.location, self.disk) = (location, disk)
    }

    // MARK: - Reading

    /// Visits the entries in order.
    ///
    /// - Parameter body: gets each entry; returns false to stop.
    public func forEach(
        waitingOnly: Bool = false, _ body: (OutboxEntry) -> Bool
    ) throws(OutboxError) {
        try read { connection in
            let rows = try connection.statement(
                "SELECT \(Outbox.columns) FROM entry \(waitingOnly ? "WHERE code IS NULL " : "")ORDER BY number")
            while try rows.step(), body(try entry(rows, on: connection)) {}
        }
    }

    /// How many entries wait, and how many were refused.
    public func counts() throws(OutboxError) -> (waiting: Int, refused: Int) {
        do {
            guard let connection = try reader() else { return (0, 0) }
            return try connection.row("SELECT count(*)-count(code),count(code) FROM entry") {
                ($0.int(0), $0.int(1))
            } ?? (0, 0)
        } catch {
            throw OutboxError(error)
        }
    }

    /// Has SQLite check the database.
    ///
    /// - Throws: `.damaged`.
    public func check() throws(OutboxError) {
        do { try reader()?.checkIntegrity() } catch { throw OutboxError(error) }
    }

    /// Whether any entry waits. Costs almost nothing if the outbox was never used.
    public func hasWaiting() throws(OutboxError) -> Bool {
        var found = false
        try forEach(waitingOnly: true) { _ in
            found = true
            return false
        }
        return found
    }

    /// Whether an entry still waits. Another command may have delivered it.
    public func waits(_ entry: OutboxEntry) throws(OutboxError) -> Bool {
        try read { connection in
            try connection.hasRow("SELECT number FROM entry WHERE number=? AND code IS NULL", entry.number)
        } ?? false
    }

    /// - Returns: nil if the outbox was never used.
    private func read<Result>(_ body: (Connection) throws -> Result) throws(OutboxError) -> Result? {
        do {
            guard let connection = try reader() else { return nil }
            // A power loss must not take entries of a killed process after they were shown or sent.
            let log = location.databasePath + "-wal"
            if try disk.information(log)?.size ?? 0 > 0 { try disk.open(log, .readWrite).sync() }
            return try body(connection)
        } catch {
            throw OutboxError(error)
        }
    }

    private func reader() throws -> Connection? {
        guard try disk.information(location.databasePath) != nil else { return nil }
        let connection = try Connection(path: location.databasePath, role: .reader, disk: disk)
        let version = try Outbox.schema.check(connection)
        // A file that an earlier natter wrote gets the columns that it lacks.
        if version > 0, version < Outbox.schema.steps.count { try write { _ in } }
        return version > 0 ? connection : nil
    }

    // MARK: - Changing

    /// Appends messages, all or none, and returns when they are on disk. A message whose id and content are already
    /// there is not added again. If it was refused before, it waits again, behind the others.
    ///
    /// - Parameters:
    ///   - requests: messages that all have an id.
    ///   - files: what each of them is sent with. The bytes are copied.
    ///   - mayHaveArrived: whether they were sent a moment ago, and no answer came.
    /// - Returns: their entries, and whether each is new. The caller must not withdraw an entry that existed before.
    /// - Throws: `.idReused` if an id is there with other content.
    public func add(
        _ requests: [SendRequest], files: [OutgoingFile] = [], at time: Timestamp, mayHaveArrived: Bool = false
    ) throws(OutboxError) -> [(entry: OutboxEntry, isNew: Bool)] {
        var kept: [OutboxFile] = []
        do { kept = try files.map(self.files.keep) } catch { throw OutboxError(error) }
        var isUsed = false
        defer { if !isUsed { for file in kept { try? disk.remove(file.path) } } }
        return try write { connection in
            try requests.map { request in
                let id = request.id ?? MessageID.make(at: time)
                var request = request
                request.id = id
                let known = try self.entry(id: id, on: connection)
                if let known {
                    guard Outbox.isSameConversation(known.request, request),
                        known.request.text.utf8.elementsEqual(request.text.utf8),
                        known.request.about == request.about, known.request.kind == request.kind,
                        known.files.map(\.content) == kept.map(\.content)
                    else {
                        throw OutboxError.idReused(id)
                    }
                    if known.state == .waiting { return (known, false) }
                    try connection.run("DELETE FROM entry WHERE number=?", known.number)
                }
                let tried = mayHaveArrived ? time : nil
                try connection.run(
                    """
                    INSERT INTO entry (queued,conversation,conversation_id,id,text,kind,about,tried)
                    VALUES (?,?,?,?,?,?,?,?)
                    """, time.milliseconds, request.conversation, request.conversationID?.description, id, request.text,
                    request.kind, request.about, tried?.milliseconds)
                let entry = OutboxEntry(
                    number: connection.lastInsertedRow, queued: time, request: request, files: kept, state: .waiting,
                    tried: tried)
                try OutboxFiles.insert(kept, of: entry.number, on: connection)
                isUsed = true
                return (entry, known == nil)
            }
        }
    }

    /// Adds messages that are not sent before the user decides so. A message whose id is already there is not
    /// changed.
    ///
    /// - Parameters:
    ///   - requests: messages that all have an id.
    ///   - code: the reason in one word; `reason` is the same in words.
    public func park(
        _ requests: [SendRequest], code: String, reason: String, at time: Timestamp
    ) throws(OutboxError) {
        guard !requests.isEmpty else { return }
        try write { connection in
            for request in requests {
                try connection.run(
                    """
                    INSERT OR IGNORE INTO entry (queued,conversation,conversation_id,id,text,code,reason,about)
                    VALUES (?,?,?,?,?,?,?,?)
                    """, time.milliseconds, request.conversation, request.conversationID?.description, request.id,
                    request.text, code, reason, request.about)
            }
        }
    }

    /// Lets refused messages wait again, in their old places.
    ///
    /// - Parameter names: numbers or ids; empty for all refused messages.
    /// - Returns: the numbers of the messages that now wait.
    /// - Throws: `.noEntry`, `.ambiguous`; nothing was changed then.
    public func retry(_ names: [String]) throws(OutboxError) -> [Int64] {
        try write { connection in
            let numbers =
                names.isEmpty
                ? try Outbox.numbers("SELECT number FROM entry WHERE code IS NOT NULL ORDER BY number", on: connection)
                : try names.map { try Outbox.number(of: $0, on: connection) }
            for number in numbers {
                // One that waits may have arrived, and keeps the time from which its id may be forgotten.
                try connection.run(
                    "UPDATE entry SET code=NULL,reason=NULL,tried=NULL WHERE number=? AND code IS NOT NULL", number)
            }
            return numbers
        }
    }

    /// Drops messages. Waits until no other process delivers, so that a dropped message is not sent a moment later.
    ///
    /// - Parameter names: numbers or ids; nil for all messages.
    /// - Returns: how many messages were dropped.
    /// - Throws: `.noEntry`, `.ambiguous`; nothing was changed then. `.locked` if another process delivers for too long.
    public func drop(_ names: [String]?) throws(OutboxError) -> Int {
        guard let delivery = try lockDelivery(timeoutMilliseconds: FileLock.patienceMilliseconds) else {
            throw .locked(path: location.deliveryLockPath)
        }
        defer { withExtendedLifetime(delivery) {} }
        return try write { connection in
            guard let names else {
                try connection.run("DELETE FROM entry")
                return connection.changedRows
            }
            let numbers = Set(try names.map { try Outbox.number(of: $0, on: connection) })
            try Outbox.remove(Array(numbers), on: connection)
            return numbers.count
        }
    }

    /// Notes when these messages may have arrived first; nil if they have not.
    func set(tried time: Timestamp?, of numbers: [Int64]) throws(OutboxError) {
        guard !numbers.isEmpty else { return }
        try write { connection in
            for number in numbers {
                try connection.run("UPDATE entry SET tried=? WHERE number=?", time?.milliseconds, number)
            }
        }
    }

    /// Removes messages that were sent and parks the one that was refused.
    func settle(sent: [Int64], refused: (number: Int64, RequestError.Refusal)?) throws(OutboxError) {
        guard !sent.isEmpty || refused != nil else { return }
        try write { connection in
            try Outbox.remove(sent, on: connection)
            if let (number, refusal) = refused {
                try connection.run(
                    "UPDATE entry SET code=?,reason=? WHERE number=?", refusal.code, refusal.message, number)
            }
        }
    }

    /// Removes an entry whose own command reports its outcome.
    public func withdraw(_ entry: OutboxEntry) throws(OutboxError) { try settle(sent: [entry.number], refused: nil) }

    // MARK: - Helpers

    /// Takes the lock for delivering; nil if another process holds it.
    func lockDelivery(timeoutMilliseconds: Int) throws(OutboxError) -> (any DiskLock)? {
        do {
            try makeDirectory()
            return try disk.lock(location.deliveryLockPath, timeoutMilliseconds: timeoutMilliseconds)
        } catch {
            throw OutboxError(error)
        }
    }

    /// If the database exists, so does its directory. Checking the directory would cost a sync.
    private func makeDirectory() throws(DiskError) {
        if try disk.information(location.databasePath) == nil { try disk.makeDirectories(location.directory) }
    }

    /// Runs `body` in one transaction while holding the lock.
    private func write<Result>(_ body: (Connection) throws -> Result) throws(OutboxError) -> Result {
        do {
            try makeDirectory()
            guard let lock = try disk.lock(location.lockPath, timeoutMilliseconds: FileLock.patienceMilliseconds) else {
                throw OutboxError.locked(path: location.lockPath)
            }
            // Closing the connection may checkpoint, so it must happen before the lock is released.
            defer { withExtendedLifetime(lock) {} }
            return try transaction(body)
        } catch {
            throw OutboxError(error)
        }
    }

    /// Removes entries. Once few are left, the table is written anew, so that the texts of the others are not in the file any more.
    private static func remove(_ numbers: [Int64], on connection: Connection) throws {
        for number in numbers { try connection.run("DELETE FROM entry WHERE number=?", number) }
        let left = try connection.row("SELECT count(*) FROM entry", read: { $0.int(0) }) ?? 0
        if !numbers.isEmpty, left <= fewEntries { try connection.rewrite("entry") }
    }

    /// A long outbox is not written anew with each batch that is sent of it.
    private static let fewEntries = 128

    private var files: OutboxFiles { OutboxFiles(directory: location.filesDirectory, disk: disk) }

    private func transaction<Result>(_ body: (Connection) throws -> Result) throws -> Result {
        let path = location.databasePath
        // A write-ahead log exists only if a process was killed, a disk failed, or a reader was active. Its content
        // may not be durable, so it must be synced before a checkpoint moves it into the database.
        try Connection.makeLogDurable(of: path, on: disk)
        let connection = try Connection(path: path, role: .writer, disk: disk)
        try Outbox.schema.migrate(connection)
        let (result, dropped) = try connection.transaction { () throws -> (Result, Set<String>) in
            let names = try OutboxFiles.names(on: connection)
            return (try body(connection), try OutboxFiles.dropRows(of: names, on: connection))
        }
        // While a reader is active, closing the connection would leave everything in the WAL. If it fails, as on a full
        // disk, the log has what was changed, and the next process tries again.
        try? connection.checkpoint(.passive)
        // What stays after a failure goes with a later change.
        try? files.remove(dropped, on: connection, now: SystemClock().now())
        return result
    }

    /// Whether two messages go to one conversation. Ids decide, because a name may have changed its meaning.
    private static func isSameConversation(_ one: SendRequest, _ other: SendRequest) -> Bool {
        guard let id = one.conversationID, let otherID = other.conversationID else {
            return one.conversation == other.conversation
        }
        return id == otherID
    }

    private func entry(id: String, on connection: Connection) throws -> OutboxEntry? {
        let rows = try connection.statement("SELECT \(Outbox.columns) FROM entry WHERE id=?")
        try rows.bind(id)
        return try rows.step() ? entry(rows, on: connection) : nil
    }

    private func entry(_ row: borrowing Statement, on connection: Connection) throws -> OutboxEntry {
        OutboxEntry(row, files: try files.files(of: row.int64(0), on: connection))
    }

    private static func numbers(_ sql: String, on connection: Connection) throws -> [Int64] {
        try connection.rows(sql) { $0.int64(0) }
    }

    /// - Throws: `.ambiguous` for the number of one message that is the id of another: to guess might drop the wrong one.
    private static func number(of name: String, on connection: Connection) throws -> Int64 {
        let byID = try connection.row("SELECT number FROM entry WHERE id=?", name) { $0.int64(0) }
        let byNumber = try Int64(name).flatMap {
            try connection.hasRow("SELECT number FROM entry WHERE number=?", $0) ? $0 : nil
        }
        if let byID, let byNumber, byID != byNumber { throw OutboxError.ambiguous(name, number: byID) }
        guard let number = byID ?? byNumber else { throw OutboxError.noEntry(name) }
        return number
    }
}

extension OutboxEntry {
    fileprivate init(_ row: borrowing Statement, files: [OutboxFile]) {
        self.files = files
        number = row.int64(0)
        queued = Timestamp(milliseconds: row.int64(1))
        request = SendRequest(
            conversation: row.text(2), conversationID: row.optionalText(9).flatMap { ConversationID(hex: $0) },
            text: row.text(4), id: row.text(3), kind: row.optionalText(10),
            about: row.isNull(7) ? nil : row.uint64(7))
        tried = row.optionalInt64(8).map { Timestamp(milliseconds: $0) }
        state = row.optionalText(5).map { .refused(code: $0, reason: row.text(6)) } ?? .waiting
    }
}
