/// One bit of a file that was flipped. Media and memory that fail flip single bits more often than they do anything else, and a
/// checksum tells not only that a bit was flipped, but also which.
public struct FlippedBit: Equatable, Sendable {
    /// The byte, counted from the start of the file, or of the bytes that were searched.
    public let offset: UInt64
    public let mask: UInt8

    public init(offset: UInt64, mask: UInt8) { (self.offset, self.mask) = (offset, mask) }

    /// Finds the bit by a CRC-32C.
    ///
    /// A flipped bit changes the CRC by a number that depends only on the distance from the end, and in less than 2^31 bits no two
    /// of them change it by the same. Bytes that were damaged in another way look as if one bit were flipped in 8 `count` of
    /// 2^32 cases.
    ///
    /// - Parameters:
    ///   - count: how many bytes the CRC covers.
    ///   - difference: the bits in which the stored CRC and that of the bytes differ.
    /// - Returns: nil if it is not one bit of these bytes.
    public init?(in count: Int, changing difference: UInt32) {
        func crc(_ byte: UInt8, continuing crc: UInt32) -> UInt32 {
            withUnsafeBytes(of: byte) { Checksum.crc32c($0, continuing: crc) }
        }
        let zero = crc(0, continuing: 0)
        // What each bit of a byte changes, of the last byte at first.
        var changes = (0..<8).map { crc(1 << UInt8($0), continuing: 0) ^ zero }
        for offset in (0..<count).reversed() {
            for bit in 0..<8 where changes[bit] == difference {
                self.init(offset: UInt64(offset), mask: 1 << UInt8(bit))
                return
            }
            for bit in 0..<8 { changes[bit] = crc(0, continuing: changes[bit]) ^ zero }
        }
        return nil
    }

    /// Finds the bit of a few bytes by a trial of each.
    ///
    /// - Returns: nil if no single bit makes them whole.
    public init?(in bytes: [UInt8], isWhole: ([UInt8]) -> Bool) {
        var bytes = bytes
        for offset in bytes.indices {
            for bit in UInt8(0)..<8 {
                bytes[offset] ^= 1 << bit
                if isWhole(bytes) {
                    self.init(offset: UInt64(offset), mask: 1 << bit)
                    return
                }
                bytes[offset] ^= 1 << bit
            }
        }
        return nil
    }

    /// The only bit in which two values differ; nil if they differ in none or in more.
    ///
    /// - Parameter values: of the same length.
    public init?(between values: (some Sequence<UInt8>, some Sequence<UInt8>)) {
        let differences = zip(values.0, values.1).enumerated().filter { $1.0 != $1.1 }
        guard differences.count == 1, let (offset, (one, other)) = differences.first,
            (one ^ other).nonzeroBitCount == 1
        else { return nil }
        self.init(offset: UInt64(offset), mask: one ^ other)
    }

    /// The bit of bytes that begin at `start`.
    public func behind(_ start: UInt64) -> FlippedBit { FlippedBit(offset: start &+ offset, mask: mask) }

    public func flip(in bytes: inout [UInt8]) { bytes[Int(offset)] ^= mask }

    /// Flips bits of a file back, durably.
    public static func flip(_ bits: [FlippedBit], in file: any DiskFile) throws(DiskError) {
        guard !bits.isEmpty else { return }
        for bit in bits {
            guard let byte = try file.read(count: 1, at: bit.offset).first else { continue }
            try file.write([byte ^ bit.mask], at: bit.offset)
        }
        try file.sync()
    }
}
