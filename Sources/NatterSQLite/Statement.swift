internal import CSQLite
internal import NatterModel

/// A prepared statement in use. It returns to its connection's cache when it ends.
///
/// Call `bind` with one value for each `?` in order. Then read rows with `step` and the column readers.
public struct Statement: ~Copyable {
    let handle: OpaquePointer
    private let sql: String
    private let connection: Connection

    init(handle: OpaquePointer, sql: String, connection: Connection) {
        (self.handle, self.sql, self.connection) = (handle, sql, connection)
    }

    deinit { connection.giveBack(handle, sql: sql) }

    /// Binds the values to the parameters 1, 2, 3 …
    public borrowing func bind(_ values: any SQLValue...) throws(SQLiteError) { try bind(all: values) }

    /// Moves to the next row.
    /// - Returns: false at the end.
    public borrowing func step() throws(SQLiteError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code: throw connection.error(code)
        }
    }

    /// Runs a statement that returns no rows.
    public borrowing func run(_ values: any SQLValue...) throws(SQLiteError) {
        try bind(all: values)
        while try step() {}
        sqlite3_reset(handle)
    }

    /// Runs a statement with the parameters (row, text) that returns no rows. The text is not copied.
    ///
    /// - Parameter text: UTF-8, used only during the call.
    public borrowing func run(row: Int64, text: UnsafeRawBufferPointer) throws(SQLiteError) {
        sqlite3_bind_int64(handle, 1, row)
        // SQLite keeps the pointer but does not use it, because the statement never runs again without new values.
        sqlite3_bind_text(
            handle, 2, text.bindMemory(to: CChar.self).baseAddress, Int32(clamping: text.count), nil)
        let code = sqlite3_step(handle)
        sqlite3_reset(handle)
        guard code == SQLITE_DONE else { throw connection.error(code) }
    }

    /// Resets the statement, so that it can run with other values.
    public borrowing func reset() { sqlite3_reset(handle) }

    public borrowing func int64(_ column: Int) -> Int64 { sqlite3_column_int64(handle, Int32(column)) }
    public borrowing func int(_ column: Int) -> Int { Int(clamping: int64(column)) }
    /// A number stored as the bits of an Int64.
    public borrowing func uint64(_ column: Int) -> UInt64 { UInt64(bitPattern: int64(column)) }
    /// A number that the program counts on from: of a row, a message or a commit, or a count.
    ///
    /// - Throws: `corrupt` for less than 0, or more than any program reaches.
    public borrowing func ordinal(_ column: Int) throws(SQLiteError) -> Int64 {
        let number = int64(column)
        guard number >= 0, number < 1 << 62 else {
            let name = sqlite3_column_name(handle, Int32(column)).map { String(cString: $0) } ?? ""
            throw SQLiteError(
                reason: .corrupt, message: "the number \(number) is out of range in '\(name)'", path: connection.path)
        }
        return number
    }
    public borrowing func bool(_ column: Int) -> Bool { int64(column) != 0 }
    /// nil for NULL.
    public borrowing func optionalInt64(_ column: Int) -> Int64? { isNull(column) ? nil : int64(column) }
    public borrowing func isNull(_ column: Int) -> Bool { sqlite3_column_type(handle, Int32(column)) == SQLITE_NULL }

    /// The text of a column, with malformed UTF-8 repaired. It is empty for NULL.
    public borrowing func text(_ column: Int) -> String {
        guard let pointer = sqlite3_column_text(handle, Int32(column)) else { return "" }
        let count = Int(sqlite3_column_bytes(handle, Int32(column)))
        return String(decoding: UnsafeBufferPointer(start: pointer, count: count), as: UTF8.self)
    }

    public borrowing func optionalText(_ column: Int) -> String? { isNull(column) ? nil : text(column) }

    /// The bytes of a column. They are empty for NULL.
    public borrowing func blob(_ column: Int) -> [UInt8] { withBlob(column) { Array($0) } }

    /// Calls `body` with the bytes of a column, without a copy. They are valid only during the call.
    public borrowing func withBlob<Result>(
        _ column: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        let pointer = sqlite3_column_blob(handle, Int32(column))
        let count = Int(sqlite3_column_bytes(handle, Int32(column)))
        return try body(UnsafeRawBufferPointer(start: pointer, count: pointer == nil ? 0 : count))
    }

    /// The value of a column with its own type, to bind it to another statement.
    public borrowing func value(_ column: Int) -> any SQLValue {
        switch sqlite3_column_type(handle, Int32(column)) {
        case SQLITE_NULL: Int64?.none
        case SQLITE_INTEGER: int64(column)
        case SQLITE_BLOB: blob(column)
        default: text(column)
        }
    }

    /// Binds a list of values in order.
    public borrowing func bind(all values: [any SQLValue]) throws(SQLiteError) {
        for (index, value) in values.enumerated() {
            let code = value.bind(to: Parameter(statement: handle, index: Int32(index + 1)))
            if code != SQLITE_OK { throw connection.error(code) }
        }
    }
}

/// One `?` of a statement.
public struct Parameter {
    let statement: OpaquePointer
    let index: Int32
}

/// A type whose values can be bound to a parameter.
public protocol SQLValue {
    func bind(to parameter: Parameter) -> Int32
    /// The value that is bound, for a database other than SQLite.
    var datum: SQLDatum { get }
}

/// A value as SQL knows it.
public enum SQLDatum: Sendable, Equatable {
    case null
    case integer(Int64)
    case text(String)
    case blob([UInt8])
}

extension SQLDatum: SQLValue {
    public var datum: SQLDatum { self }
    public func bind(to parameter: Parameter) -> Int32 {
        switch self {
        case .null: sqlite3_bind_null(parameter.statement, parameter.index)
        case .integer(let number): number.bind(to: parameter)
        case .text(let text): text.bind(to: parameter)
        case .blob(let bytes): bytes.bind(to: parameter)
        }
    }
}

extension Int64: SQLValue {
    public var datum: SQLDatum { .integer(self) }
    public func bind(to parameter: Parameter) -> Int32 {
        sqlite3_bind_int64(parameter.statement, parameter.index, self)
    }
}

extension Int: SQLValue {
    public var datum: SQLDatum { .integer(Int64(self)) }
    public func bind(to parameter: Parameter) -> Int32 { Int64(self).bind(to: parameter) }
}

extension UInt64: SQLValue {
    public var datum: SQLDatum { .integer(Int64(bitPattern: self)) }
    /// Stores the number as the bits of an Int64. The order is lost from 2^63 on, but none of our numbers reaches that.
    public func bind(to parameter: Parameter) -> Int32 { Int64(bitPattern: self).bind(to: parameter) }
}

extension Bool: SQLValue {
    public var datum: SQLDatum { .integer(self ? 1 : 0) }
    public func bind(to parameter: Parameter) -> Int32 { Int64(self ? 1 : 0).bind(to: parameter) }
}

extension String: SQLValue {
    public var datum: SQLDatum { .text(self) }
    public func bind(to parameter: Parameter) -> Int32 {
        var text = self
        return text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { natter_sqlite_bind_text(parameter, $0) }
        }
    }
}

extension Array: SQLValue where Element == UInt8 {
    public var datum: SQLDatum { .blob(self) }
    public func bind(to parameter: Parameter) -> Int32 { withUnsafeBytes { natter_sqlite_bind_blob(parameter, $0) } }
}

extension Optional: SQLValue where Wrapped: SQLValue {
    public var datum: SQLDatum { self?.datum ?? .null }
    public func bind(to parameter: Parameter) -> Int32 {
        switch self {
        case .some(let value): value.bind(to: parameter)
        case .none: sqlite3_bind_null(parameter.statement, parameter.index)
        }
    }
}

private func natter_sqlite_bind_text(_ parameter: Parameter, _ bytes: UnsafeBufferPointer<CChar>) -> Int32 {
    guard let start = bytes.baseAddress else {
        return natter_sqlite_bind_text_copy(parameter.statement, parameter.index, "", 0)
    }
    return natter_sqlite_bind_text_copy(parameter.statement, parameter.index, start, Int32(clamping: bytes.count))
}

private func natter_sqlite_bind_blob(_ parameter: Parameter, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    guard let start = bytes.baseAddress, bytes.count > 0 else {
        return sqlite3_bind_zeroblob(parameter.statement, parameter.index, 0)
    }
    return natter_sqlite_bind_blob_copy(parameter.statement, parameter.index, start, Int32(clamping: bytes.count))
}
