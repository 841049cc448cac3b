public import NatterCrypto
public import NatterLanguage
public import NatterModel
internal import NatterSQLite
public import NatterSystem
public import NatterWire

/// Messages that are kept until a server can be reached, in the order in which they came: an SQLite file. What `add` has
/// returned from survives a crash; an entry goes only once the server has its message, or somebody drops it.
///
/// Each change takes a lock and opens the file; reading takes none. Several processes may do all of it at once.
public struct Outbox: Sendable {
    private static let lockMilliseconds = 10_000
    private static let columns = "number,queued,conversation,id,text,code,reason"

    /// `code` is NULL while an entry waits, else why the server refused it.
    private static let schema = Schema(steps: [
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
        """
    ])

    public let location: OutboxLocation
    let disk: any Disk

    /// Nothing is opened or made yet.
    public init(_ location: OutboxLocation, disk: any Disk = PosixDisk()) {
        (self.location, self.disk) = (location, disk)
    }

    // MARK: - Looking

    /// What is there, in order.
    ///
    /// - Parameter body: gets one entry after the other; false ends it.
    public func forEach(
        waitingOnly: Bool = false, after number: Int64 = 0, _ body: (OutboxEntry) -> Bool
    ) throws(OutboxError) {
        do {
            guard let connection = try reader() else { return }
            let rows = try connection.statement(
                "SELECT \(Outbox.columns) FROM entry WHERE number>?\(waitingOnly ? " AND code IS NULL" : "") ORDER BY number"
            )
            try rows.bind(number)
            while try rows.step() {
                guard body(OutboxEntry(rows)) else { return }
            }
        } catch {
            throw OutboxError(error)
        }
    }

    /// How many wait, and how many were refused.
    public func counts() throws(OutboxError) -> (waiting: Int, refused: Int) {
        do {
            guard let connection = try reader() else { return (0, 0) }
            let row = try connection.statement("SELECT count(*)-count(code),count(code) FROM entry")
            return try row.step() ? (row.int(0), row.int(1)) : (0, 0)
        } catch {
            throw OutboxError(error)
        }
    }

    /// Whether anything is to be sent. Costs next to nothing where nothing was ever queued.
    public func hasWaiting() throws(OutboxError) -> Bool {
        var found = false
        try forEach(waitingOnly: true) { _ in
            found = true
            return false
        }
        return found
    }

    /// nil while nothing was ever queued.
    private func reader() throws -> Connection? {
        guard try disk.information(location.databasePath) != nil else { return nil }
        let connection = try Connection(path: location.databasePath, role: .reader, disk: disk)
        guard try Schema.version(of: connection) > 0 else { return nil }
        try Outbox.schema.check(connection)
        return connection
    }

    // MARK: - Changing

    /// Appends messages, all or none, and returns once they are on the disk. One whose id and content are there already is
    /// not added twice; if it was refused before, it waits again, behind the others.
    ///
    /// - Parameter requests: each with an id.
    /// - Returns: their entries, and of each whether it was not there before: what was is not the caller's to take away.
    /// - Throws: `.idReused` for an id that is there with other content.
    public func add(
        _ requests: [SendRequest], at time: Timestamp
    ) throws(OutboxError) -> [(entry: OutboxEntry, isNew: Bool)] {
        try write { connection in
            try requests.map { request in
                let id = request.id ?? MessageID.make(at: time)
                let request = SendRequest(conversation: request.conversation, text: request.text, id: id)
                let known = try Outbox.entry(id: id, on: connection)
                if let known {
                    guard known.request.conversation == request.conversation, known.request.text == request.text else {
                        throw OutboxError.idReused(id)
                    }
                    if known.state == .waiting { return (known, false) }
                    try connection.statement("DELETE FROM entry WHERE number=?").run(known.number)
                }
                try connection.statement("INSERT INTO entry (queued,conversation,id,text) VALUES (?,?,?,?)")
                    .run(time.milliseconds, request.conversation, id, request.text)
                let entry = OutboxEntry(
                    number: connection.lastInsertedRow, queued: time, request: request, state: .waiting)
                return (entry, known == nil)
            }
        }
    }

    /// Adds messages that nobody has asked to be sent: they lie parked until somebody decides. One whose id is there already
    /// stays as it is.
    ///
    /// - Parameters:
    ///   - requests: each with an id.
    ///   - code: in one word why they are there, `reason` the same in words.
    public func park(
        _ requests: [SendRequest], code: String, reason: String, at time: Timestamp
    ) throws(OutboxError) {
        guard !requests.isEmpty else { return }
        try write { connection in
            for request in requests {
                try connection.statement(
                    "INSERT OR IGNORE INTO entry (queued,conversation,id,text,code,reason) VALUES (?,?,?,?,?,?)"
                ).run(time.milliseconds, request.conversation, request.id, request.text, code, reason)
            }
        }
    }

    /// Lets refused messages wait again, in their old places.
    ///
    /// - Parameter names: numbers or ids; empty for all that were refused.
    /// - Returns: the numbers of those that wait now.
    /// - Throws: `.noEntry`, with nothing changed.
    public func retry(_ names: [String]) throws(OutboxError) -> [Int64] {
        try write { connection in
            let numbers =
                names.isEmpty
                ? try Outbox.numbers("SELECT number FROM entry WHERE code IS NOT NULL ORDER BY number", on: connection)
                : try names.map { try Outbox.number(of: $0, on: connection) }
            for number in numbers {
                try connection.statement("UPDATE entry SET code=NULL,reason=NULL WHERE number=?").run(number)
            }
            return numbers
        }
    }

    /// Throws messages away. Not while another process delivers: what is dropped must not be sent a moment later.
    ///
    /// - Parameter names: numbers or ids; nil for everything.
    /// - Returns: how many there were.
    /// - Throws: `.noEntry`, with nothing changed.
    public func drop(_ names: [String]?) throws(OutboxError) -> Int {
        guard let delivery = try lockDelivery(timeoutMilliseconds: Outbox.lockMilliseconds) else {
            throw .locked(path: location.deliveryLockPath)
        }
        defer { withExtendedLifetime(delivery) {} }
        return try write { connection in
            guard let names else {
                try connection.statement("DELETE FROM entry").run()
                return connection.changedRows
            }
            let numbers = Set(try names.map { try Outbox.number(of: $0, on: connection) })
            for number in numbers { try connection.statement("DELETE FROM entry WHERE number=?").run(number) }
            return numbers.count
        }
    }

    /// Takes away what was sent, and parks what was refused.
    func settle(sent: [Int64], refused: (number: Int64, APIError.Refusal)?) throws(OutboxError) {
        guard !sent.isEmpty || refused != nil else { return }
        try write { connection in
            for number in sent { try connection.statement("DELETE FROM entry WHERE number=?").run(number) }
            if let (number, refusal) = refused {
                try connection.statement("UPDATE entry SET code=?,reason=? WHERE number=?")
                    .run(refusal.code, refusal.message, number)
            }
        }
    }

    /// Takes away one that its own command answers for.
    public func withdraw(_ entry: OutboxEntry) throws(OutboxError) { try settle(sent: [entry.number], refused: nil) }

    // MARK: - Helpers

    /// The right to deliver; nil if another process has it.
    func lockDelivery(timeoutMilliseconds: Int) throws(OutboxError) -> (any DiskLock)? {
        do {
            try makeDirectory()
            return try disk.lock(location.deliveryLockPath, timeoutMilliseconds: timeoutMilliseconds)
        } catch {
            throw OutboxError(error)
        }
    }

    /// Where the database is, its directory is; to make sure costs a sync.
    private func makeDirectory() throws(DiskError) {
        if try disk.information(location.databasePath) == nil { try disk.makeDirectories(location.directory) }
    }

    /// Runs `body` in one transaction, under the lock.
    private func write<Result>(_ body: (Connection) throws -> Result) throws(OutboxError) -> Result {
        do {
            try makeDirectory()
            guard let lock = try disk.lock(location.lockPath, timeoutMilliseconds: Outbox.lockMilliseconds) else {
                throw OutboxError.locked(path: location.lockPath)
            }
            // Closing the connection may checkpoint, so it has to come before the lock goes.
            defer { withExtendedLifetime(lock) {} }
            return try Outbox.transaction(on: location.databasePath, disk, body)
        } catch {
            throw OutboxError(error)
        }
    }

    private static func transaction<Result>(
        on path: String, _ disk: any Disk, _ body: (Connection) throws -> Result
    ) throws -> Result {
        // There is a log only where a process was killed, its disk failed it, or somebody was reading: what it holds may be
        // there only until the power goes, and is not to be moved into the database before it is on the disk.
        try Connection.makeLogDurable(of: path, on: disk)
        let connection = try Connection(path: path, role: .writer, disk: disk)
        try schema.migrate(connection)
        let result = try connection.transaction { () throws -> Result in try body(connection) }
        // With a reader about, closing would leave it all in the WAL.
        try connection.checkpoint(truncating: false)
        return result
    }

    private static func entry(id: String, on connection: Connection) throws -> OutboxEntry? {
        let row = try connection.statement("SELECT \(columns) FROM entry WHERE id=?")
        try row.bind(id)
        return try row.step() ? OutboxEntry(row) : nil
    }

    private static func numbers(_ sql: String, on connection: Connection) throws -> [Int64] {
        let rows = try connection.statement(sql)
        var numbers: [Int64] = []
        while try rows.step() { numbers.append(rows.int64(0)) }
        return numbers
    }

    /// An id that looks like a number counts as an id first.
    private static func number(of name: String, on connection: Connection) throws -> Int64 {
        if let entry = try entry(id: name, on: connection) { return entry.number }
        if let number = Int64(name) {
            let row = try connection.statement("SELECT number FROM entry WHERE number=?")
            try row.bind(number)
            if try row.step() { return number }
        }
        throw OutboxError.noEntry(name)
    }
}

extension OutboxEntry {
    fileprivate init(_ row: borrowing Statement) {
        number = row.int64(0)
        queued = Timestamp(milliseconds: row.int64(1))
        request = SendRequest(conversation: row.text(2), text: row.text(4), id: row.text(3))
        state = row.optionalText(5).map { .refused(code: $0, reason: row.text(6)) } ?? .waiting
    }
}

/// A message that has not been sent yet.
public struct OutboxEntry: Sendable {
    public enum State: Sendable, Equatable {
        /// To be sent as soon as the server is reached and all before it are.
        case waiting
        /// The server won't have it: it is parked until somebody decides, and nothing waits behind it.
        case refused(code: String, reason: String)
    }

    /// Its place in the order, counted from 1, never used twice.
    public let number: Int64
    public let queued: Timestamp
    /// With an id.
    public let request: SendRequest
    public let state: State
}

/// An entry as `--json` shows it.
public struct OutboxObject: Encodable, Sendable {
    private struct Reason: Encodable {
        let code: String
        let message: String
    }

    private let entry: OutboxEntry

    public init(_ entry: OutboxEntry) { self.entry = entry }

    private enum CodingKeys: String, CodingKey { case number, id, conversation, text, queued, state, error }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(entry.number, forKey: .number)
        try container.encodeIfPresent(entry.request.id, forKey: .id)
        try container.encode(entry.request.conversation, forKey: .conversation)
        try container.encode(entry.request.text, forKey: .text)
        try container.encode(entry.queued.rfc3339, forKey: .queued)
        switch entry.state {
        case .waiting: try container.encode("waiting", forKey: .state)
        case .refused(let code, let reason):
            try container.encode("refused", forKey: .state)
            try container.encode(Reason(code: code, message: reason), forKey: .error)
        }
    }
}

/// Why the outbox did not do what it was asked for.
public enum OutboxError: Error, Equatable, PhraseConvertible {
    /// Another process is at work on it for longer than it should take.
    case locked(path: String)
    /// The disk is full; nothing was changed.
    case full(Phrase)
    /// The disk or the database failed.
    case storage(Phrase)
    /// An id that waits there already, with other content.
    case idReused(String)
    /// Neither a number nor an id of anything that is there.
    case noEntry(String)

    public var phrase: Phrase {
        switch self {
        case .locked(let path): "another natter is using '\(path)'; try again later"
        case .full(let what), .storage(let what): what
        case .idReused(let id):
            "the id '\(id)' belongs to another message in the outbox; 'natter outbox ls' shows it"
        case .noEntry(let what): "nothing in the outbox is called '\(what)'; 'natter outbox ls' lists what waits"
        }
    }

    /// Brings what the rooms below throw into this type.
    init(_ error: any Error) {
        self =
            switch error {
            case let error as OutboxError: error
            case let error as DiskError where error.isFull: .full("\(error)")
            case let error as SQLiteError where error.reason == .full: .full("\(error)")
            case let error as SQLiteError where error.reason == .busy: .locked(path: error.path)
            default: .storage(Phrase(describing: error))
            }
    }
}

/// Where the messages wait that one account, or one token, has to send: `HOME/outbox/…/`. What one login has queued is
/// never sent by another.
public struct OutboxLocation: Sendable, Equatable {
    public let directory: String

    var databasePath: String { directory + "/outbox.db" }
    /// Held around each change of the database, never while waiting for the network.
    var lockPath: String { directory + "/outbox.lock" }
    /// Held by the one process that delivers, so that what waits goes out in order.
    var deliveryLockPath: String { directory + "/delivery.lock" }
}

extension ClientHome {
    /// The outbox of a user of a store. As with the replica, a new address of the store leads to the same one.
    public func outbox(store: StoreID, user: String) -> OutboxLocation {
        let replica = replica(store: store, user: user)
        return OutboxLocation(directory: "\(path)/outbox/\(replica.directoryName)")
    }

    /// The outbox of a token that was given as a file: whose it is need not be known, and what it may do is its own.
    public func outbox(of token: Token) -> OutboxLocation {
        OutboxLocation(directory: "\(path)/outbox/token-\(tokenAccount(token).fingerprint)")
    }
}
