/// Unsigned LEB128, the variable-length integers of logs, cursors and frames: seven bits a byte, least first, the top
/// bit set on every byte but the last.
public enum LEB128 {
    public static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Maps 0, -1, 1, -2 … to 0, 1, 2, 3 …, so that small negative numbers stay short.
    @inlinable public static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value << 1) ^ (value >> 63)) }
    @inlinable public static func unzigzag(_ value: UInt64) -> Int64 {
        Int64(bitPattern: (value >> 1) ^ (0 &- (value & 1)))
    }
}

/// Takes fields off the front of a run of bytes; each call answers nil rather than read past the end.
public struct ByteReader {
    @usableFromInline let bytes: UnsafeRawBufferPointer
    public private(set) var offset = 0

    /// The bytes must outlive the reader.
    public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    public var isAtEnd: Bool { offset == bytes.count }
    public var remaining: Int { bytes.count - offset }

    /// At most ten bytes, nothing overlong, nothing over 64 bits; nil for anything else.
    public mutating func leb128() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count, shift < 70 {
            let byte = bytes[offset]
            offset += 1
            // The tenth byte has room for one bit, and a last byte of zero says nothing: both would give one number two forms.
            if shift == 63, byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return byte == 0 && shift > 0 ? nil : value }
            shift += 7
        }
        return nil
    }

    public mutating func byte() -> UInt8? {
        guard offset < bytes.count else { return nil }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// The next `count` bytes, in place.
    public mutating func slice(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, count <= remaining else { return nil }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    /// A little-endian integer of fixed width.
    public mutating func integer<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
        guard let field = slice(MemoryLayout<Value>.size) else { return nil }
        return Value(littleEndian: field.loadUnaligned(as: Value.self))
    }
}

extension Array where Element == UInt8 {
    /// Appends a little-endian integer of fixed width.
    public mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
