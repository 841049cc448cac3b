internal import NatterModel
internal import NatterSystem

/// One frame of an answer of type `application/vnd.natter.blocks`: a header of 16 bytes, then the payload.
///
/// The header, little-endian:
///
///      0  1  type
///      1  3  zero
///      4  4  length of the payload
///      8  4  CRC-32C of the payload
///     12  4  CRC-32C of bytes 0 to 11
///
/// A `line` of type `conversation` comes before the dictionaries and blocks of that conversation. The last frame is the
/// line of type `end`; a body without it is incomplete.
public struct SyncFrame: Sendable, Equatable {
    public static let mediaType = "application/vnd.natter.blocks"
    public static let headerBytes = 16
    /// Enough for a block of 1 MiB with its header, and for the line of a body of the maximum size.
    public static let maximumPayload = (1 << 20) + 4_096

    public enum Kind: UInt8, Sendable {
        /// A line as in the NDJSON form.
        case line = 0x4A
        /// A dictionary's record.
        case dictionary = 0x44
        /// A sealed block, header and stored bytes, as in the server's log.
        case block = 0x42
        /// A block made for this answer from messages that are not sealed yet.
        case provisional = 0x50
    }

    public let kind: Kind
    public let payload: [UInt8]

    public init(_ kind: Kind, _ payload: [UInt8]) { (self.kind, self.payload) = (kind, payload) }

    public func append(to bytes: inout [UInt8]) {
        var header: [UInt8] = [kind.rawValue, 0, 0, 0]
        header.append(littleEndian: UInt32(truncatingIfNeeded: payload.count))
        header.append(littleEndian: Checksum.crc32c(payload))
        header.appendChecksum()
        bytes += header
        bytes += payload
    }
}

/// Parses frames from a body that arrives in pieces of any size.
public struct SyncFrameReader {
    /// The body violates the format.
    public struct Malformed: Error, Equatable {}

    private var buffer: [UInt8] = []
    private var start = 0

    public init() {}

    public mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        if start > 0, start >= buffer.count / 2 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next complete frame, or nil until more bytes arrive.
    public mutating func next() throws(Malformed) -> SyncFrame? {
        guard buffer.count - start >= SyncFrame.headerBytes else { return nil }
        let header = Array(buffer[start..<start + SyncFrame.headerBytes])
        let fields: (kind: SyncFrame.Kind, length: Int, checksum: UInt32)? = header.withUnsafeBytes { bytes in
            guard let checked = bytes.checked else { return nil }
            var reader = ByteReader(checked)
            guard let type = reader.byte(), let kind = SyncFrame.Kind(rawValue: type), let zeros = reader.slice(3),
                zeros.allSatisfy({ $0 == 0 }), let length = reader.integer(UInt32.self),
                let checksum = reader.integer(UInt32.self)
            else { return nil }
            return (kind, Int(length), checksum)
        }
        guard let fields, fields.length <= SyncFrame.maximumPayload else { throw Malformed() }
        let body = start + SyncFrame.headerBytes
        guard buffer.count - body >= fields.length else { return nil }
        let payload = Array(buffer[body..<body + fields.length])
        guard Checksum.crc32c(payload) == fields.checksum else { throw Malformed() }
        start = body + fields.length
        return SyncFrame(fields.kind, payload)
    }
}
