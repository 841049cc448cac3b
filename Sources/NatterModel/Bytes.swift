/// ASCII letters and digits, independent of the locale.
extension UInt8 {
    @inlinable public var isASCIIDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }
    @inlinable public var isASCIIUppercase: Bool { self >= UInt8(ascii: "A") && self <= UInt8(ascii: "Z") }
    @inlinable public var isASCIILowercase: Bool { self >= UInt8(ascii: "a") && self <= UInt8(ascii: "z") }
    @inlinable public var isASCIILetter: Bool { isASCIIUppercase || isASCIILowercase }
    /// `A` to `Z` become `a` to `z`; every other byte stays as it is.
    @inlinable public var asciiLowercased: UInt8 { isASCIIUppercase ? self | 0x20 : self }

    /// The value of a hexadecimal digit in either case, or nil for any other byte.
    @inlinable public var hexDigitValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension Sequence<UInt8> {
    /// True if every byte is an ASCII digit, also for an empty sequence.
    @inlinable public var areASCIIDigits: Bool { allSatisfy { $0.isASCIIDigit } }
}

extension BidirectionalCollection<UInt8> {
    /// Whether it is one part of a host's name in lower case. The underscore is not allowed, but there are such names.
    public var isHostLabel: Bool {
        let hyphen = UInt8(ascii: "-")
        return (1...63).contains(count) && first != hyphen && last != hyphen
            && allSatisfy { $0.isASCIILowercase || $0.isASCIIDigit || $0 == hyphen || $0 == UInt8(ascii: "_") }
    }
}

extension String {
    /// The text of these bytes, or nil if they are not UTF-8. It says what `String(validating:)` says, but that takes ten
    /// times as long for a short text of ASCII, as nearly every name and path is one.
    @inlinable public init?(utf8 bytes: UnsafeRawBufferPointer) {
        if bytes.allSatisfy({ $0 < 0x80 }) {
            self.init(decoding: bytes, as: UTF8.self)
        } else {
            self.init(validating: bytes, as: UTF8.self)
        }
    }

    /// The text that a C function has written into a buffer, up to the first NUL.
    public init(upToNUL buffer: [CChar]) {
        self.init(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

extension FixedWidthInteger {
    /// A number that is written in digits only. `init(_:)` takes a sign, which would give a number two spellings.
    @inlinable public init?(digits text: some StringProtocol) {
        guard text.utf8.areASCIIDigits else { return nil }
        self.init(text)
    }
}

/// Unsigned LEB128, the variable-length integers of logs, cursors and frames: seven bits in each byte, least significant
/// first. The top bit is set in every byte but the last.
public enum LEB128 {
    /// The length of the longest 64-bit number.
    public static let maximumBytes = 10

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

/// Reads fields from the beginning of a buffer. Each call returns nil instead of reading past the end.
public struct ByteReader {
    @usableFromInline let bytes: UnsafeRawBufferPointer
    @usableFromInline var place = 0

    /// - Parameter bytes: must outlive the reader.
    public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    @inlinable public var offset: Int { place }
    public var isAtEnd: Bool { offset == bytes.count }
    @inlinable public var remaining: Int { bytes.count - offset }

    /// Reads a number of at most ten bytes. Returns nil if it is overlong or exceeds 64 bits.
    @inlinable public mutating func leb128() -> UInt64? {
        // Nearly all numbers of a log have one byte.
        guard place < bytes.count, bytes[place] < 0x80 else { return longLEB128() }
        defer { place += 1 }
        return UInt64(bytes[place])
    }

    @usableFromInline mutating func longLEB128() -> UInt64? {
        if remaining >= 8 {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
            // The top bit of the last byte is the first that is not set.
            let ends = ~word & 0x8080_8080_8080_8080
            if ends != 0 {
                let count = ends.trailingZeroBitCount / 8 + 1
                guard count == 1 || word >> (8 * (count - 1)) & 0xFF != 0 else { return nil }
                place += count
                // Seven bits of each of its bytes are moved together, then 14 of each two, then 28 of each four.
                var value = word & (ends ^ (ends &- 1)) & 0x7F7F_7F7F_7F7F_7F7F
                value = value & 0x007F_007F_007F_007F | value >> 1 & 0x3F80_3F80_3F80_3F80
                value = value & 0x0000_3FFF_0000_3FFF | value >> 2 & 0x0FFF_C000_0FFF_C000
                return value & 0x0000_0000_0FFF_FFFF | value >> 4 & 0x00FF_FFFF_F000_0000
            }
        }
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while place < bytes.count, shift < 70 {
            let byte = bytes[place]
            place += 1
            // The tenth byte has room for one bit, and a last byte of zero adds nothing. Accepting either would allow
            // two forms of one number.
            if shift == 63, byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return byte == 0 && shift > 0 ? nil : value }
            shift += 7
        }
        return nil
    }

    public mutating func byte() -> UInt8? {
        guard place < bytes.count else { return nil }
        defer { place += 1 }
        return bytes[place]
    }

    /// The next `count` bytes, without a copy.
    @inlinable public mutating func slice(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, count <= remaining else { return nil }
        defer { place += count }
        return UnsafeRawBufferPointer(rebasing: bytes[place..<place + count])
    }

    /// Bytes that stand after their number, a LEB128 number, without a copy.
    @inlinable public mutating func countedBytes() -> UnsafeRawBufferPointer? {
        guard let count = leb128() else { return nil }
        return slice(Int(clamping: count))
    }

    /// A little-endian integer of fixed width.
    @inlinable public mutating func integer<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
        guard let field = slice(MemoryLayout<Value>.size) else { return nil }
        return Value(littleEndian: field.loadUnaligned(as: Value.self))
    }

    /// An id of 16 bytes, most significant byte first.
    public mutating func identifier<ID: Identifier128>(_: ID.Type) -> ID? {
        guard let field = slice(ID.byteCount) else { return nil }
        return ID(
            high: UInt64(bigEndian: field.loadUnaligned(as: UInt64.self)),
            low: UInt64(bigEndian: field.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }
}

extension Array where Element == UInt8 {
    /// Appends a little-endian integer of fixed width.
    @inlinable public mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// Appends the number of the bytes, in LEB128, and the bytes.
    @inlinable public mutating func append(counted bytes: some Collection<UInt8>) {
        LEB128.append(UInt64(bytes.count), to: &self)
        append(contentsOf: bytes)
    }
}

extension UnsafeRawBufferPointer {
    /// Where the next byte is that a JSON string has only escaped or as its end: a quote, a backslash or a control
    /// character. The end of the buffer if there is none.
    public func endOfJSONRun(from start: Int) -> Int {
        var index = start
        // Eight bytes at a time, as long as none of them is such a byte: the tests for a zero byte and for a small one of
        // "Bit Twiddling Hacks" by Sean Eron Anderson.
        let (ones, tops): (UInt64, UInt64) = (0x0101_0101_0101_0101, 0x8080_8080_8080_8080)
        while count - index >= 8 {
            let word = loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let quote = word ^ ones &* UInt64(UInt8(ascii: "\""))
            let backslash = word ^ ones &* UInt64(UInt8(ascii: "\\"))
            let found =
                (word &- ones &* 0x20) & ~word | (quote &- ones) & ~quote | (backslash &- ones) & ~backslash
            guard found & tops == 0 else { break }
            index += 8
        }
        while index < count, self[index] >= 0x20, self[index] != UInt8(ascii: "\""), self[index] != UInt8(ascii: "\\") {
            index += 1
        }
        return index
    }
}
