internal import Glibc
internal import NatterLanguage
internal import NatterSystem

/// The order of day, month and year, where a file does not state it.
public enum DateOrder: String, CaseIterable, Sendable {
    case dayFirst = "dmy"
    case monthFirst = "mdy"
    case yearFirst = "ymd"
}

/// A file that another program wrote. It can be read more than once.
public final class ForeignFile {
    /// As the user wrote it.
    public let path: String
    /// The name without directories and without the extension.
    public let name: String
    /// nil if the reader has to find out.
    let dateOrder: DateOrder?
    /// Open at any place.
    let descriptor: Int32

    /// - Parameter descriptor: of a regular file; this object closes it.
    public init(path: String, descriptor: Int32, dateOrder: DateOrder? = nil) {
        (self.path, self.descriptor, self.dateOrder) = (path, descriptor, dateOrder)
        let last = path.split(separator: "/").last.map(String.init) ?? path
        let stem = last.lastIndex(of: ".").map { last[..<$0] } ?? last[...]
        name = stem.isEmpty ? last : String(stem)
    }

    deinit { close(descriptor) }

    /// Whether it is a zip file.
    var isArchive: Bool {
        var magic: [UInt8] = [0, 0, 0, 0]
        return pread(descriptor, &magic, 4, 0) == 4 && magic == [0x50, 0x4B, 0x03, 0x04]
    }

    /// Reads the file from its beginning.
    func bytes() -> ByteStream {
        var offset: off_t = 0
        return ByteStream { [self] buffer in
            while true {
                let count = pread(descriptor, buffer.baseAddress, buffer.count, offset)
                if count >= 0 {
                    offset += off_t(count)
                    return count
                }
                if errno != EINTR { throw ForeignError.unreadable(file: path, reason: Errno.current.phrase) }
            }
        }
    }

    /// How many members of a zip file are like this, as far as it can be read; 0 for another file.
    func count(of isLike: (String) -> Bool) -> Int {
        guard isArchive, let archive = try? Archive(self) else { return 0 }
        var count = 0
        while let member = try? archive.next() { count += isLike(member) ? 1 : 0 }
        return count
    }

    /// Calls `read` with the content of the file, or of the first member of a zip file that is wanted.
    func content<Result>(
        _ isWanted: (String) -> Bool, _ read: (_ name: String, ByteStream) throws -> Result
    ) throws -> Result {
        guard isArchive else { return try read(name, bytes()) }
        let archive = try Archive(self)
        while let member = try archive.next() {
            if isWanted(member) { return try read(member, archive.bytes()) }
        }
        throw malformed("nothing in this zip file looks like an export")
    }

    /// The member of a zip file that is rated highest, the first of several; nil if there is none.
    func member(_ rating: (String) -> Int?) throws -> String? {
        guard isArchive else { return nil }
        let archive = try Archive(self)
        var best: (rating: Int, name: String)?
        while let member = try archive.next() {
            guard let rating = rating(member), rating > best?.rating ?? .min else { continue }
            best = (rating, member)
        }
        return best?.name
    }

    func malformed(_ reason: Phrase) -> ForeignError { .malformed(file: path, reason: reason) }
}

/// Bytes that are read in order, in bounded memory.
final class ByteStream {
    private static let chunkBytes = 256 << 10
    private static let mark = Array("\u{FEFF}".utf8)

    private let fill: (UnsafeMutableRawBufferPointer) throws -> Int
    private var buffer: [UInt8] = []
    private var index = 0
    private var isAtStart = true
    private var isAtEnd = false

    /// - Parameter fill: returns the number of bytes; 0 at the end.
    init(_ fill: @escaping (UnsafeMutableRawBufferPointer) throws -> Int) { self.fill = fill }

    /// The next byte, which stays.
    func peek() throws -> UInt8? {
        if index == buffer.count, !isAtEnd {
            index = 0
            buffer = try [UInt8](unsafeUninitializedCapacity: ByteStream.chunkBytes) { chunk, filled in
                filled = min(try fill(UnsafeMutableRawBufferPointer(chunk)), chunk.count)
            }
            isAtEnd = buffer.isEmpty
            // Some editors put a mark of the coding before a text.
            if isAtStart, buffer.starts(with: ByteStream.mark) { index = ByteStream.mark.count }
            isAtStart = false
        }
        return index < buffer.count ? buffer[index] : nil
    }

    func next() throws -> UInt8? {
        guard let byte = try peek() else { return nil }
        index += 1
        return byte
    }

    /// The next line without its newline; nil at the end. A line above `limit` bytes is cut, and the rest is skipped.
    func line(limit: Int) throws -> (bytes: [UInt8], isWhole: Bool)? {
        guard try peek() != nil else { return nil }
        var line: [UInt8] = []
        var isWhole = true
        while try peek() != nil {
            let rest = buffer[index...]
            let end = rest.firstIndex(of: 0x0A)
            let piece = rest[..<(end ?? rest.endIndex)]
            index = end.map { $0 + 1 } ?? rest.endIndex
            if line.count + piece.count > limit { isWhole = false }
            line += piece.prefix(max(0, limit - line.count))
            if end != nil { break }
        }
        if isWhole, line.last == 0x0D { line.removeLast() }
        return (line, isWhole)
    }
}
