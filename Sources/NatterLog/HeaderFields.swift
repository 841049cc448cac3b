internal import NatterCrypto
internal import NatterModel
internal import NatterSystem

/// Reads the fields of a header in the order in which they are stored. Reading past the end throws `cutShort`.
///
/// Every header of a log ends with the CRC-32C of the bytes before it (`hasValidChecksum`). A decoder verifies it first, so
/// that it never uses a field of a damaged header.
struct HeaderFields {
    static let checksumBytes = MemoryLayout<UInt32>.size

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
        try required(reader.slice(Digest.byteCount).flatMap { Digest(bytes: $0) })
    }

    mutating func bytes(_ count: Int) throws(FormatViolation) -> UnsafeRawBufferPointer {
        try required(reader.slice(count))
    }

    /// A LEB128 length and that many bytes of UTF-8.
    mutating func text() throws(FormatViolation) -> String {
        let count = try required(reader.leb128())
        return try required(String(validating: bytes(Int(clamping: count)), as: UTF8.self))
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

    /// Whether the last four bytes are the CRC-32C of all bytes before them.
    var hasValidChecksum: Bool {
        let checked = first(count - HeaderFields.checksumBytes)
        var stored = ByteReader(UnsafeRawBufferPointer(rebasing: self[checked.count...]))
        return stored.integer(UInt32.self) == Checksum.crc32c(checked)
    }
}

extension [UInt8] {
    /// Appends the CRC-32C of the bytes so far.
    mutating func appendChecksum() { append(littleEndian: Checksum.crc32c(self)) }
}
