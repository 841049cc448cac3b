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

extension ArraySlice<UInt8> {
    /// The distance from the start to the first place where a part is; nil if it is nowhere, or empty. The C library's search
    /// visits few of the bytes, other than `firstRange(of:)`.
    public func offset(ofPart part: ArraySlice<UInt8>) -> Int? {
        withUnsafeBytes { bytes in
            part.withUnsafeBytes { part in
                guard let start = bytes.baseAddress, let wanted = part.baseAddress, !part.isEmpty else { return nil }
                return natter_find(start, bytes.count, wanted, part.count).map { $0 - start }
            }
        }
    }
}
