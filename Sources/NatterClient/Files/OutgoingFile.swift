public import NatterHTTP
public import NatterSystem

/// A file that is sent with a message. Its bytes stay on the disk; those that tell of a picture where it was taken are left out.
public struct OutgoingFile: BodySource {
    /// A piece of what is sent.
    enum Part: Equatable {
        case range(Range<UInt64>)
        case bytes([UInt8])

        var count: UInt64 {
            switch self {
            case .range(let range): range.upperBound - range.lowerBound
            case .bytes(let bytes): UInt64(bytes.count)
            }
        }
    }

    public let name: String
    public let count: UInt64
    private let file: any DiskFile
    private let parts: [Part]

    /// - Parameter name: satisfies `FileName.isGood`.
    public init(_ file: any DiskFile, name: String, keepsMetadata: Bool) throws(DiskError) {
        (self.file, self.name) = (file, name)
        let size = try file.size()
        let all = [Part.range(0..<size)]
        parts = keepsMetadata ? all : try PictureMetadata.rest(of: file, size: size) ?? all
        count = parts.reduce(0) { $0 + $1.count }
    }

    /// - Throws: also if the file has become shorter.
    public func read(count: Int, at offset: UInt64) throws(DiskError) -> [UInt8] {
        var start: UInt64 = 0
        for part in parts {
            let end = start + part.count
            defer { start = end }
            guard offset < end else { continue }
            let wanted = Int(clamping: min(UInt64(clamping: count), end - offset))
            switch part {
            case .bytes(let bytes): return Array(bytes.dropFirst(Int(clamping: offset - start)).prefix(wanted))
            case .range(let range):
                let bytes = try file.read(count: wanted, at: range.lowerBound + (offset - start))
                guard bytes.count == wanted else {
                    throw DiskError(code: .ioError, operation: "read", path: file.path)
                }
                return bytes
            }
        }
        return []
    }
}
