internal import CPostgres
internal import Glibc

/// One connection to a database. Only one thread may use it at a time.
public final class PostgresConnection {
    private let handle: OpaquePointer
    /// The names of prepared statements, by their SQL.
    private var prepared: [String: String] = [:]
    /// How many statements are sent before their answers are read. libpq keeps them in memory meanwhile.
    private static let pipelineLength = 200
    /// How long the server may neither take nor send a byte before the connection counts as lost.
    public var silenceMilliseconds: Int32
    /// Whether PostgreSQL has said that it waits for a standby no longer.
    private var hasGivenUpStandby = false

    /// A statement of a pipeline.
    public struct Statement: Sendable {
        public var sql: String
        public var values: [PostgresValue]

        public init(_ sql: String, _ values: [PostgresValue]) { (self.sql, self.values) = (sql, values) }
    }

    public init(_ target: PostgresTarget, silenceMilliseconds: Int32) throws(PostgresError) {
        let settings = [("dbname", target.text)] + target.settings.map { ($0.key, $0.value) }
        var opened: OpaquePointer?
        withCStrings(settings.map(\.0)) { keywords in
            withCStrings(settings.map(\.1)) { values in opened = PQconnectdbParams(keywords, values, 1) }
        }
        guard let opened else { throw PostgresError(message: "out of memory") }
        guard PQstatus(opened) == CONNECTION_OK else {
            let error = PostgresError(message: PostgresTarget.line(String(cString: PQerrorMessage(opened))))
            PQfinish(opened)
            throw error
        }
        (handle, self.silenceMilliseconds) = (opened, silenceMilliseconds)
        // Otherwise libpq waits for a server that takes nothing, without a limit.
        guard PQsetnonblocking(handle, 1) == 0 else { throw error(nil) }
        // Warnings would go to standard error.
        let receiver = Unmanaged.passUnretained(self).toOpaque()
        _ = PQsetNoticeReceiver(
            handle,
            { receiver, notice in
                // The code of this one is that of any warning, and its text may be translated: "canceling wait for synchronous
                // replication".
                guard let receiver, PostgresConnection.field("F", of: notice) == "syncrep.c" else { return }
                Unmanaged<PostgresConnection>.fromOpaque(receiver).takeUnretainedValue().hasGivenUpStandby = true
            }, receiver)
    }

    deinit { PQfinish(handle) }

    /// The library with its version.
    public static var library: String {
        let version = PQlibVersion()
        return "libpq \(version / 10_000).\(version % 10_000)"
    }

    /// Whether no transaction is open.
    public var isBetweenTransactions: Bool { PQtransactionStatus(handle) == PQTRANS_IDLE }

    /// Runs one or more statements without parameters and without rows.
    public func execute(_ sql: String) throws(PostgresError) {
        _ = try answer(isSent: PQsendQuery(handle, sql))
    }

    /// Runs one statement, which stays prepared.
    @discardableResult
    public func run(_ sql: String, _ values: PostgresValue...) throws(PostgresError) -> PostgresRows {
        try run(sql, all: values)
    }

    public func run(_ sql: String, all values: [PostgresValue]) throws(PostgresError) -> PostgresRows {
        let name = try prepare(sql)
        return try answer(isSent: send(name, values))
    }

    /// Runs one statement that is not worth preparing, or can't be.
    public func runOnce(_ sql: String) throws(PostgresError) -> PostgresRows {
        try answer(isSent: PQsendQueryParams(handle, sql, 0, nil, nil, nil, nil, 1))
    }

    /// Runs statements in order without waiting for each answer.
    ///
    /// - Returns: their rows.
    /// - Throws: the first error. Later statements have not run then. Call in a transaction, because earlier ones have.
    @discardableResult
    public func run(all statements: [Statement]) throws(PostgresError) -> [PostgresRows] {
        var answers: [PostgresRows] = []
        var rest = statements[...]
        while !rest.isEmpty {
            let part = rest.prefix(PostgresConnection.pipelineLength)
            rest = rest.dropFirst(part.count)
            answers += try pipeline(part)
        }
        return answers
    }

    private func pipeline(_ statements: ArraySlice<Statement>) throws(PostgresError) -> [PostgresRows] {
        var names: [String] = []
        for statement in statements { names.append(try prepare(statement.sql)) }
        guard PQenterPipelineMode(handle) == 1 else { throw error(nil) }
        for (name, statement) in zip(names, statements) {
            guard send(name, statement.values) == 1 else { throw error(nil) }
        }
        guard PQpipelineSync(handle) == 1 else { throw error(nil) }
        var answers: [PostgresRows] = []
        var failure: PostgresError?
        var isBetween = false
        while true {
            // Nil separates the answers of two statements. Twice nil says that the connection is lost, even where its
            // status does not.
            guard let result = try nextResult() else {
                if isBetween || PQstatus(handle) != CONNECTION_OK { throw error(nil) }
                isBetween = true
                continue
            }
            isBetween = false
            let answer = PostgresRows(result)
            let status = PQresultStatus(result)
            if failure == nil, status == PGRES_FATAL_ERROR { failure = error(result) }
            if status == PGRES_PIPELINE_SYNC { break }
            answers.append(answer)
            if PQstatus(handle) != CONNECTION_OK { throw failure ?? error(nil) }
        }
        guard PQexitPipelineMode(handle) == 1 else { throw error(nil) }
        if let failure { throw failure }
        try requireStandby()
        return answers
    }

    private func prepare(_ sql: String) throws(PostgresError) -> String {
        if let known = prepared[sql] { return known }
        let name = "s\(prepared.count)"
        _ = try answer(isSent: PQsendPrepare(handle, name, sql, 0, nil))
        prepared[sql] = name
        return name
    }

    private func send(_ name: String, _ values: [PostgresValue]) -> Int32 {
        withParameters(values) { count, pointers, lengths, formats in
            PQsendQueryPrepared(handle, name, count, pointers, lengths, formats, 1)
        }
    }

    /// Waits for the answer to what was sent outside a pipeline.
    /// - Returns: the rows of the last statement.
    private func answer(isSent: Int32) throws(PostgresError) -> PostgresRows {
        guard isSent == 1 else { throw error(nil) }
        var last: PostgresRows?
        var failure: PostgresError?
        while let result = try nextResult() {
            let status = PQresultStatus(result)
            if status != PGRES_COMMAND_OK, status != PGRES_TUPLES_OK { failure = error(result) }
            last = PostgresRows(result)
            // The server's own reason says more than the end of the connection.
            if failure?.isLost == true || PQstatus(handle) != CONNECTION_OK { break }
        }
        guard failure == nil, let last else { throw failure ?? error(nil) }
        try requireStandby()
        return last
    }

    /// - Throws: as for a lost answer, if a commit succeeded although an administrator has ended its wait for a standby. A standby
    ///   that takes over may not have it.
    private func requireStandby() throws(PostgresError) {
        if hasGivenUpStandby { throw PostgresError(message: "the wait for a synchronous standby was cancelled") }
    }

    /// Waits for the next result, for as long as bytes go to the server or come from it.
    /// - Returns: nil after the last result of a statement.
    private func nextResult() throws(PostgresError) -> OpaquePointer? {
        while true {
            let unsent = PQflush(handle)
            guard PQisBusy(handle) == 1, PQstatus(handle) == CONNECTION_OK else { return PQgetResult(handle) }
            var descriptor = pollfd(
                fd: PQsocket(handle), events: Int16(POLLIN) | (unsent == 1 ? Int16(POLLOUT) : 0), revents: 0)
            let ready = poll(&descriptor, 1, silenceMilliseconds)
            if ready == 0 {
                throw PostgresError(message: "the server has not answered for \(silenceMilliseconds / 1_000) s")
            }
            guard PQconsumeInput(handle) == 1 else { throw error(nil) }
            // TLS may have taken more from the socket than the first read returns, which `poll` would not see.
            if PQisBusy(handle) == 1, PQconsumeInput(handle) != 1 { throw error(nil) }
        }
    }

    /// Waits for notifications.
    /// - Returns: what they say; empty after the timeout.
    public func notifications(timeoutMilliseconds: Int32) throws(PostgresError) -> [String] {
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        var texts: [String] = []
        func drain() {
            while let notification = PQnotifies(handle) {
                texts.append(String(cString: notification.pointee.extra))
                PQfreemem(notification)
            }
        }
        drain()
        guard texts.isEmpty, poll(&descriptor, 1, timeoutMilliseconds) > 0 else { return texts }
        guard PQconsumeInput(handle) == 1 else { throw error(nil) }
        if PQstatus(handle) != CONNECTION_OK { throw error(nil) }
        drain()
        return texts
    }

    private func error(_ result: OpaquePointer?) -> PostgresError {
        let field = { PostgresConnection.field($0, of: result) }
        let message = field("M") ?? PostgresTarget.line(String(cString: PQerrorMessage(handle)))
        // Each error of the server has a SQLSTATE. Without one, libpq itself has lost the server.
        return PostgresError(state: field("C") ?? "", message: message)
    }

    /// - Parameter code: one of PG_DIAG_SQLSTATE and its like, which are character constants that Swift can't import.
    private static func field(_ code: Character, of result: OpaquePointer?) -> String? {
        guard let result, let value = PQresultErrorField(result, Int32(code.asciiValue ?? 0)) else { return nil }
        return String(cString: value)
    }
}

/// Calls `body` with C strings, and nil behind the last.
private func withCStrings(_ strings: [String], _ body: ([UnsafePointer<CChar>?]) -> Void) {
    let copies = strings.map { strdup($0) }
    body(copies.map { UnsafePointer($0) } + [nil])
    for copy in copies { free(copy) }
}

/// Calls `body` with the values as libpq takes them: numbers as text, because the server decides their type, and text
/// and bytes as they are, with their length.
private func withParameters<Result>(
    _ values: [PostgresValue],
    _ body: (Int32, [UnsafePointer<CChar>?], [Int32], [Int32]) -> Result
) -> Result {
    var bytes: [UInt8] = []
    var places: [Int?] = []
    var lengths: [Int32] = []
    var formats: [Int32] = []
    for value in values {
        let start = bytes.count
        var format: Int32 = 1
        switch value {
        case .null:
            places.append(nil)
            lengths.append(0)
            formats.append(0)
            continue
        case .integer(let number):
            bytes += String(number).utf8
            bytes.append(0)
            format = 0
        case .text(let text): bytes += text.utf8
        case .bytes(let blob): bytes += blob
        }
        places.append(start)
        lengths.append(Int32(clamping: bytes.count - start))
        formats.append(format)
    }
    // An empty value must not be a null pointer, which would be NULL.
    bytes.append(0)
    return bytes.withUnsafeBufferPointer { buffer in
        buffer.withMemoryRebound(to: CChar.self) { memory in
            let pointers = places.map { place in place.flatMap { place in memory.baseAddress.map { $0 + place } } }
            return body(Int32(clamping: values.count), pointers, lengths, formats)
        }
    }
}
