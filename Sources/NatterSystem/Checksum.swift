internal import CSystem
private import NatterModel

/// CRC-32C, which detects bit rot and misdirected writes. It does not detect forgery: the hash chain does.
public enum Checksum {
    public static func crc32c(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
        natter_crc32c(crc, bytes.baseAddress, bytes.count)
    }

    public static func crc32c(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { crc32c($0) } }

    /// Bytes that a checksum takes at the end of what it covers.
    public static let byteCount = MemoryLayout<UInt32>.size
}

extension [UInt8] {
    /// Appends the CRC-32C of the bytes so far.
    public mutating func appendChecksum() { append(littleEndian: Checksum.crc32c(self)) }
}

extension UnsafeRawBufferPointer {
    /// The bytes before the checksum that `appendChecksum` has put at their end; nil if it is not theirs.
    public var checked: UnsafeRawBufferPointer? {
        guard count >= Checksum.byteCount else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: dropLast(Checksum.byteCount))
        let stored = UInt32(littleEndian: loadUnaligned(fromByteOffset: body.count, as: UInt32.self))
        return stored == Checksum.crc32c(body) ? body : nil
    }
}
