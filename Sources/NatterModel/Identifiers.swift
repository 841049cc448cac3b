/// A permanent identifier of 128 random bits, written as 32 hexadecimal digits.
public protocol Identifier128: Hashable, Sendable, Comparable, CustomStringConvertible {
    var high: UInt64 { get }
    var low: UInt64 { get }
    init(high: UInt64, low: UInt64)
}

extension Identifier128 {
    public static var byteCount: Int { 16 }

    /// Exactly 16 bytes, most significant first. Returns nil for any other count.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        // An array, because a walk through any collection costs a call for each byte, and each conversation has an id.
        let (high, low) = Array(bytes).withUnsafeBytes { bytes in
            (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        self.init(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low))
    }

    /// Exactly 32 lower-case hexadecimal digits. Returns nil for anything else, so that an id has one form only.
    public init?(hex: Substring) {
        guard let bytes = Hex.decode(hex) else { return nil }
        self.init(bytes: bytes)
    }

    public init?(hex: String) { self.init(hex: hex[...]) }

    public init(using generator: inout some RandomNumberGenerator) {
        self.init(high: generator.next(), low: generator.next())
    }

    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.byteCount)
        append(to: &bytes)
        return bytes
    }

    /// Appends `bytes`, without an array of its own.
    @inlinable public func append(to bytes: inout [UInt8]) {
        bytes.append(littleEndian: high.byteSwapped)
        bytes.append(littleEndian: low.byteSwapped)
    }

    public static func < (left: Self, right: Self) -> Bool { (left.high, left.low) < (right.high, right.low) }
    public var description: String { withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { Hex.encode($0) } }
}

/// Identifies one store. It is made together with the data directory. The store's backups and replicas have the same
/// id.
public struct StoreID: Identifier128 {
    public let high: UInt64
    public let low: UInt64
    public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }
}

/// Identifies one conversation permanently. Files, cursors and keys use it, never the conversation's name.
public struct ConversationID: Identifier128 {
    public let high: UInt64
    public let low: UInt64
    public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }
}
