internal import CPostgres

/// A value of a parameter or a column.
public enum PostgresValue: Sendable, Equatable {
    case null
    case integer(Int64)
    case text(String)
    case bytes([UInt8])

    /// A number that is stored as the bits of an Int64.
    public static func unsigned(_ number: UInt64) -> PostgresValue { .integer(Int64(bitPattern: number)) }

    /// The text of an array whose elements need no quotes.
    public static func array(_ elements: some Sequence<String>) -> PostgresValue {
        .text("{" + elements.joined(separator: ",") + "}")
    }
}

/// The rows of an answer, all in memory.
public final class PostgresRows {
    private let result: OpaquePointer
    public let count: Int

    init(_ result: OpaquePointer) {
        self.result = result
        count = Int(PQntuples(result))
    }

    deinit { PQclear(result) }

    /// A column's bytes in PostgreSQL's binary form; nil for NULL and for a place outside the answer.
    private func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer? {
        guard row >= 0, row < count, column >= 0, column < Int(PQnfields(result)),
            PQgetisnull(result, Int32(row), Int32(column)) == 0,
            let start = PQgetvalue(result, Int32(row), Int32(column))
        else { return nil }
        return UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result, Int32(row), Int32(column))))
    }

    /// A column of any integer type, or a bool; 0 for NULL.
    public func integer(_ row: Int, _ column: Int) -> Int64 {
        guard let bytes = bytes(row, column), let first = bytes.first, bytes.count <= 8 else { return 0 }
        // Big-endian, and signed unless it is a bool.
        let start: Int64 = first & 0x80 != 0 && bytes.count > 1 ? -1 : 0
        return bytes.reduce(start) { $0 << 8 | Int64($1) }
    }

    /// A number that is stored as the bits of an Int64.
    public func unsigned(_ row: Int, _ column: Int) -> UInt64 { UInt64(bitPattern: integer(row, column)) }

    public func text(_ row: Int, _ column: Int) -> String {
        bytes(row, column).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    public func blob(_ row: Int, _ column: Int) -> [UInt8] { bytes(row, column).map { Array($0) } ?? [] }

    public func isNull(_ row: Int, _ column: Int) -> Bool { bytes(row, column) == nil }

    /// A column of a type that natter's tables have.
    public func value(_ row: Int, _ column: Int) -> PostgresValue {
        if isNull(row, column) { return .null }
        return switch PQftype(result, Int32(column)) {
        case 17: .bytes(blob(row, column))
        case 16, 20, 21, 23: .integer(integer(row, column))
        default: .text(text(row, column))
        }
    }
}
