internal import CSystem

/// CRC-32C, which detects bit rot and misdirected writes. It does not detect forgery: the hash chain does.
public enum Checksum {
    public static func crc32c(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
        natter_crc32c(crc, bytes.baseAddress, bytes.count)
    }

    public static func crc32c(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { crc32c($0) } }
}
