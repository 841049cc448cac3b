internal import NatterSystem
internal import NatterModel

/// Reads the fields of a header in the order in which they are stored. Reading past the end throws `cutShort`.
///
/// Every header of a log ends with the CRC-32C of the bytes before it (`checked`). A decoder verifies it first, so
/// that it never uses a field of a damaged header.
struct HeaderFields {
    private var reader: ByteReader
    private let cutShort: FormatViolation

    init(_ bytes: UnsafeRawBufferPointer, cutShort: FormatViolation) {
        (reader, self.cutShort) = (ByteReader(bytes), cutShort)
    }

    var offset: Int { reader.offset }

    mutating func integer<Value: FixedWidthInteger>(_: Value.Type) throws(FormatViolation) -> Value {
        try required(reader.integer(Value.self))
    }

    mutating func identifier<ID: Identifier128>(_: ID.Type) throws(FormatViolation) -> ID {
        try required(reader.identifier(ID.self))
    }

    mutating func digest() throws(FormatViolation) -> Digest {
        try required(reader.digest())
    }

    mutating func bytes(_ count: Int) throws(FormatViolation) -> UnsafeRawBufferPointer {
        try required(reader.slice(count))
    }

    /// A LEB128 length and that many bytes of UTF-8.
    mutating func text() throws(FormatViolation) -> String {
        try required(String(validating: required(reader.countedBytes()), as: UTF8.self))
    }

    private func required<Value>(_ value: Value?) throws(FormatViolation) -> Value {
        guard let value else { throw cutShort }
        return value
    }
}

extension UnsafeRawBufferPointer {
    /// The first `count` bytes, or all of them if there are fewer.
    func first(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self[..<Swift.min(Swift.max(0, count), self.count)])
    }
}
