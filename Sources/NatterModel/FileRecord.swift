/// The name of a blob: BLAKE2b-256 over the key of its upload and its content. Without the key it confirms no guess of the
/// content.
public struct FileID: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 32
    public let bytes: [UInt8]

    /// Exactly 32 bytes; nil for any other count.
    public init?(bytes: [UInt8]) {
        guard bytes.count == FileID.byteCount else { return nil }
        self.bytes = bytes
    }

    public init?(hex: some StringProtocol) {
        guard let bytes = Hex.decode(Substring(hex)) else { return nil }
        self.init(bytes: bytes)
    }

    /// 64 hexadecimal digits.
    public var description: String { Hex.encode(bytes) }
}

/// The content of a record of kind `file`, which names a blob. The log stores it as one line, `ID KEY SIZE TYPE NAME`.
public struct FileRecord: Hashable, Sendable {
    public static let keyBytes = 16
    /// The most bytes of a line.
    public static let lineBytes = 512
    private static let typeBytes = 1...127

    public let id: FileID
    /// 16 random bytes of this upload; empty where they are not known, as in a folded message from a server.
    public let key: [UInt8]
    public let size: UInt64
    public let type: String
    public let name: String

    /// Nil if a field is none that a line can have.
    public init?(id: FileID, key: [UInt8], size: UInt64, type: String, name: String) {
        guard [0, FileRecord.keyBytes].contains(key.count), size <= UInt64(Int64.max), FileRecord.isType(type),
            FileName.isGood(name)
        else { return nil }
        (self.id, self.key, self.size, self.type, self.name) = (id, key, size, type, name)
    }

    /// Nil for anything but what `line` gives.
    public init?(line: some Collection<UInt8>) {
        guard line.count <= FileRecord.lineBytes, let text = String(validating: line, as: UTF8.self) else { return nil }
        let parts = text.utf8.split(separator: UInt8(ascii: " "), maxSplits: 4, omittingEmptySubsequences: false)
            .map { Substring($0) }
        guard parts.count == 5, let id = FileID(hex: parts[0]), let key = Hex.decode(parts[1]),
            key.count == FileRecord.keyBytes,
            let size = UInt64(digits: parts[2]), String(size).utf8.elementsEqual(parts[2].utf8)
        else { return nil }
        self.init(id: id, key: key, size: size, type: String(parts[3]), name: String(parts[4]))
    }

    public var line: String { "\(id) \(Hex.encode(key)) \(size) \(type) \(name)" }

    private static func isType(_ type: String) -> Bool {
        typeBytes.contains(type.utf8.count) && type.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

/// The rule for names of files.
public enum FileName {
    public static let bytes = 1...255

    /// The last part of a path as a file's name; nil if that is none.
    public static func last(of path: String) -> String? {
        let slash = UInt8(ascii: "/")
        let start = path.utf8.lastIndex(of: slash).map { path.utf8.index(after: $0) } ?? path.utf8.startIndex
        // By bytes, because a slash before a combining mark is not a slash as a character.
        guard let name = String(path.utf8[start...]), isGood(name) else { return nil }
        return name
    }

    /// Whether a name has 1 to 255 bytes, no slash and no control character, and leads into no directory.
    public static func isGood(_ name: String) -> Bool {
        bytes.contains(name.utf8.count) && ![".", ".."].contains { name.utf8.elementsEqual($0.utf8) }
            && !name.utf8.contains(UInt8(ascii: "/"))
            && name.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    }
}

/// The types of files that are told by their first bytes, whatever their names say.
public enum FileType {
    public static let other = "application/octet-stream"
    /// So many first bytes are enough.
    public static let prefixBytes = 12

    /// The type of a picture that a page may show; `other` for anything else.
    public static func of(prefix: [UInt8]) -> String {
        func begins(_ bytes: [UInt8], at offset: Int = 0) -> Bool {
            prefix.count >= offset + bytes.count && prefix[offset..<offset + bytes.count].elementsEqual(bytes)
        }
        if begins([0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A]) { return "image/png" }
        if begins([0xFF, 0xD8, 0xFF]) { return "image/jpeg" }
        if begins(Array("GIF87a".utf8)) || begins(Array("GIF89a".utf8)) { return "image/gif" }
        if begins(Array("RIFF".utf8)), begins(Array("WEBP".utf8), at: 8) { return "image/webp" }
        return other
    }
}
